// The persistence diagram of one or two clouds, with the matches of the loss as arrows.

import { WEB_COLORS, digits, row } from "./data.js";
import { Plot, drawAxes, svg, ticks } from "./plot.js";

const MOST_ARROWS = 48; // the costliest ones; the chosen point's is always there

export class Diagram {
  constructor(parent, store) {
    this.store = store;
    this.plot = new Plot(parent, "persistence diagram", (root, width, height) => this.draw(root, width, height));
    this.plot.root.addEventListener("click", (event) => this.pick(event));
    store.on(["epsilon"], () => this.shade());
    store.on(["selected"], () => this.mark());
    store.on(["scene", "arrows"], () => this.plot.refresh());
  }

  draw(root, width, height) {
    const { clouds, loss } = this.store.get("scene"), limit = this.store.get("limit");
    const two = Boolean(loss), gutter = two ? 118 : 0, top = 12, bottom = height - 40;
    const side = Math.max(40, Math.min(bottom - top, width - 58 - gutter - 12));
    const left = 58 + gutter, right = left + side, low = Math.min(bottom, top + side);
    this.limit = limit;
    this.x = (value) => left + (side * value) / limit;
    this.y = (value) => low - (side * value) / limit;
    this.gutter = two ? [58 + 18, left - 38] : null;
    this.region = svg("rect", { class: "tk-alive" }, this.plot.over);
    const marks = ticks(0, limit, Math.max(3, Math.round(side / 80)));
    drawAxes(root, {
      left, right, top: low - side, bottom: low, x: this.x, y: this.y, xTitle: "birth", yTitle: two ? "" : "death",
      xTicks: marks, yTicks: two ? [] : marks,
    });
    if (two) this.drawGutter(root, low - side, low, marks);
    svg("path", { d: `M${this.x(0)},${this.y(0)}L${this.x(limit)},${this.y(limit)}`, class: "tk-diagonal" }, root);
    this.arrows = svg("g", { class: "tk-arrows" }, root);
    this.spots = [];
    [...clouds.keys()].reverse().forEach((cloud) => this.drawPoints(root, cloud, two));
    if (two) this.drawArrows(loss.parts);
    this.overlay = svg("g", { class: "tk-overlay" }, this.plot.over);
    this.legend(root, left, low, side, clouds, two);
    this.shade();
    this.mark();
  }

  drawGutter(root, top, bottom, marks) {
    const [teacher, student] = this.gutter, group = svg("g", { class: "tk-axes" }, root);
    for (const at of [teacher, student]) svg("line", { x1: at, x2: at, y1: top, y2: bottom, class: "tk-grid" }, group);
    for (const value of marks) svg("text", { x: 50, y: this.y(value) + 4, "text-anchor": "end" }, group, String(value));
    svg("text", { x: teacher, y: bottom + 14, "text-anchor": "middle" }, group, "teacher");
    svg("text", { x: student, y: bottom + 14, "text-anchor": "middle" }, group, "student");
    svg("text", { x: (teacher + student) / 2, y: bottom + 30, "text-anchor": "middle", class: "tk-title" }, group, "H0");
    svg("text", { transform: `translate(14,${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle", class: "tk-title" },
      group, "death");
  }

  /** Where a point of a cloud is drawn. In a comparison, degree 0 (birth 0) has two columns to itself. */
  at(cloud, dim, [birth, death]) {
    if (dim === 0 && this.gutter) return [this.gutter[cloud === 1 ? 0 : 1], this.y(death)];
    return [this.x(birth), this.y(death)];
  }

  drawPoints(root, cloud, two) {
    const group = svg("g", { class: `tk-points tk-cloud${cloud}` }, root), { pairs, color } = this.store.get("scene").clouds[cloud];
    pairs.forEach(({ values }, dim) => {
      for (let k = 0; k < values.shape[0]; k++) {
        const [birth, death] = row(values, k), [cx, cy] = this.at(cloud, dim, [birth, death]);
        const paint = two ? color : WEB_COLORS.homology[dim];
        const spot = svg("circle", {
          cx: cx.toFixed(2), cy: cy.toFixed(2), r: dim ? 4 : 3, fill: two && cloud === 1 ? "#fff" : paint, stroke: paint,
          class: "tk-point", "data-cloud": cloud, "data-dim": dim, "data-index": k,
        }, group);
        svg("title", {}, spot, `H${dim}, born ${digits(birth)}, dies ${digits(death)}`);
        this.spots.push({ cloud, dim, index: k, x: cx, y: cy });
      }
    });
  }

  legend(root, left, low, side, clouds, two) {
    const entries = two
      ? clouds.map((cloud, k) => [cloud.color, k === 1, `${["student", "teacher"][k]}, H1: ${cloud.pairs[1].values.shape[0]}`])
      : clouds[0].pairs.map(({ values }, dim) => [WEB_COLORS.homology[dim], false, `H${dim} (${values.shape[0]})`]);
    entries.forEach(([color, hollow, text], k) => {
      const y = low - 14 - 17 * (entries.length - 1 - k);
      svg("circle", { cx: left + side - 12, cy: y - 4, r: 4, fill: hollow ? "#fff" : color, stroke: color }, root);
      svg("text", { x: left + side - 22, y, "text-anchor": "end" }, root, text);
    });
  }

  drawArrows(parts) {
    const all = [];
    parts.forEach((part, dim) => {
      for (const [cloud, name] of [[1, "teacher"], [0, "student"]]) {
        const { cost, weight } = part[name];
        for (let k = 0; k < cost.length; k++) all.push([cost[k] * weight[k], cloud, dim, k]);
      }
    });
    all.sort((a, b) => b[0] - a[0]);
    const chosen = this.store.get("arrows") ? all.slice(0, MOST_ARROWS).filter(([share]) => share > 0) : [];
    for (const [share, cloud, dim, k] of chosen) {
      this.arrow(this.arrows, cloud, dim, k, 0.25 + 0.7 * Math.sqrt(share / all[0][0]), 1.1);
    }
  }

  /** The match of one point: a line to its nearest point, or a dashed one to the diagonal. */
  arrow(group, cloud, dim, k, opacity, width) {
    const { clouds, loss } = this.store.get("scene"), match = loss.parts[dim][cloud === 1 ? "teacher" : "student"];
    const from = this.at(cloud, dim, row(clouds[cloud].pairs[dim].values, k)), diagonal = match.index[k] < 0;
    let to = this.at(1 - cloud, dim, row(match.target, k));
    if (diagonal && dim === 0) to = [from[0] + (cloud === 1 ? -12 : 12), from[1]];
    else if (diagonal) to = [this.x(row(match.target, k)[0]), this.y(row(match.target, k)[1])];
    const [dx, dy] = [to[0] - from[0], to[1] - from[1]], length = Math.hypot(dx, dy) || 1, head = Math.min(5, length / 2);
    const [ux, uy] = [dx / length, dy / length], [bx, by] = [to[0] - ux * head, to[1] - uy * head];
    const d = `M${from}L${to}M${bx - 0.6 * uy * head},${by + 0.6 * ux * head}L${to}L${bx + 0.6 * uy * head},${by - 0.6 * ux * head}`;
    const style = { d, stroke: clouds[cloud].color, "stroke-width": width, opacity, class: "tk-match" };
    if (diagonal) style["stroke-dasharray"] = "3 2";
    svg("path", style, group);
  }

  shade() {
    if (!this.region) return;
    const value = Math.min(this.store.get("epsilon"), this.limit);
    const box = { x: this.x(0), y: this.y(this.limit), width: this.x(value) - this.x(0), height: this.y(value) - this.y(this.limit) };
    for (const [key, entry] of Object.entries(box)) this.region.setAttribute(key, Math.max(0, entry));
  }

  mark() {
    if (!this.overlay) return;
    this.overlay.replaceChildren();
    const selected = this.store.get("selected");
    if (!selected) return;
    const { cloud, dim, index } = selected, { clouds, loss } = this.store.get("scene");
    const [cx, cy] = this.at(cloud, dim, row(clouds[cloud].pairs[dim].values, index));
    if (loss) this.arrow(this.overlay, cloud, dim, index, 1, 2.4);
    svg("circle", { cx, cy, r: 8, class: "tk-chosen" }, this.overlay);
  }

  pick(event) {
    const box = this.plot.root.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    let best = null, least = 14 * 14;
    for (const spot of this.spots ?? []) {
      const distance = (spot.x - x) ** 2 + (spot.y - y) ** 2;
      if (distance < least) [best, least] = [spot, distance];
    }
    this.store.set({ selected: best && { cloud: best.cloud, dim: best.dim, index: best.index } });
  }
}
