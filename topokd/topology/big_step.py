"""Big steps: the gradient of a diagram moves every simplex that must move for a pair to reach its target.

A critical edge alone can move until the next edge takes its place. The critical set of a pair (b, d) and a target t is
what separates them (Nigmetov and Morozov, "Topological optimization with big steps", 2024)::

    birth down to t   edges longer than t of a cycle that is born with b
    birth up to t     edges shorter than t of a cocycle that is born with b
    death down to t   edges longer than t of a chain of triangles that the cycle bounds
    death up to t     longest edges of the triangles below t on which the cocycle is odd
    merging edge      down: edges longer than t between the two oldest vertices; up: all edges below t of the cut

The chains are columns of the reduced boundary matrix, the cocycles those of the certificate (`kernels.cocycles`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from topokd.topology.certificate import Certificate
from topokd.topology.engines import edge_ranks
from topokd.topology.second_derivatives import refuse_second

Edges = Int64[ndarray, "e 2"]


class CriticalSets:
    """The critical sets of all pairs of a cloud.

    Args:
        proof: the certificate of its diagrams.
    """

    def __init__(self, proof: Certificate) -> None:
        self.proof = proof
        self.lengths = np.sqrt(proof.filtration) / proof.unit
        self.ranks, self.edges = edge_ranks(proof.filtration, proof.limit)
        self.number = {(i, j): k for k, (i, j) in enumerate(proof.birth.tolist())}
        self.columns: dict[int, tuple[set[int], set[tuple[int, int, int]]]] = {}

    def of_birth(self, edge: tuple[int, int], target: float) -> Edges:
        """Edges that must move for a class to be born at another length.

        Args:
            edge: the edge that creates the class.
            target: the new birth.
        """
        k = self.number[edge]
        if target < self.lengths[edge]:
            edges = self.edges[sorted(self._column(k)[0])]
            return edges[self._lengths(edges) > target]
        edges = self.edges[self._cocycle(k)]
        return edges[self._lengths(edges) < target]

    def of_death(self, edge: tuple[int, int], target: float) -> Edges:
        """Edges that must move for a class to die at another length.

        Args:
            edge: the edge that creates the class.
            target: the new death.
        """
        k = self.number[edge]
        i, j, v = self.proof.death[k]
        if target < max(self.lengths[i, j], self.lengths[i, v], self.lengths[j, v]):
            triangles = np.array(sorted(self._column(k)[1]))
            edges = np.unique(triangles[:, [[0, 1], [0, 2], [1, 2]]].reshape(-1, 2), axis=0)
            return edges[self._lengths(edges) > target]
        member = np.zeros(self.lengths.shape, dtype=bool)
        a, b = self.edges[self._cocycle(k)].T
        member[a, b] = member[b, a] = True
        odd = member[a] ^ member[b] ^ True  # (cocycle, n): triangles of an edge of the cocycle and a vertex
        odd[np.arange(len(a)), a] = odd[np.arange(len(b)), b] = False
        row, third = np.nonzero(odd & (np.maximum(self.lengths[a], self.lengths[b]) < target))
        corners = np.sort(np.stack([a[row], b[row], third], axis=1), axis=1)
        sides = corners[:, [[0, 1], [0, 2], [1, 2]]]  # (triangles, 3, 2)
        longest = self.ranks[sides[..., 0], sides[..., 1]].argmax(axis=1)
        edges = sides[np.arange(len(sides)), longest]
        return np.unique(edges[self._lengths(edges) < target], axis=0)

    def of_merge(self, vertex: int, edge: tuple[int, int], target: float) -> Edges:
        """Edges that must move for a component to merge at another length.

        Args:
            vertex: the vertex that creates the component.
            edge: the edge that merges it with an older one.
            target: the new length of the merge.
        """
        rank = int(self.ranks[edge])
        inside = self._component(vertex, rank)
        if target > self.lengths[edge]:
            i, j = np.nonzero(np.triu(inside[:, None] ^ inside[None], 1) & (self.lengths < target))
            return np.stack([i, j], axis=1)
        other = int(np.flatnonzero(self._component(vertex, rank + 1) & ~inside)[0])
        path = self._path(vertex, other, rank)
        return path[self._lengths(path) > target]

    def length(self, simplex: Sequence[int]) -> float:
        """Of its longest edge; 0 for a vertex."""
        return max((float(self.lengths[i, j]) for i, j in combinations(simplex, 2)), default=0.0)

    def _lengths(self, edges: Edges) -> Float64[ndarray, " e"]:
        return self.lengths[edges[:, 0], edges[:, 1]]

    def _cocycle(self, k: int) -> Any:
        return self.proof.cocycle[self.proof.start[k] : self.proof.start[k + 1]]

    def _column(self, k: int) -> tuple[set[int], set[tuple[int, int, int]]]:
        """The cycle of class k that its killing triangle closes, as positions of edges, and the chain it bounds."""
        waiting = [k]
        while k not in self.columns:
            current = waiting[-1]
            killing = self.proof.death[current].tolist()
            cycle, chain = self._boundary(*killing), {tuple(sorted(killing))}
            while (top := max(cycle)) != self._rank(*self.proof.birth[current].tolist()):
                if self.proof.witness[top] >= 0:
                    triangle = (*self.edges[top].tolist(), int(self.proof.witness[top]))
                    cycle ^= self._boundary(*triangle)
                    chain ^= {tuple(sorted(triangle))}
                    continue
                older = self.number[tuple(self.edges[top].tolist())]  # a class that has died
                if older not in self.columns:
                    waiting.append(older)
                    break
                cycle, chain = cycle ^ self.columns[older][0], chain ^ self.columns[older][1]
            else:
                self.columns[current] = cycle, chain  # type: ignore[assignment]
                waiting.pop()
        return self.columns[k]

    def _rank(self, i: int, j: int) -> int:
        return int(self.ranks[i, j]) - 1

    def _boundary(self, i: int, j: int, v: int) -> set[int]:
        return {self._rank(i, j), self._rank(i, v), self._rank(j, v)}

    def _component(self, vertex: int, rank: int) -> Bool[ndarray, " n"]:
        """Which vertices edges before ``rank`` join to ``vertex``."""
        adjacent = (self.ranks > 0) & (self.ranks < rank)
        inside, new = np.zeros(len(adjacent), dtype=bool), np.zeros(len(adjacent), dtype=bool)
        new[vertex] = True
        while new.any():
            inside |= new
            new = adjacent[new].any(axis=0) & ~inside
        return inside

    def _path(self, start: int, end: int, rank: int) -> Edges:
        """A path through edges up to ``rank`` whose longest edges come as early as possible (Prim's tree)."""
        n = len(self.ranks)
        cost = np.where((self.ranks > 0) & (self.ranks <= rank), self.ranks, n * n)
        before, best, done = np.full(n, start), cost[start].copy(), np.zeros(n, dtype=bool)
        done[start] = True
        while not done[end]:
            v = int(np.where(done, n * n + 1, best).argmin())
            done[v] = True
            nearer = ~done & (cost[v] < best)
            before[nearer], best[nearer] = v, cost[v][nearer]
        path, v = [], end
        while v != start:
            path.append(sorted((v, int(before[v]))))
            v = int(before[v])
        return np.array(path, dtype=np.int64).reshape(-1, 2)


def with_big_steps(
    x: Float[Tensor, "n c"],
    diagram: Float[Tensor, "k 2"],
    births: Int64[Tensor, "k _"],
    deaths: Int64[Tensor, "k _"],
    sets: CriticalSets,
    step: float,
) -> Float[Tensor, "k 2"]:
    """``diagram``, whose gradient moves critical sets of ``x``.

    A gradient g of a value v asks for t = v - ``step`` g; a birth stays between 0 and the death, a death above the
    birth. Each edge of the critical set gets the gradient (length - t) / ``step``; where sets overlap, the greatest
    move counts. A point moves by the sum of what its edges ask for over the root of their number, between sum
    and mean. So gradient descent with the learning rate ``step`` / 2 takes an edge on its own to t: both ends move.

    Args:
        x: (n, c) points.
        diagram: (k, 2) of one degree.
        births: (k, degree + 1) creating simplices.
        deaths: (k, degree + 2) killing simplices.
        sets: the sets of the cloud.
        step: how far a gradient reaches.
    """
    return _BigStep.apply(x, diagram.detach(), births, deaths, sets, step)  # type: ignore[no-any-return]


class _BigStep(torch.autograd.Function):
    """The diagram, with the gradient of `with_big_steps`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        diagram: Tensor,
        births: Tensor,
        deaths: Tensor,
        sets: CriticalSets,
        step: float,
    ) -> Tensor:
        ctx.save_for_backward(x, births, deaths)
        ctx.sets, ctx.step = sets, step
        return diagram.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, births, deaths = ctx.saved_tensors
        asked = np.zeros(ctx.sets.lengths.shape)  # the gradient of each edge, i < j
        g = gradient.detach().double().cpu().numpy()
        for (of_birth, of_death), creating, killing in zip(g, births.tolist(), deaths.tolist(), strict=True):
            birth, death = ctx.sets.length(creating), ctx.sets.length(killing)  # the diagram's may be rounded
            if of_birth != 0 and len(creating) > 1:
                target = min(max(birth - ctx.step * of_birth, 0.0), death)
                _ask(asked, ctx.sets.of_birth(tuple(creating), target), target, ctx)
            if of_death != 0:
                target = max(death - ctx.step * of_death, birth)
                if len(creating) > 1:
                    _ask(asked, ctx.sets.of_death(tuple(creating), target), target, ctx)
                else:
                    _ask(asked, ctx.sets.of_merge(creating[0], tuple(killing), target), target, ctx)
        i, j = np.nonzero(asked)
        points = x.detach().double().cpu().numpy()
        length = ctx.sets.lengths[i, j]
        slope = (asked[i, j] / np.where(length > 0, length, 1.0))[:, None] * (points[i] - points[j])
        moved, edges = np.zeros(points.shape), np.zeros(len(points))
        for end, sign in ((i, 1.0), (j, -1.0)):
            np.add.at(moved, end, sign * slope)
            np.add.at(edges, end, 1.0)
        field = torch.from_numpy(moved / np.sqrt(np.maximum(edges, 1.0))[:, None]).to(x)
        return refuse_second("the big-step gradient", field, x, gradient), None, None, None, None, None


def _ask(asked: Float64[ndarray, "n n"], edges: Edges, target: float, ctx: Any) -> None:
    """Note that edges should get the length ``target``, unless they are asked for a greater move already."""
    i, j = edges[:, 0], edges[:, 1]
    move = (ctx.sets.lengths[i, j] - target) / ctx.step
    greater = np.abs(move) > np.abs(asked[i, j])
    asked[i[greater], j[greater]] = move[greater]
