// Arrays as Python's topokd.explore.packing sends them, and small vectors.

const ARRAY_TYPES = {
  float32: Float32Array, float64: Float64Array, uint8: Uint8Array,
  uint16: Uint16Array, uint32: Uint32Array, int32: Int32Array,
};

/**
 * Replace arrays in nested values by typed arrays with a property `shape`: {type, shape, data} of a notebook, {type, shape, at}
 * of a page, whose bytes are `blob`, and {codes, low, step}, numbers of 16 bits.
 */
export function decode(value, blob = null) {
  if (Array.isArray(value)) return value.map((entry) => decode(entry, blob));
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
  if (typeof value.type === "string" && ARRAY_TYPES[value.type] && "shape" in value) {
    const Type = ARRAY_TYPES[value.type], count = value.shape.reduce((a, b) => a * b, 1);
    const bytes = "at" in value ? blob.subarray(value.at, value.at + count * Type.BYTES_PER_ELEMENT) : toBytes(value.data);
    const array = new Type(bytes.slice().buffer);
    array.shape = value.shape;
    return array;
  }
  if ("codes" in value && "step" in value) return exact(decode(value.codes, blob), value.low, value.step);
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, decode(entry, blob)]));
}

function exact(codes, low, step) {
  const array = Float32Array.from(codes, (code, k) => low[k % low.length] + step[k % low.length] * code);
  array.shape = codes.shape;
  return array;
}

function toBytes(data) {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** What topokd.explore.packing.to_text wrote into a page, decoded. */
export async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const content = new Uint8Array(await new Response(stream).arrayBuffer());
  const length = new DataView(content.buffer).getUint32(0, true);
  return decode(JSON.parse(new TextDecoder().decode(content.subarray(4, 4 + length))), content.subarray(4 + length));
}

/** Row i of an (n, k) array. */
export function row(array, i) {
  const k = array.shape[1];
  return Array.from(array.subarray(i * k, i * k + k));
}

/** How many of the rising `values` are at most `limit`. */
export function countUpTo(values, limit) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** "#rrggbb" as [r, g, b, 255]. */
export function rgba(hex, alpha = 255) {
  return [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)).concat(alpha);
}

/** A number with three or four significant digits. */
export function digits(x) {
  if (x === 0) return "0";
  const size = Math.abs(x);
  return size >= 1e5 || size < 1e-3 ? x.toExponential(2) : String(Number(x.toPrecision(4)));
}

/** One format for the numbers of a table: decimals that leave the largest four digits, or powers of ten for all of them. */
export function commonDigits(values) {
  const largest = Math.max(...values.map(Math.abs));
  if (largest === 0) return () => "0";
  if (largest >= 1e5 || largest < 1e-3) return (x) => x.toExponential(2);
  const decimals = Math.max(0, 3 - Math.floor(Math.log10(largest)));
  return (x) => x.toFixed(decimals);
}

export const WEB_COLORS = {
  homology: ["#1b4965", "#d1495b", "#b97d10"],
  birth: "#e08a00", death: "#d1495b", cycle: "#1e8f62", muted: "#6c757d", dark: "#11151c",
};
