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

const KEYLESS = ["checkbox", "radio", "range", "button", "submit", "reset", "file", "color"]; // inputs that take no text

/** Whether an element takes text: all keys are then its own. */
function takesText({ tagName, type, isContentEditable }) {
  return isContentEditable || tagName === "TEXTAREA" || (tagName === "INPUT" && !KEYLESS.includes(type));
}

/** Whether space presses or opens an element. */
function isPressed({ tagName, type }) {
  return ["BUTTON", "SELECT", "SUMMARY"].includes(tagName) || (tagName === "INPUT" && type !== "range");
}

/**
 * Listen to keys, except where text is entered; space presses the button, box or menu that has the focus.
 *
 * On a page of its own an explorer responds to all keys. In a notebook only to those inside it: the others are the notebook's.
 * Returns a function that stops listening.
 */
export function listenToKeys(app) {
  const heard = app.model.isPage ? document : app.element;
  app.element.tabIndex = 0;
  // JupyterLab's own single keys act on cells. It looks for this from the element with the focus upwards, and that one first
  // for its keys: without it an arrow key folds a cell's heading and does not move the slider.
  app.element.dataset.lmSuppressShortcuts = "true";
  app.element.addEventListener("focusin", ({ target }) => (target.dataset.lmSuppressShortcuts = "true"));
  const listener = (event) => {
    const { key, target } = event, own = key === " " && (event.shiftKey || isPressed(target)); // with shift it scrolls
    if (!app.store || !KEYS[key] || own || takesText(target)) return;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    KEYS[key](app);
    event.preventDefault();
    event.stopPropagation();
  };
  heard.addEventListener("keydown", listener);
  return () => heard.removeEventListener("keydown", listener);
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
