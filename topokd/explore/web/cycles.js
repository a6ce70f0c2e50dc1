// What a class is made of: the component that dies (degree 0), a cycle that is born and killed with the pair (degree 1).

import { row } from "./data.js";

/** The place of every edge of a cloud in the filtration, and lookups that need it. */
export class Ranks {
  constructor(cloud) {
    this.cloud = cloud;
    this.n = cloud.positions.length / 3;
    this.rank = new Int32Array(this.n * this.n).fill(0x7fffffff);
    const { edges } = cloud;
    for (let r = 0; r < edges.length / 2; r++) {
      const i = edges[2 * r], j = edges[2 * r + 1];
      this.rank[i * this.n + j] = this.rank[j * this.n + i] = r;
    }
    this.columns = new Map();
    this.pairOf = new Map(); // rank of a creating edge -> index of the pair of degree 1
    const loops = cloud.pairs[1];
    for (let k = 0; loops && k < loops.values.shape[0]; k++) this.pairOf.set(this.of(row(loops.birth, k)), k);
  }

  of([i, j]) {
    return this.rank[i * this.n + j];
  }

  ends(r) {
    return [this.cloud.edges[2 * r], this.cloud.edges[2 * r + 1]];
  }

  /** The lowest vertex joined to both ends of edge r by earlier edges; -1 for none. */
  apex(r) {
    const [i, j] = this.ends(r), { rank, n } = this;
    for (let k = 0; k < n; k++) if (rank[i * n + k] < r && rank[j * n + k] < r) return k;
    return -1;
  }

  /**
   * Ranks of the edges of a cycle that edge `birth` completes and triangle `death` fills: a column of the boundary matrix
   * over Z/2, reduced. An edge with a triangle at its own entry is cleared with that triangle, any other with the cycle that it
   * completes. The killing edge itself has a triangle at its entry too: one in another part of its lune, tried in turn.
   * Null if the work exceeds `budget` additions.
   */
  cycle(pair, budget = { left: 400000 }, open = new Set()) {
    if (this.columns.has(pair)) return this.columns.get(pair);
    if (open.has(pair)) return null;
    open.add(pair);
    const loops = this.cloud.pairs[1], birth = this.of(row(loops.birth, pair)), triangle = row(loops.death, pair);
    const ranks = [[0, 1], [0, 2], [1, 2]].map(([a, b]) => this.of([triangle[a], triangle[b]])), last = Math.max(...ranks);
    const [i, j] = this.ends(last), k = triangle.find((v) => v !== i && v !== j);
    let found = null;
    for (const other of this.parts(last, k)) {
      found = this.reduce([[i, k], [j, k], [i, other], [j, other]].map((edge) => this.of(edge)), birth, budget, open);
      if (found) break;
    }
    open.delete(pair);
    if (found || !open.size) this.columns.set(pair, found);
    return found;
  }

  /** Add columns until `birth` is the last edge; null if that fails. */
  reduce(edges, birth, budget, open) {
    const heap = new MaxHeap(edges);
    while (budget.left-- > 0) {
      const pivot = heap.popOdd();
      if (pivot === undefined || pivot < birth) return null;
      if (pivot === birth) {
        const result = [birth];
        for (let next = heap.popOdd(); next !== undefined; next = heap.popOdd()) result.push(next);
        return result;
      }
      const k = this.apex(pivot);
      if (k >= 0) {
        const [i, j] = this.ends(pivot);
        heap.push(this.of([i, k]));
        heap.push(this.of([j, k]));
        continue;
      }
      const other = this.pairOf.get(pivot), column = other === undefined ? null : this.cycle(other, budget, open);
      if (!column) return null;
      for (let e = 1; e < column.length; e++) heap.push(column[e]);
    }
    return null;
  }

  /** The lowest vertex of each component of the lune of edge r, without the component of `apart`. */
  parts(r, apart) {
    const [i, j] = this.ends(r), { rank, n } = this, lune = [];
    for (let k = 0; k < n; k++) if (rank[i * n + k] < r && rank[j * n + k] < r) lune.push(k);
    const left = new Set(lune), found = [];
    const take = (start) => {
      const stack = [start];
      left.delete(start);
      while (stack.length) {
        const v = stack.pop();
        for (const w of left) {
          if (rank[v * n + w] >= r) continue;
          left.delete(w);
          stack.push(w);
        }
      }
    };
    take(apart);
    for (const start of lune) {
      if (!left.has(start)) continue;
      found.push(start);
      take(start);
    }
    return found;
  }

  /** Vertices of the component that the pair of degree 0 loses, just before it merges. */
  component(pair) {
    const dying = this.cloud.pairs[0], limit = this.of(row(dying.death, pair)), roots = this.components(limit);
    const start = row(dying.birth, pair)[0];
    return [...roots.keys()].filter((v) => roots[v] === roots[start]);
  }

  /** Lowest vertex of the component of each vertex, once the first `entered` edges are there. */
  components(entered) {
    const root = Int32Array.from({ length: this.n }, (_, v) => v);
    const find = (v) => {
      while (root[v] !== v) v = root[v] = root[root[v]];
      return v;
    };
    this.merges ??= [...Array(this.cloud.pairs[0].values.shape[0]).keys()].map((k) => row(this.cloud.pairs[0].death, k));
    for (const edge of this.merges) {
      if (this.of(edge) >= entered) continue;
      const [a, b] = edge.map(find);
      root[Math.max(a, b)] = Math.min(a, b);
    }
    return root.map((_, v) => find(v));
  }
}

class MaxHeap {
  constructor(values) {
    this.items = [];
    values.forEach((value) => this.push(value));
  }

  get size() {
    return this.items.length;
  }

  push(value) {
    const items = this.items;
    let k = items.length;
    items.push(value);
    while (k > 0 && items[(k - 1) >> 1] < value) {
      items[k] = items[(k - 1) >> 1];
      k = (k - 1) >> 1;
    }
    items[k] = value;
  }

  pop() {
    const items = this.items, top = items[0], last = items.pop();
    if (!items.length) return top;
    let k = 0;
    for (;;) {
      let child = 2 * k + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && items[child + 1] > items[child]) child += 1;
      if (items[child] <= last) break;
      items[k] = items[child];
      k = child;
    }
    items[k] = last;
    return top;
  }

  /** The largest value that occurs an odd number of times: sums are over Z/2. */
  popOdd() {
    while (this.size) {
      const top = this.pop();
      let count = 1;
      while (this.size && this.items[0] === top) {
        this.pop();
        count += 1;
      }
      if (count % 2) return top;
    }
    return undefined;
  }
}
