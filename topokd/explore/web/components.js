// Components of a cloud at a scale, from its pairs of degree 0.

import { row } from "./data.js";

export class Components {
  constructor(cloud) {
    this.n = cloud.positions.length / 3;
    this.dying = cloud.pairs[0];
    this.merges = [...Array(this.dying.values.shape[0]).keys()].map((k) => row(this.dying.death, k)); // the edge that kills each
    const { edges } = cloud, of = new Map(this.merges.map(([i, j], k) => [this.key(i, j), k]));
    this.places = new Int32Array(this.merges.length);
    for (let r = 0; r < edges.length / 2; r++) {
      const k = of.get(this.key(edges[2 * r], edges[2 * r + 1]));
      if (k !== undefined) this.places[k] = r;
    }
  }

  key(i, j) {
    return Math.min(i, j) * this.n + Math.max(i, j);
  }

  /** Vertices of the component that a pair loses just before it merges, and the killing edges inside it. */
  component(pair) {
    const roots = this.at(this.places[pair]), start = roots[row(this.dying.birth, pair)[0]];
    const inside = this.merges.filter(([i], k) => this.places[k] < this.places[pair] && roots[i] === start);
    return { members: [...roots.keys()].filter((v) => roots[v] === start), inside };
  }

  /** Lowest vertex of the component of each vertex, once the first `entered` edges are there. */
  at(entered) {
    const root = Int32Array.from({ length: this.n }, (_, v) => v);
    const find = (v) => {
      while (root[v] !== v) v = root[v] = root[root[v]];
      return v;
    };
    this.merges.forEach((edge, k) => {
      if (this.places[k] >= entered) return;
      const [a, b] = edge.map(find);
      root[Math.max(a, b)] = Math.min(a, b);
    });
    return root.map((_, v) => find(v));
  }
}
