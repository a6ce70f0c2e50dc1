// An explorer in a page or a notebook: its controls, its pictures, and messages to the kernel if there is one.

import { decode, unpack } from "./data.js";
import { Store } from "./store.js";
import { Scale, drawChoosers, drawSwitch, drawUpload, html } from "./controls.js";
import { LossPanel } from "./loss_panel.js";
import { drawExports } from "./export.js";
import { Panels } from "./panels.js";
import { listTriangles } from "./filtration.js";
import { listenToKeys } from "./keys.js";
import { ViewState } from "./view_state.js";
import { PageModel } from "./page.js";

class App {
  constructor(model, element) {
    this.model = model;
    this.element = html("div", { className: `tk-explorer${model.isPage ? " tk-page" : ""}` }, element);
    this.choosers = html("div", { className: "tk-row tk-choosers" }, this.element);
    this.status = html("p", { className: "tk-status", role: "status" }, this.element);
    this.tools = html("div", { className: "tk-row" }, this.element);
    this.info = html("p", { className: "tk-info" }, this.element);
    this.root = html("div", {}, this.element);
    this.below = html("div", { className: "tk-below" }, this.element);
    this.note = html("p", { className: "tk-note" }, this.element);
    this.element.explorer = this; // entry point for scripts and tests
    this.listTriangles = listTriangles;
    this.stopListening = listenToKeys(this);
    this.state = new ViewState(this);
    this.listeners = {
      "change:choosers": () => this.drawChoosers(),
      "change:status": () => this.drawStatus(),
      "change:failed": () => this.drawStatus(),
      "change:scene": () => this.rebuild(),
      "change:changes": () => this.update(),
      "change:cycles": () => this.addCycles(),
    };
    for (const [name, listener] of Object.entries(this.listeners)) model.on(name, listener);
    this.drawChoosers();
    this.drawStatus();
    if (Object.keys(model.get("scene") ?? {}).length) {
      this.rebuild();
      this.update(); // a second view of a notebook's explorer may open after some steps
      this.addCycles();
    } else {
      this.status.textContent = "Waiting for the kernel ...";
      this.send({ task: "ready" });
    }
  }

  drawChoosers() {
    drawChoosers(this.choosers, this.model.get("choosers"), (name, value) => this.choose(name, value));
    if (!this.model.isPage) {
      const two = this.model.get("kind") === "loss";
      drawUpload(this.choosers, two, (names, contents) => this.upload(names, contents), (text) => this.complain(text));
    }
  }

  choose(name, value) {
    this.stopSteps();
    this.status.textContent = "Computing ...";
    this.send({ task: "choose", changes: { [name]: value } });
  }

  upload(names, contents) {
    this.stopSteps();
    this.status.textContent = "Computing ...";
    this.send({ task: "upload", names }, contents);
  }

  /** A gradient step, or back to the start: `update` takes the words away. */
  follow(task) {
    if (!this.model.isPage) this.status.textContent = "Computing ...";
    this.send(task);
  }

  /** A message for the kernel, which may be gone: a restarted one knows nothing of the explorers in the page. */
  send(message, buffers) {
    try {
      this.model.send(message, undefined, buffers);
    } catch {
      this.drawChoosers();
      this.complain("The kernel that computed this has stopped or was started again: run the notebook's cell once more.");
    }
  }

  complain(text) {
    this.status.textContent = text;
    this.status.classList.add("tk-failed");
  }

  /** No more of a series of steps: it was for other points, or one has failed. */
  stopSteps() {
    if (this.loss) this.loss.pending = 0;
  }

  drawStatus() {
    if (this.model.get("failed")) {
      this.stopSteps();
      this.asked = false; // cycles that failed can be asked for again
      this.drawChoosers(); // the kernel does not send back a choice that it rejected: the menus must not go on showing it
    }
    this.status.textContent = this.model.get("status");
    this.status.classList.toggle("tk-failed", Boolean(this.model.get("failed")));
  }

  drawInfo() {
    this.info.replaceChildren();
    for (const [text, color] of this.store.get("info")) html("span", color ? { className: "tk-name", style: `border-color: ${color}` } : {}, this.info, text);
  }

  /** Replace all pictures: the data are new. */
  rebuild() {
    const scene = decode(this.model.get("scene"));
    if (!scene.clouds) return;
    scene.clouds.forEach((cloud) => cloud.entered ?? listTriangles(cloud));
    this.asked = false;
    this.panels?.dispose();
    this.loss?.plot.dispose();
    this.scale?.stop();
    for (const part of [this.tools, this.below]) part.replaceChildren();
    const { limit, longest } = bounds(scene), loss = scene.kind === "loss";
    this.store = new Store({
      scene, limit, longest, epsilon: loss ? 0 : opening(scene.clouds[0], limit), selected: null, info: [], edges: true, triangles: true,
      components: scene.kind === "filtration", gradient: loss, arrows: loss,
    });
    const { store } = this;
    this.scale = new Scale(this.tools, store);
    drawSwitch(this.tools, store, "edges", "edges");
    drawSwitch(this.tools, store, "triangles", "triangles");
    if (!loss) drawSwitch(this.tools, store, "components", "colour components");
    if (loss) drawSwitch(this.tools, store, "gradient", "−dL/dF");
    if (loss) drawSwitch(this.tools, store, "arrows", "matches");
    store.on(["info"], () => this.drawInfo());
    this.panels = new Panels(this.root, store, () => this.askForCycles());
    drawExports(this.tools, this.root, this.panels.views, store);
    this.loss = loss ? new LossPanel(this.panels.panel("tk-loss-panel", "the loss in numbers").body, store, (task) => this.follow(task), this.model.held) : null;
    const notes = [scene.note, this.model.isPage ? KERNEL_NOTE : ""].filter(Boolean).join(" ");
    this.note.replaceChildren(); // `code` between backticks
    notes.split("`").forEach((text, k) => (k % 2 ? html("code", {}, this.note, text) : this.note.append(text)));
    this.state.follow();
    delete this.element.dataset.step;
    this.element.dataset.scene = String(Number(this.element.dataset.scene ?? 0) + 1);
  }

  /** After a gradient step: the student's cloud and the loss have changed. */
  update() {
    const changes = decode(this.model.get("changes") ?? {});
    if (!changes.student || !this.store) return;
    this.drawStatus();
    changes.student.entered ?? listTriangles(changes.student);
    this.asked = false;
    const old = this.store.get("scene"), scene = { ...old, clouds: [changes.student, ...old.clouds.slice(1)], loss: changes.loss };
    this.panels.replaceStudent(changes.student);
    const { limit, longest } = bounds(scene);
    this.store.set({ selected: null });
    this.store.set({ scene, limit: Math.max(limit, this.store.get("limit")), longest });
    this.panels.refresh();
    this.element.dataset.step = String(changes.loss.history.length - 1);
    this.loss.arrived();
  }

  /** Cycles of many points take seconds, so the kernel computes them when a class of degree 1 is chosen. */
  askForCycles() {
    if (this.asked) return;
    this.asked = true;
    this.send({ task: "cycles" });
  }

  addCycles() {
    const cycles = decode(this.model.get("cycles") ?? []), clouds = this.store?.get("scene").clouds ?? [];
    if (cycles.length !== clouds.length) return;
    clouds.forEach((cloud, which) => (cloud.cycles = cycles[which]));
    this.panels.highlight();
  }

  dispose() {
    this.state.stop();
    this.stopListening();
    for (const [name, listener] of Object.entries(this.listeners)) this.model.off?.(name, listener);
    this.scale?.stop();
    this.loss?.plot.dispose();
    this.panels?.dispose();
    this.element.remove();
  }
}

const KERNEL_NOTE = "This page needs no kernel; with one, notebooks/explore/ also chooses scans, networks, stages, M and own files.";

/** The end of the axes (the last death), and the longest edge. */
function bounds({ clouds }) {
  let last = 0, longest = 0;
  for (const { pairs, lengths } of clouds) {
    for (const { values } of pairs) for (let k = 1; k < values.length; k += 2) last = Math.max(last, values[k]);
    longest = Math.max(longest, lengths[lengths.length - 1]);
  }
  return { limit: 1.08 * last || longest || 1, longest: longest || 1 };
}

/** Where the slider begins: a third of the way, or, if no edge has entered by then, where half of the components have merged. */
function opening({ pairs }, limit) {
  const deaths = Float64Array.from({ length: pairs[0].values.length / 2 }, (_, k) => pairs[0].values[2 * k + 1]).sort();
  return Math.max(0.35 * limit, deaths[deaths.length >> 1] ?? 0);
}

/** For anywidget. */
export function render({ model, el }) {
  const app = new App(model, el);
  return () => app.dispose();
}

/** Show what a page holds in its element `content`. */
export async function showPage(element, title) {
  html("h1", { className: "tk-heading" }, element, title);
  const content = await unpack(document.getElementById("content").textContent);
  return new App(new PageModel(content), element);
}
