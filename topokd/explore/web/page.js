// A page's stand-in for the kernel.

/** In place of a kernel, the scenes and steps that a page holds. */
export class PageModel {
  constructor({ scenes, changes, step }) {
    const names = Object.keys(scenes), wanted = readHash(), first = wanted?.choices?.source in scenes ? wanted.choices.source : names[0];
    const { clouds, loss } = scenes[names[0]];
    this.isPage = true;
    this.scenes = scenes;
    this.steps = loss ? [{ student: clouds[0], loss }, ...changes] : [];
    this.done = 0;
    this.held = { size: step, left: () => this.steps.length - 1 - this.done };
    this.handlers = {};
    const choosers = names.length > 1 ? [{ name: "source", label: "points", value: first, options: names }] : [];
    this.values = { scene: scenes[first], view: wanted ?? {}, choosers, changes: {}, status: "", failed: false };
  }

  get(name) {
    return this.values[name];
  }

  on(event, handler) {
    this.handlers[event] = handler;
  }

  set(name, value) {
    this.values[name] = value;
    this.handlers[`change:${name}`]?.();
  }

  /** The view is kept in the page's address, so that a copied link opens it again. */
  save_changes() {
    history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(this.values.view))}`);
  }

  send(message) {
    if (message.task === "choose") {
      this.values.choosers = this.values.choosers.map((one) => ({ ...one, value: message.changes[one.name] ?? one.value }));
      this.set("scene", this.scenes[message.changes.source]);
      this.set("status", "");
    }
    if (message.task === "reset") this.done = 0;
    if (message.task === "step" && this.held.left() > 0) this.done += 1;
    if (message.task === "step" || message.task === "reset") {
      const { size, left } = this.held;
      this.set("status", left() > 0 ? "" : `This page holds ${this.done} steps of ${100 * size} %; use a notebook for more.`);
      this.set("changes", this.steps[this.done]);
    }
  }
}

/** The view in the page's address, or null. */
function readHash() {
  try {
    return JSON.parse(decodeURIComponent(location.hash.slice(1)));
  } catch {
    return null;
  }
}
