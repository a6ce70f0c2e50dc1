// The triangles of a filtration, listed from its edges in order.

const MOST_TRIANGLES = 60000; // listed and drawn; the complex on 1,024 points has 178,433,024

/**
 * Add to a cloud `entered`, how many triangles the complex has once each edge has entered, and the first triangles with the
 * place of the edge that completes each, as many whole edges' worth as fit into `most`. An edge completes one triangle for every
 * vertex joined to both its ends: a bit of the two rows of the adjacency matrix so far.
 */
export function listTriangles(cloud, most = MOST_TRIANGLES) {
  const { edges } = cloud, n = cloud.positions.length / 3, m = edges.length / 2, words = (n + 31) >> 5;
  const joined = new Uint32Array(n * words), entered = new Uint32Array(m), triangles = [], completed = [];
  let total = 0, open = true;
  for (let r = 0; r < m; r++) {
    const i = Math.min(edges[2 * r], edges[2 * r + 1]), j = Math.max(edges[2 * r], edges[2 * r + 1]);
    const before = total;
    for (let w = 0; w < words; w++) total += bits(joined[i * words + w] & joined[j * words + w]);
    entered[r] = total;
    open &&= total <= most;
    for (let w = 0; open && total > before && w < words; w++) {
      for (let left = joined[i * words + w] & joined[j * words + w]; left; left &= left - 1) {
        const k = 32 * w + 31 - Math.clz32(left & -left);
        if (k < i) triangles.push(k, i, j);
        else if (k < j) triangles.push(i, k, j);
        else triangles.push(i, j, k);
        completed.push(r);
      }
    }
    joined[i * words + (j >> 5)] |= 1 << (j & 31);
    joined[j * words + (i >> 5)] |= 1 << (i & 31);
  }
  cloud.entered = entered;
  cloud.triangles = Uint16Array.from(triangles);
  cloud.completed_by = Uint32Array.from(completed);
}

/** How many bits are set. */
function bits(word) {
  word -= (word >>> 1) & 0x55555555;
  word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
  return (((word + (word >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
}
