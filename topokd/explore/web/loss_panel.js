// The loss in numbers, its history, and the button that follows its gradient.

import { commonDigits, digits } from "./data.js";
import { Plot, drawAxes, svg, ticks } from "./plot.js";
import { html } from "./controls.js";

const WAYS = `What a step moves.
critical: the vertices of the critical simplices (sparse)
diffeomorphic: the points around them too, along a smooth field
big_step: all edges that must move for a pair to reach its target`;

export class LossPanel {
  /** `held`: of a page, the size of its steps and how many are left; without it a kernel computes them as chosen. */
  constructor(parent, store, step, held) {
    this.store = store;
    this.held = held;
    this.table = html("table", { className: "tk-table" }, parent);
    const buttons = html("div", { className: "tk-row" }, parent);
    const field = html("label", { className: "tk-field" }, buttons, "largest move, % of the cloud's size");
    this.size = html("input", { type: "number", min: 0.1, max: 50, step: 0.1, value: 2 }, field);
    this.way = html("select", { title: WAYS }, buttons);
    if (held) {
      for (const control of [field, this.way]) control.hidden = true;
      html("span", {}, buttons, `${digits(100 * held.size)} % of the cloud's size, critical gradient:`);
    }
    this.buttons = [
      html("button", { type: "button", className: "tk-step" }, buttons, "step"),
      html("button", { type: "button" }, buttons, "10 steps"),
      html("button", { type: "button" }, buttons, "start again"),
    ];
    const send = () => step({ task: "step", size: Number(this.size.value) / 100, way: this.way.value || null });
    this.pending = 0;
    this.buttons[0].addEventListener("click", () => {
      this.pending = 0;
      send();
    });
    this.buttons[1].addEventListener("click", () => {
      this.pending = this.series() - 1;
      send();
    });
    this.buttons[2].addEventListener("click", () => {
      this.pending = 0;
      step({ task: "reset" });
    });
    this.again = send;
    this.trace = html("div", { className: "tk-history" }, parent);
    this.plot = new Plot(this.trace, "the loss after each step", (root, width, height) => this.history(root, width, height));
    store.on(["scene"], () => this.show());
    this.show();
  }

  /** How many steps the second button takes. */
  series() {
    return Math.min(10, this.held?.left() ?? 10);
  }

  /** Offer the steps that a page still has. */
  offer() {
    if (!this.held) return;
    const series = this.series(), [one, some, again] = this.buttons, offered = [one, some];
    const focused = offered.includes(document.activeElement);
    for (const button of offered) button.disabled = series === 0;
    some.textContent = series === 0 ? "no steps left" : `${series} step${series === 1 ? "" : "s"}`;
    if (focused && series === 0) again.focus(); // a disabled button cannot keep it
  }

  /** After a step has arrived: the next of a series. */
  arrived() {
    if (this.pending > 0) {
      this.pending -= 1;
      this.again();
    }
  }

  show() {
    const { loss, clouds } = this.store.get("scene");
    this.table.replaceChildren();
    const head = html("tr", {}, this.table);
    for (const text of ["", "teacher → student (Eq. 2)", "student → teacher (Eq. 3)", "sum"]) html("th", {}, head, text);
    const lines = loss.parts.map(({ recall, precision }) => [recall, precision, recall + precision]);
    const number = commonDigits([...lines.flat(), loss.value]);
    lines.forEach((values, dim) => {
      const line = html("tr", {}, this.table);
      html("th", {}, line, `H${dim}`);
      for (const value of values) html("td", {}, line, number(value));
    });
    const total = html("tr", { className: "tk-total" }, this.table);
    html("th", {}, total, "L_topo");
    html("td", { colSpan: 2 }, total, `−dL/dF moves ${loss.moved} of ${clouds[0].positions.length / 3} points`);
    html("td", {}, total, number(loss.value));
    const chosen = this.way.value;
    this.way.replaceChildren();
    for (const way of loss.ways) html("option", { value: way, selected: way === chosen }, this.way, `${way} gradient`);
    this.offer();
    this.plot.refresh();
  }

  history(root, width, height) {
    const { history } = this.store.get("scene").loss;
    const left = 70, right = width - 12, top = 8, bottom = height - 36, most = Math.max(...history) * 1.05 || 1;
    const last = Math.max(1, history.length - 1);
    const x = (value) => left + ((right - left) * value) / last, y = (value) => bottom - ((bottom - top) * value) / most;
    const yTicks = ticks(0, most, 3), long = yTicks.some((value) => String(value).length > 6);
    drawAxes(root, {
      left, right, top, bottom, x, y, xTitle: "step", yTitle: "L_topo", gap: 57,
      xTicks: ticks(0, last, Math.min(last, 8)).filter(Number.isInteger),
      yTicks, yFormat: long ? (value) => (value === 0 ? "0" : value.toExponential()) : String, // one format for all
    });
    const color = this.store.get("scene").clouds[0].color;
    svg("path", { d: `M${history.map((value, k) => `${x(k)},${y(value)}`).join("L")}`, stroke: color, class: "tk-curve" }, root);
    history.forEach((value, k) => svg("circle", { cx: x(k), cy: y(value), r: 3, fill: color }, root));
  }
}
