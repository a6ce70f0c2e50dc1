// Colours of the points of a scan: classes, right and wrong, or values.

import { html } from "./controls.js";

const ERROR_COLORS = [[120, 120, 120], [77, 87, 102], [255, 82, 71]];
const RAMP = [[38, 18, 66], [92, 26, 110], [158, 47, 100], [219, 80, 59], [249, 142, 8], [246, 215, 70], [252, 255, 200]];

function paintOf(scan, { kind }, value) {
  if (kind === "class") return value === 0 ? [120, 120, 120] : scan.palette[value - 1];
  if (kind === "error") return ERROR_COLORS[value];
  const place = (value / 255) * (RAMP.length - 1), k = Math.min(Math.floor(place), RAMP.length - 2), t = place - k;
  return RAMP[k].map((channel, c) => Math.round(channel * (1 - t) + RAMP[k + 1][c] * t));
}

/** Four bytes per point. */
export function scanColors(scan, colouring) {
  const { values } = colouring, colors = new Uint8Array(4 * values.length), table = new Map();
  for (let i = 0; i < values.length; i++) {
    let paint = table.get(values[i]);
    if (!paint) table.set(values[i], (paint = paintOf(scan, colouring, values[i])));
    colors.set(paint, 4 * i);
    colors[4 * i + 3] = 255;
  }
  return colors;
}

/** What the colours mean, for the classes that occur. */
export function drawLegend(parent, scan, colouring) {
  const counts = new Map();
  for (const value of colouring.values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const entries = {
    class: () => [...counts.keys()].sort((a, b) => a - b).map((value) => [value, value ? scan.classes[value - 1] : "unlabelled"]),
    error: () => {
      const wrong = counts.get(2) ?? 0, all = wrong + (counts.get(1) ?? 0);
      return [[1, "right"], [2, `wrong: ${((100 * wrong) / Math.max(1, all)).toFixed(1)} % of the labelled points`]];
    },
    value: () => [[0, "low"], [128, ""], [255, "high"]],
  }[colouring.kind]();
  parent.replaceChildren();
  const add = (paint, name) => {
    const entry = html("span", {}, parent);
    html("i", { style: `background: rgb(${paint.join(",")})` }, entry);
    entry.append(name);
  };
  for (const [value, name] of entries) add(paintOf(scan, colouring, value), name);
  add([255, 255, 255], `the ${scan.anchors.length / 3} sampled rows`);
}
