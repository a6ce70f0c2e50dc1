// Arrays as Python's topokd.explore.packing sends them, and small vectors.

const ARRAY_TYPES = {
  float32: Float32Array, float64: Float64Array, uint8: Uint8Array,
  uint16: Uint16Array, uint32: Uint32Array, int32: Int32Array,
};

/** Replace every {type, shape, data} in nested values by a typed array with a property `shape`. */
export function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.type === "string" && ARRAY_TYPES[value.type] && "data" in value) {
    const Type = ARRAY_TYPES[value.type];
    const array = new Type(toBytes(value.data).slice().buffer);
    array.shape = value.shape;
    return array;
  }
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, decode(entry)]));
}

function toBytes(data) {
  if (typeof data === "string") {
    const text = atob(data), bytes = new Uint8Array(text.length);
    for (let k = 0; k < text.length; k++) bytes[k] = text.charCodeAt(k);
    return bytes;
  }
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
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

export const WEB_COLORS = {
  homology: ["#1b4965", "#d1495b", "#b97d10"],
  birth: "#e08a00", death: "#d1495b", cycle: "#1e8f62", muted: "#6c757d", dark: "#11151c",
};
