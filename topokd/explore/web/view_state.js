// The view of an explorer, as plain values that a notebook or a link can keep: scale, chosen pair, switches, cameras.

const KEPT = ["epsilon", "selected", "edges", "triangles", "components", "gradient", "arrows"];
const WAIT = 700; // milliseconds without a change before the view is saved: JupyterLab then redraws, and a step would wait

const short = (value) => Number(value.toPrecision(6));

export class ViewState {
  constructor(app) {
    this.app = app;
    app.model.on("change:view", () => this.show());
  }

  /** What is chosen, by name of the chooser: a view belongs to it. */
  choices() {
    return Object.fromEntries(this.app.model.get("choosers").map(({ name, value }) => [name, value]));
  }

  read() {
    const { store, panels } = this.app;
    const view = Object.fromEntries(KEPT.map((key) => [key, store.get(key)]).filter(([, value]) => value !== undefined));
    view.epsilon = short(view.epsilon);
    view.cameras = panels.cameras.map(({ yaw, pitch, distance, target }) => [yaw, pitch, distance, ...target].map(short));
    view.choices = this.choices();
    return view;
  }

  /** New pictures: show the saved view if it is theirs, and save every change from now on. */
  follow() {
    const { store, panels } = this.app;
    this.show();
    const changed = () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.save(), WAIT);
    };
    store.on(KEPT, changed);
    for (const camera of panels.cameras) camera.listeners.push(changed);
  }

  save() {
    if (!this.app.panels) return;
    this.saved = JSON.stringify(this.read());
    this.app.model.set("view", JSON.parse(this.saved));
    try {
      this.app.model.save_changes();
    } catch {
      // the kernel is gone: nobody is left to remember the view
    }
  }

  show() {
    const view = this.app.model.get("view") ?? {}, { store, panels } = this.app;
    if (!panels || !view.choices || JSON.stringify(view) === this.saved) return;
    if (JSON.stringify(view.choices) !== JSON.stringify(this.choices())) return;
    const pairs = view.selected && store.get("scene").clouds[view.selected.cloud]?.pairs[view.selected.dim];
    const selected = pairs && view.selected.index < pairs.values.shape[0] ? view.selected : null;
    store.set({ ...Object.fromEntries(KEPT.filter((key) => key in view).map((key) => [key, view[key]])), selected });
    view.cameras?.forEach(([yaw, pitch, distance, ...target], k) => {
      if (!panels.cameras[k]) return;
      Object.assign(panels.cameras[k], { yaw, pitch, distance, target });
      panels.cameras[k].changed();
    });
  }

  stop() {
    clearTimeout(this.timer);
  }
}
