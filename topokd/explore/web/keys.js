// Keys of an explorer; clouds have their own (camera.js), sliders and selects those of the browser.

import { row } from "./data.js";

const KEYS = {
  " ": ({ scale }) => (scale.timer ? scale.stop() : scale.start()),
  "]": (app) => jump(app, 1),
  "[": (app) => jump(app, -1),
  n: (app) => choose(app, 1),
  p: (app) => choose(app, -1),
  Escape: ({ store }) => store.set({ selected: null }),
};

export const KEY_HELP = "Keys: space plays, [ ] to the previous and next birth or death, n p through the classes by persistence, "
  + "Esc lets go; arrows and + − turn and zoom the cloud that was clicked last.";

/** Listen to keys anywhere in an explorer, except where text or a choice is entered. */
export function listenToKeys(app) {
  app.element.tabIndex = 0;
  // JupyterLab's own single keys act on cells. It looks for this from the element with the focus upwards, and that one first
  // for its keys: without it an arrow key folds a cell's heading and does not move the slider.
  app.element.dataset.lmSuppressShortcuts = "true";
  app.element.addEventListener("focusin", ({ target }) => (target.dataset.lmSuppressShortcuts = "true"));
  app.element.addEventListener("keydown", (event) => {
    const name = event.target.tagName, typed = name === "SELECT" || (name === "INPUT" && event.target.type !== "range");
    const pressed = event.key === " " && (name === "BUTTON" || typed); // space presses a button
    if (!app.store || typed || pressed || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    KEYS[event.key](app);
    event.preventDefault();
    event.stopPropagation();
  });
}

/** To the nearest birth or death above or below the scale. */
function jump({ store }, way) {
  const now = store.get("epsilon");
  let best = null;
  for (const { pairs } of store.get("scene").clouds) {
    for (const { values } of pairs) {
      for (const value of values) {
        if (way * (value - now) > 1e-9 * (1 + now) && (best === null || way * (value - best) < 0)) best = value;
      }
    }
  }
  if (best !== null) store.set({ epsilon: best });
}

/** The next or previous class by persistence, loops first. */
function choose({ store }, way) {
  const { clouds } = store.get("scene"), all = [], selected = store.get("selected");
  clouds.forEach(({ pairs }, cloud) => pairs.forEach(({ values }, dim) => {
    for (let index = 0; index < values.shape[0]; index++) {
      const [birth, death] = row(values, index);
      all.push({ cloud, dim, index, size: death - birth });
    }
  }));
  all.sort((a, b) => Math.min(1, b.dim) - Math.min(1, a.dim) || b.size - a.size);
  const same = (one) => selected && ["cloud", "dim", "index"].every((key) => one[key] === selected[key]);
  const at = all.findIndex(same), next = at < 0 ? 0 : (at + way + all.length) % all.length;
  if (!all.length) return;
  const { cloud, dim, index } = all[next];
  store.set({ selected: { cloud, dim, index } });
}
