// The pictures of an explorer and how they answer one another.

import { WEB_COLORS, countUpTo, digits, rgba, row } from "./data.js";
import { Camera } from "./camera.js";
import { CloudView } from "./cloud_view.js";
import { Components } from "./components.js";
import { Diagram } from "./diagram.js";
import { Barcode } from "./barcode.js";
import { html } from "./controls.js";
import { drawLegend, scanColors } from "./scan_colors.js";
import { KEY_HELP } from "./keys.js";
import { arrow } from "./strokes.js";

const COMPONENT_COLORS = ["#1b4965", "#d1495b", "#5b8e7d", "#8e6c8a", "#c08552", "#3d7ea6", "#a23b72", "#6b8f3c", "#7a5cc2", "#b4652f"];

export class Panels {
  constructor(root, store, askForCycles) {
    this.root = root;
    this.store = store;
    this.askForCycles = askForCycles;
    this.cameras = [];
    this.views = [];
    this.plots = [];
    this.components = [];
    const { kind, scan, clouds } = store.get("scene");
    root.className = `tk-panels tk-${kind}`;
    if (scan) this.addScan(scan);
    clouds.forEach((_, which) => this.addCloud(which));
    this.addPlot(Diagram, "tk-diagram", "persistence diagram", "click a point");
    if (kind !== "loss") this.addPlot(Barcode, "tk-barcode", "barcode and Betti numbers", "click a bar, drag the cursor");
    store.on(["epsilon"], () => this.scale());
    store.on(["selected"], () => this.highlight());
    store.on(["edges", "triangles", "components", "gradient"], () => this.refresh());
    this.refresh();
  }

  panel(name, title) {
    const panel = html("section", { className: `tk-panel ${name}` }, this.root);
    const caption = html("h3", {}, panel, title);
    return { body: html("div", { className: "tk-body" }, panel), caption };
  }

  addPlot(Kind, name, title, hint) {
    const { body, caption } = this.panel(name, title), plot = new Kind(body, this.store);
    html("span", { className: "tk-hint" }, caption, `: ${hint}`); // saved pictures do without
    this.plots.push(plot.plot);
    return plot;
  }

  addCloud(which) {
    const cloud = this.store.get("scene").clouds[which], camera = new Camera();
    this.cameras.push(camera);
    camera.fit(cloud.positions, cloud.flat);
    const how = cloud.columns > 3 ? `, first 3 principal axes of ${cloud.columns}` : "";
    const drawn = cloud.positions.length / 3, total = cloud.total ?? drawn; // farthest point sampling keeps M of them
    const number = total > drawn ? `${drawn} of ${total.toLocaleString("en")}` : drawn;
    const { body } = this.panel(`tk-cloud tk-cloud-${which}`, `${cloud.label}: ${number} points${how}`);
    const pick = (point) => this.pickPoint(which, point);
    const view = new CloudView(body, { camera, onPick: pick, label: `cloud of ${cloud.label}` });
    this.views.push(view);
    this.clouds = [...(this.clouds ?? []), view];
    this.components[which] = new Components(cloud);
    view.setComplex(cloud);
  }

  /** The scan twice with one camera, so that truth and prediction, or two saliency maps, can be compared. */
  addScan(scan) {
    const camera = new Camera(), names = scan.colourings.map(({ name }) => name);
    this.cameras.push(camera);
    if (scan.eye) camera.look(scan.eye, scan.target);
    else camera.fit(scan.positions, false);
    const second = names.findIndex((name) => name.startsWith("prediction"));
    this.scans = [0, second > 0 ? second : names.length - 1].slice(0, names.length > 1 ? 2 : 1).map((start) => {
      const { body, caption } = this.panel("tk-scan", `scan ${scan.name}, coloured by`);
      const select = html("select", { title: "colours of the points" }, caption);
      names.forEach((name, k) => html("option", { value: k, selected: k === start }, select, name));
      const legend = html("div", { className: "tk-legend" }, body);
      const view = new CloudView(body, { camera, dark: true, onPick: (point) => this.pickPoint(0, point), label: "scan" });
      const anchors = new Uint8Array((scan.anchors.length / 3) * 4);
      for (let i = 0; i < anchors.length; i += 4) anchors.set([255, 255, 255, 255], i);
      const colors = () => scanColors(scan, scan.colourings[select.value]);
      view.setPoints([
        { positions: scan.positions, colors: colors(), size: 2, metres: 0.09 },
        { positions: scan.anchors, colors: anchors, size: 5, pick: true, ring: false },
      ]);
      const draw = () => {
        view.setColors(0, colors());
        drawLegend(legend, scan, scan.colourings[select.value]);
      };
      select.addEventListener("change", draw);
      draw();
      this.views.push(view);
      return view;
    });
  }

  /** A point was clicked: the most persistent class whose birth or death simplex contains it. */
  pickPoint(which, point) {
    if (point < 0) return this.store.set({ selected: null });
    let best = null, most = -1;
    this.store.get("scene").clouds[which].pairs.forEach((pairs, dim) => {
      for (let k = 0; k < pairs.values.shape[0]; k++) {
        const [birth, death] = row(pairs.values, k), held = [...row(pairs.birth, k), ...row(pairs.death, k)];
        const weight = death - birth + (dim > 0 ? 1e9 : 0); // loops before components: every point has one of those
        if (held.includes(point) && weight > most) [best, most] = [{ cloud: which, dim, index: k }, weight];
      }
    });
    this.store.set({ selected: best });
  }

  scale() {
    const epsilon = this.store.get("epsilon");
    this.store.get("scene").clouds.forEach(({ lengths }, which) => {
      const entered = countUpTo(lengths, epsilon);
      this.clouds[which].setEntered(entered);
      if (this.store.get("components")) this.clouds[which].setColors(0, this.pointColors(which, entered));
    });
  }

  pointColors(which, entered) {
    const { clouds, loss } = this.store.get("scene"), { color, positions } = clouds[which], n = positions.length / 3;
    const colors = new Uint8Array(4 * n);
    const components = this.store.get("components") ? this.components[which].at(entered) : null;
    const size = new Map();
    components?.forEach((root) => size.set(root, (size.get(root) ?? 0) + 1));
    for (let i = 0; i < n; i++) {
      let paint = color;
      if (components) paint = size.get(components[i]) > 1 ? COMPONENT_COLORS[components[i] % COMPONENT_COLORS.length] : "#8a94a0";
      else if (loss && which === 0 && loss.gradient[i] === 0) paint = "#aab3bd";
      colors.set(rgba(paint), 4 * i);
    }
    return colors;
  }

  /** Redraw everything after new data or a changed switch. */
  refresh() {
    const { clouds } = this.store.get("scene");
    clouds.forEach(({ positions, lengths }, which) => {
      const view = this.clouds[which], entered = countUpTo(lengths, this.store.get("epsilon"));
      view.show = { edges: this.store.get("edges"), triangles: this.store.get("triangles") };
      const size = positions.length > 1500 ? 5 : positions.length > 600 ? 6 : 8;
      view.setPoints([{ positions, colors: this.pointColors(which, entered), size, pick: true, ring: true }]);
      view.setEntered(entered);
    });
    this.highlight();
  }

  /** The cloud of the student after a step. */
  replaceStudent(cloud) {
    this.components[0] = new Components(cloud);
    this.clouds[0].setComplex(cloud);
  }

  highlight() {
    const selected = this.store.get("selected"), { clouds, scan } = this.store.get("scene");
    this.cycleLength = null;
    clouds.forEach((cloud, which) => {
      const lines = this.store.get("gradient") ? this.gradientArrows(which) : [];
      if (selected?.cloud === which) lines.push(...this.selectionLines(which, cloud.positions, 1));
      this.clouds[which].setStrokes(lines);
    });
    for (const view of this.scans ?? []) view.setStrokes(selected ? this.selectionLines(selected.cloud, scan.anchors, 1.2) : []);
    this.store.set({ info: this.describe(selected) });
  }

  /** The chosen class at given positions: its cycle or component, the simplex that creates it and the one that kills it. */
  selectionLines(which, positions, width) {
    const { dim, index } = this.store.get("selected"), pairs = this.store.get("scene").clouds[which].pairs[dim];
    const at = (v) => Array.from(positions.subarray(3 * v, 3 * v + 3)), lines = [];
    const join = (vertices, color, thick) => {
      for (let a = 0; a < vertices.length; a++) {
        for (let b = a + 1; b < vertices.length; b++) lines.push([at(vertices[a]), at(vertices[b]), rgba(color), width * thick]);
      }
    };
    const killer = row(pairs.death, index), maker = row(pairs.birth, index);
    if (killer.length === 3) lines.push({ corners: killer.map(at), color: rgba(WEB_COLORS.death, 150) });
    if (dim === 1) {
      const { cycles } = this.store.get("scene").clouds[which];
      if (!cycles) this.askForCycles();
      else this.cycleLength = cycles.starts[index + 1] - cycles.starts[index];
      for (let k = 0; k < this.cycleLength; k++) join(row(cycles.edges, cycles.starts[index] + k), WEB_COLORS.cycle, 2.4);
    }
    if (dim === 0) {
      const { members, inside } = this.components[which].component(index);
      this.cycleLength = members.length;
      for (const edge of inside) join(edge, WEB_COLORS.cycle, 1.6);
      const p = at(maker[0]);
      lines.push([p, p, rgba(WEB_COLORS.birth), 9 * width]);
    }
    join(killer, WEB_COLORS.death, 2.2);
    if (dim > 0) join(maker, WEB_COLORS.birth, 3.4);
    return lines;
  }

  gradientArrows(which) {
    const { clouds, loss } = this.store.get("scene");
    if (!loss || which !== 0) return [];
    const { positions } = clouds[0], n = positions.length / 3;
    let longest = 0, extent = 0;
    for (let i = 0; i < n; i++) {
      longest = Math.max(longest, Math.hypot(...loss.arrows.subarray(3 * i, 3 * i + 3)));
      extent = Math.max(extent, Math.hypot(...positions.subarray(3 * i, 3 * i + 3)));
    }
    const lines = [];
    for (let i = 0; longest > 0 && i < n; i++) {
      const by = Array.from(loss.arrows.subarray(3 * i, 3 * i + 3), (value) => (0.3 * extent * value) / longest);
      if (Math.hypot(...by) < 0.004 * extent) continue;
      lines.push(...arrow(Array.from(positions.subarray(3 * i, 3 * i + 3)), by, rgba("#111111"), 1.4));
    }
    return lines;
  }

  /** What is chosen, in pieces of text, each with the colour of what it names in the pictures. */
  describe(selected) {
    const { clouds, loss } = this.store.get("scene");
    if (!selected) return [[`Click a point of the diagram${loss ? "" : ", a bar"} or a point of the cloud. ${KEY_HELP}`]];
    const { cloud: which, dim, index } = selected, cloud = clouds[which];
    const pairs = cloud.pairs[dim], [birth, death] = row(pairs.values, index);
    const maker = row(pairs.birth, index).join("–"), killer = row(pairs.death, index).join("–");
    const kinds = [["point", "edge"], ["edge", "triangle"], ["triangle", "tetrahedron"]][dim];
    const words = [
      [`${clouds.length > 1 ? `${cloud.label}: ` : ""}H${dim} #${index}, born at ${digits(birth)} with `],
      [`${kinds[0]} ${maker}`, WEB_COLORS.birth], [`, dies at ${digits(death)} with `], [`${kinds[1]} ${killer}`, WEB_COLORS.death],
      [`; persistence ${digits(death - birth)}`],
    ];
    const member = `the component that dies has ${this.cycleLength} point${this.cycleLength === 1 ? "" : "s"}`;
    if (dim === 0) words.push(["; "], [member, WEB_COLORS.cycle]);
    if (dim === 1) words.push(...(this.cycleLength ? [["; "], [`representative cycle of ${this.cycleLength} edges`, WEB_COLORS.cycle]] : [["; its cycle is being computed"]]));
    if (loss) {
      const match = loss.parts[dim][which === 1 ? "teacher" : "student"], other = which === 1 ? "student" : "teacher";
      const target = match.index[index] < 0 ? "the diagonal" : `${other}'s #${match.index[index]}`;
      const [cost, weight] = [match.cost[index], match.weight[index]];
      words.push([`; matched with ${target}: cost ${digits(cost)} × weight ${digits(weight)} = ${digits(cost * weight)}`]);
    }
    return [...words, ["."]];
  }

  dispose() {
    this.views.forEach((view) => view.dispose());
    this.plots.forEach((plot) => plot.dispose());
    this.store.clear();
    this.root.replaceChildren();
  }
}
