// The rows of controls: choosers, the scale and its player, switches, files.

import { countUpTo, digits } from "./data.js";

/** An HTML element with attributes, inside `parent`. */
export function html(name, attributes = {}, parent = null, text = null) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  if (text !== null) element.textContent = text;
  parent?.append(element);
  return element;
}

/** Selects for what Python offers; `choose(name, value)` on a change. */
export function drawChoosers(parent, choosers, choose) {
  const focused = parent.contains(document.activeElement) ? document.activeElement.name : null;
  parent.replaceChildren();
  for (const { name, label, value, options } of choosers) {
    const field = html("label", { className: "tk-field" }, parent, label);
    const select = html("select", { name }, field);
    for (const option of options) {
      const one = typeof option === "object" ? option : { value: option, label: String(option) };
      const item = html("option", { value: JSON.stringify(one.value) }, select, one.label);
      item.selected = one.value === value;
    }
    select.addEventListener("change", () => choose(name, JSON.parse(select.value)));
    if (name === focused) select.focus(); // the next key is for the menu, too, and not for the notebook
  }
}

const MOST_BYTES = 10e6; // Jupyter's server closes a connection that sends a message above 10 MiB

/** A button that opens a file, or two, and hands over their names and bytes. */
export function drawUpload(parent, two, send, complain) {
  const title = ".npy (n, c), or a scan: .ply .bin .pcd .las" + (two ? "; two files: features of student and teacher" : "");
  const button = html("button", { type: "button", title }, parent, two ? "own files" : "own file");
  const input = html("input", { type: "file", accept: ".npy,.ply,.bin,.pcd,.las,.laz", multiple: two, hidden: true }, parent);
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", async () => {
    const files = [...input.files], size = files.reduce((sum, file) => sum + file.size, 0), names = files.map(({ name }) => name);
    if (size > MOST_BYTES) {
      complain(`${names.join(" and ")}: ${(size / 1e6).toFixed(1)} MB; the button takes 10 MB. Give the path in the notebook's cell instead.`);
    } else if (files.length) send(names, await Promise.all(files.map((file) => file.arrayBuffer())));
    input.value = "";
  });
}

/** The scale: a slider, its value and what has entered, a player. */
export class Scale {
  constructor(parent, store) {
    this.store = store;
    this.play = html("button", { type: "button", title: "play the filtration" }, parent, "▶");
    html("span", { className: "tk-name" }, parent, "scale ε");
    this.slider = html("input", { type: "range", min: 0, max: 1000, step: 1, className: "tk-scale" }, parent);
    this.slider.setAttribute("aria-label", "scale epsilon");
    this.words = html("output", { className: "tk-words" }, parent);
    this.slider.addEventListener("input", () => store.set({ epsilon: (this.slider.value / 1000) * store.get("longest") }));
    this.play.addEventListener("click", () => (this.timer ? this.stop() : this.start()));
    store.on(["epsilon", "scene"], () => this.show());
    this.show();
  }

  show() {
    const { clouds } = this.store.get("scene"), epsilon = this.store.get("epsilon"), longest = this.store.get("longest");
    this.slider.value = Math.round((1000 * epsilon) / longest);
    const parts = clouds.map(({ lengths, entered, completed_by: listed }) => {
      const edges = countUpTo(lengths, epsilon), triangles = edges ? entered[edges - 1] : 0;
      const drawn = Math.min(triangles, listed.length);
      const less = triangles > drawn ? ` (the first ${drawn.toLocaleString("en")} drawn)` : "";
      return `${edges.toLocaleString("en")} of ${lengths.length.toLocaleString("en")} edges, ${triangles.toLocaleString("en")} triangles${less}`;
    });
    this.words.textContent = `${digits(epsilon)}: ${parts[0]}`;
  }

  start() {
    const { limit } = this.store.values;
    if (this.store.get("epsilon") >= limit) this.store.set({ epsilon: 0 });
    this.play.textContent = "❚❚";
    let last = performance.now();
    const tick = (now) => {
      const next = this.store.get("epsilon") + (limit * Math.min(100, now - last)) / 9000;
      last = now;
      this.store.set({ epsilon: Math.min(limit, next) });
      if (next >= limit) this.stop();
      else this.timer = requestAnimationFrame(tick);
    };
    this.timer = requestAnimationFrame(tick);
  }

  stop() {
    cancelAnimationFrame(this.timer);
    this.timer = null;
    this.play.textContent = "▶";
  }
}

/** A check box bound to a key of the store. */
export function drawSwitch(parent, store, key, label) {
  const field = html("label", { className: "tk-switch" }, parent);
  const box = html("input", { type: "checkbox", checked: store.get(key) }, field);
  field.append(label);
  box.addEventListener("change", () => store.set({ [key]: box.checked }));
}
