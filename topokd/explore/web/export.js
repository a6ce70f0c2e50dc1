// Pictures (SVG, PNG) and tables (CSV) of what an explorer shows.

import { row } from "./data.js";
import { SVG_NAMESPACE, svg } from "./plot.js";
import { html } from "./controls.js";

/** All pictures below `root` in one SVG: plots, captions, legends and tables as vectors, clouds as images. */
export function toSVG(root, views) {
  const frame = root.getBoundingClientRect();
  const page = svg("svg", {
    xmlns: SVG_NAMESPACE, width: Math.round(frame.width), height: Math.round(frame.height),
    viewBox: `0 0 ${Math.round(frame.width)} ${Math.round(frame.height)}`,
  });
  svg("rect", { width: "100%", height: "100%", fill: "#fff" }, page);
  const place = (element) => {
    const box = element.getBoundingClientRect();
    return { x: box.left - frame.left, y: box.top - frame.top, width: box.width, height: box.height };
  };
  for (const panel of root.querySelectorAll(".tk-panel")) {
    svg("rect", { ...place(panel), rx: 5, fill: panel.matches(".tk-scan") ? "#11151c" : "none", stroke: "#dfe2e7" }, page);
    if (panel.matches(".tk-scan")) svg("rect", { ...place(panel.querySelector("h3")), fill: "#fff" }, page);
  }
  for (const view of views) {
    const href = view.png();
    if (href) svg("image", { ...place(view.element), href }, page);
  }
  for (const plot of root.querySelectorAll(".tk-plot")) {
    const copy = plot.cloneNode(true);
    for (const [key, value] of Object.entries(place(plot))) copy.setAttribute(key, value);
    page.append(copy);
  }
  for (const legend of root.querySelectorAll(".tk-legend")) svg("rect", { ...place(legend), fill: "#11151c", "fill-opacity": 0.78 }, page);
  for (const spot of root.querySelectorAll(".tk-legend i")) {
    const { x, y, width, height } = place(spot), fill = getComputedStyle(spot).backgroundColor;
    svg("circle", { cx: x + width / 2, cy: y + height / 2, r: width / 2, fill }, page);
  }
  drawWords(root, frame, page);
  return new XMLSerializer().serializeToString(page);
}

/** The words of captions, legends and tables, which are HTML, at their places: one text per line. */
function drawWords(root, frame, page) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT), range = document.createRange();
  const write = (text, box, { color, fontWeight, fontSize }) => {
    const [x, y] = [box.left - frame.left, box.top - frame.top + 0.77 * box.height];
    svg("text", { x, y, fill: color, style: `font: ${fontWeight} ${fontSize} system-ui, sans-serif` }, page, text);
  };
  while (walker.nextNode()) {
    const { data, parentElement: parent } = walker.currentNode;
    if (!data.trim() || parent.closest("svg, select, button, label, .tk-hint")) continue;
    let line = null;
    for (const { 0: word, index } of data.matchAll(/\S+/g)) {
      range.setStart(walker.currentNode, index);
      range.setEnd(walker.currentNode, index + word.length);
      const box = range.getBoundingClientRect();
      if (line && Math.abs(line.box.top - box.top) < 2) line.text += ` ${word}`;
      else {
        if (line) write(line.text, line.box, getComputedStyle(parent));
        line = { text: word, box };
      }
    }
    write(line.text, line.box, getComputedStyle(parent));
  }
  for (const select of root.querySelectorAll("h3 select")) {
    const box = select.getBoundingClientRect();
    write(select.selectedOptions[0].text, { left: box.left + 4, top: box.top + 2, height: box.height - 4 }, getComputedStyle(select));
  }
}

/** The same as a PNG of twice the size. */
export async function toPNG(root, views) {
  const image = new Image(), box = root.getBoundingClientRect();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(toSVG(root, views))}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [2 * Math.round(box.width), 2 * Math.round(box.height)];
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** One line per pair: values, critical simplices, and the match if there is a loss. */
export function toCSV({ clouds, loss }) {
  const lines = ["cloud,degree,birth,death,birth_simplex,death_simplex,match,cost,weight"];
  clouds.forEach((cloud, which) => {
    cloud.pairs.forEach((pairs, dim) => {
      const match = loss?.parts[dim][which === 1 ? "teacher" : "student"];
      for (let k = 0; k < pairs.values.shape[0]; k++) {
        const own = [...row(pairs.values, k), row(pairs.birth, k).join("-"), row(pairs.death, k).join("-")];
        const matched = match ? [match.index[k] < 0 ? "diagonal" : match.index[k], match.cost[k], match.weight[k]] : ["", "", ""];
        lines.push([JSON.stringify(cloud.label), dim, ...own, ...matched].join(","));
      }
      for (const birth of pairs.essential) lines.push([JSON.stringify(cloud.label), dim, birth, "inf", "", "", "", "", ""].join(","));
    });
  });
  return `${lines.join("\n")}\n`;
}

/** Buttons that save picture and data. */
export function drawExports(parent, root, views, store) {
  const kinds = {
    SVG: async () => new Blob([toSVG(root, views)], { type: "image/svg+xml" }),
    PNG: () => toPNG(root, views),
    CSV: async () => new Blob([toCSV(store.get("scene"))], { type: "text/csv" }),
  };
  const group = html("span", { className: "tk-group" }, parent); // on one line
  for (const [name, make] of Object.entries(kinds)) {
    const button = html("button", { type: "button", title: name === "CSV" ? "save the pairs" : "save the picture" }, group, name);
    button.addEventListener("click", async () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await make());
      link.download = `topokd-${store.get("scene").kind}.${name.toLowerCase()}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    });
  }
}
