// Barcode and Betti numbers of one cloud over the scale, with a cursor that can be dragged.

import { WEB_COLORS, row } from "./data.js";
import { Plot, drawAxes, svg, ticks } from "./plot.js";

export class Barcode {
  constructor(parent, store, cloud = 0) {
    this.store = store;
    this.cloud = cloud;
    this.plot = new Plot(parent, "barcode and Betti numbers", (root, width, height) => this.draw(root, width, height));
    const root = this.plot.root;
    root.addEventListener("pointerdown", (event) => this.press(event));
    root.addEventListener("pointermove", (event) => event.buttons === 1 && this.dragging && this.drag(event));
    root.addEventListener("pointerup", () => (this.dragging = false));
    store.on(["epsilon"], () => this.move());
    store.on(["selected"], () => this.mark());
    store.on(["scene"], () => this.plot.refresh());
  }

  draw(root, width, height) {
    const cloud = this.store.get("scene").clouds[this.cloud], limit = this.store.get("limit");
    const left = 58, right = width - 14, betti = Math.max(70, Math.min(110, 0.3 * height)), low = height - 38;
    this.limit = limit;
    this.left = left;
    this.x = (value) => left + ((right - left) * Math.min(value, limit)) / limit;
    const top = 8, bars = low - betti - 20;
    this.rows = [];
    const counts = cloud.pairs.map(({ values }) => values.shape[0]), shares = counts.map((count) => Math.sqrt(count));
    const sum = shares.reduce((a, b) => a + b, 0) || 1;
    let y = top;
    cloud.pairs.forEach((pairs, dim) => {
      const room = ((bars - top - 6 * (counts.length - 1)) * shares[dim]) / sum;
      this.drawBars(root, pairs, dim, y, room);
      y += room + 6;
    });
    this.drawBetti(root, cloud, right, low - betti, low);
    this.overlay = svg("g", {}, this.plot.over);
    this.cursor = svg("line", { y1: top, y2: low, class: "tk-cursor" }, this.plot.over);
    this.words = svg("text", { class: "tk-value", y: low - betti - 5 }, this.plot.over);
    this.move();
    this.mark();
  }

  /** Bars of one degree by birth, then death, from bottom to top; degree 0 by death. */
  drawBars(root, { values, essential }, dim, top, room) {
    const count = values.shape[0], step = room / Math.max(1, count + essential.length), order = [...Array(count).keys()];
    order.sort((a, b) => values[2 * a] - values[2 * b] || values[2 * a + 1] - values[2 * b + 1]);
    let path = "";
    order.forEach((index, place) => {
      const y = top + room - (place + 0.5) * step, [birth, death] = row(values, index);
      path += `M${this.x(birth).toFixed(2)},${y.toFixed(2)}H${Math.max(this.x(death), this.x(birth) + 0.5).toFixed(2)}`;
      this.rows.push({ dim, index, y, birth, death });
    });
    essential.forEach((birth, place) => { // never dies: to the end of the axis, with an arrow
      const y = (top + room - (count + place + 0.5) * step).toFixed(2), end = this.x(this.limit);
      path += `M${this.x(birth).toFixed(2)},${y}H${end}M${end - 5},${y - 3}L${end},${y}L${end - 5},${Number(y) + 3}`;
    });
    const width = Math.max(0.5, Math.min(4, 0.65 * step));
    svg("path", { d: path || "M0,0", stroke: WEB_COLORS.homology[dim], "stroke-width": width, class: "tk-bars" }, root);
    svg("text", { x: this.left - 8, y: top + room / 2 + 4, "text-anchor": "end", class: "tk-title" }, root, `H${dim}`);
  }

  drawBetti(root, cloud, right, top, bottom) {
    this.curves = cloud.pairs.map(({ values, essential }) => {
      const steps = [];
      for (const birth of essential) steps.push([birth, 1]);
      for (let k = 0; k < values.shape[0]; k++) steps.push([values[2 * k], 1], [values[2 * k + 1], -1]);
      return steps.sort((a, b) => a[0] - b[0]);
    });
    const height = (value) => Math.log10(1 + value);
    let most = 1;
    for (const steps of this.curves) steps.reduce((n, [, change]) => ((most = Math.max(most, n + change)), n + change), 0);
    const y = (value) => bottom - ((bottom - top - 6) * height(value)) / height(most);
    drawAxes(root, {
      left: this.left, right, top, bottom, x: this.x, y, xTitle: "scale", yTitle: "Betti",
      xTicks: ticks(0, this.limit, 8), yTicks: [0, 1, 10, 100, 1000].filter((value) => value <= most),
    });
    this.curves.forEach((steps, dim) => {
      let number = 0, path = "";
      for (const [at, change] of steps) {
        path += `${path ? "H" : "M"}${this.x(at).toFixed(2)}${path ? "" : `,${y(0).toFixed(2)}`}`;
        number += change;
        path += `V${y(number).toFixed(2)}`;
      }
      svg("path", { d: `${path || "M0,0"}H${right}`, stroke: WEB_COLORS.homology[dim], class: "tk-curve" }, root);
    });
  }

  /** Betti numbers at a scale. */
  betti(scale) {
    return this.curves.map((steps) => steps.reduce((n, [at, change]) => n + (at <= scale ? change : 0), 0));
  }

  move() {
    if (!this.cursor) return;
    const epsilon = this.store.get("epsilon"), x = this.x(epsilon);
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    this.words.textContent = this.betti(epsilon).map((value, dim) => `β${"₀₁₂"[dim]} = ${value}`).join("   ");
    const late = epsilon > 0.6 * this.limit;
    this.words.setAttribute("x", late ? x - 6 : x + 6);
    this.words.setAttribute("text-anchor", late ? "end" : "start");
  }

  mark() {
    if (!this.overlay) return;
    this.overlay.replaceChildren();
    const selected = this.store.get("selected");
    if (!selected || selected.cloud !== this.cloud) return;
    const bar = this.rows.find(({ dim, index }) => dim === selected.dim && index === selected.index);
    if (!bar) return;
    const d = `M${this.x(bar.birth)},${bar.y}H${Math.max(this.x(bar.death), this.x(bar.birth) + 2)}`;
    svg("path", { d, class: "tk-chosen-bar" }, this.overlay);
  }

  press(event) {
    const box = this.plot.root.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    let best = null, least = 5;
    for (const bar of this.rows) {
      const inside = x >= this.x(bar.birth) - 4 && x <= this.x(bar.death) + 4, distance = Math.abs(bar.y - y);
      if (inside && distance < least) [best, least] = [bar, distance];
    }
    if (best && Math.abs(x - this.x(this.store.get("epsilon"))) > 5) {
      this.store.set({ selected: { cloud: this.cloud, dim: best.dim, index: best.index } });
      return;
    }
    this.dragging = true;
    this.plot.root.setPointerCapture(event.pointerId);
    this.drag(event);
  }

  drag(event) {
    const box = this.plot.root.getBoundingClientRect(), share = (event.clientX - box.left - this.left) / (box.width - this.left - 14);
    this.store.set({ epsilon: this.limit * Math.min(1, Math.max(0, share)) });
  }
}
