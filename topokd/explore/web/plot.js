// Small SVG plots: elements, ticks, axes.

export const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

/** An SVG element with attributes, inside `parent`. */
export function svg(name, attributes = {}, parent = null, text = null) {
  const element = document.createElementNS(SVG_NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  parent?.append(element);
  return element;
}

/** Round numbers between `low` and `high`, about `count` of them. */
export function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count), power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  const values = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high * (1 + 1e-9); k++) values.push(Number((k * step).toPrecision(12)));
  return values;
}

/** An SVG that fills `parent`, drawn again by `draw(svg, width, height)` when that changes size. */
export class Plot {
  constructor(parent, label, draw) {
    this.root = svg("svg", { class: "tk-plot", role: "img", "aria-label": label }, parent);
    this.over = svg("svg", { class: "tk-plot tk-over" }, parent); // what changes with scale and choice: the rest is not painted again
    this.draw = draw;
    this.parent = parent;
    this.observer = new ResizeObserver(() => this.refresh());
    this.observer.observe(parent);
  }

  refresh() {
    const width = Math.round(this.parent.clientWidth), height = Math.round(this.parent.clientHeight);
    if (width < 40 || height < 40) return;
    for (const root of [this.root, this.over]) {
      root.replaceChildren();
      root.setAttribute("viewBox", `0 0 ${width} ${height}`);
      root.setAttribute("width", width);
      root.setAttribute("height", height);
    }
    svg("style", {}, this.root, PLOT_STYLE);
    this.draw(this.root, width, height);
  }

  dispose() {
    this.observer.disconnect();
    this.root.remove();
    this.over.remove();
  }
}

/** Axis lines with ticks and titles: x at the bottom, y at the left. */
export function drawAxes(root, { left, right, top, bottom, x, y, xTitle, yTitle, xTicks, yTicks, yFormat = String, gap = 38 }) {
  const group = svg("g", { class: "tk-axes" }, root);
  for (const value of xTicks) {
    svg("line", { x1: x(value), x2: x(value), y1: top, y2: bottom, class: "tk-grid" }, group);
    svg("text", { x: x(value), y: bottom + 14, "text-anchor": "middle" }, group, value);
  }
  for (const value of yTicks) {
    svg("line", { x1: left, x2: right, y1: y(value), y2: y(value), class: "tk-grid" }, group);
    svg("text", { x: left - 5, y: y(value) + 4, "text-anchor": "end" }, group, yFormat(value));
  }
  svg("path", { d: `M${left},${top}V${bottom}H${right}`, class: "tk-axis" }, group);
  if (xTitle) svg("text", { x: (left + right) / 2, y: bottom + 30, "text-anchor": "middle", class: "tk-title" }, group, xTitle);
  if (yTitle) {
    const at = `translate(${left - gap},${(top + bottom) / 2}) rotate(-90)`;
    svg("text", { transform: at, "text-anchor": "middle", class: "tk-title" }, group, yTitle);
  }
  return group;
}

/** The look of plots, inside each SVG, so that it stays with an exported picture. */
export const PLOT_STYLE = `
.tk-plot text { font: 11.5px system-ui, sans-serif; fill: #333; }
.tk-plot .tk-title { font-size: 12.5px; }
.tk-plot .tk-value { font-size: 13px; font-weight: 600; paint-order: stroke; stroke: #fff; stroke-width: 4px; }
.tk-plot path { fill: none; }
.tk-axis { stroke: #555; }
.tk-grid { stroke: #e8eaed; }
.tk-diagonal { stroke: #8d99ae; stroke-dasharray: 4 3; }
.tk-alive { fill: #edae49; opacity: 0.16; }
.tk-point { fill-opacity: 0.75; stroke-width: 1.3; cursor: pointer; }
.tk-chosen { fill: none; stroke: #111; stroke-width: 2; }
.tk-chosen-bar { stroke: #111; stroke-width: 4.5; }
.tk-cursor { stroke: #e08a00; stroke-width: 2; cursor: ew-resize; }
.tk-curve { stroke-width: 1.8; }
.tk-match { fill: none; }`;
