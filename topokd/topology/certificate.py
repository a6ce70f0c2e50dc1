"""Certificates of diagrams, and the checker that trusts no engine: NumPy and the definition, nothing else.

What is proved. Order the edges that enter (by value, then by vertices), and the triangles by their longest edge, then
the second longest, then the third. Suppose every edge e has a cochain phi_e (a set of edges over Z/2) whose oldest edge
is e. Let p(e) be the oldest triangle with an odd number of edges in phi_e, if there is one, and let no two edges share
it. Then these are the columns of a reduced coboundary matrix R = D V with V triangular, so the classes of degree 1 are
exactly the pairs (e, p(e)); those of the edges without p(e) that merge no components live on (de Silva, Morozov,
Vejdemo-Johansson, "Dualities in persistent (co)homology", 2011). The certificate makes this cheap:

- An edge with a *witness*, a vertex joined to both its ends earlier, takes phi_e = {e}. Then p(e) is its oldest cofacet
  and e its longest edge: no other edge has it, and the class has no persistence. Two comparisons.
- An edge without one either merges two components (union-find decides; phi_e is the cut between them, a cocycle) or
  creates a class. Its *cocycle* phi_e is then listed. All triangles older than its killing triangle that contain an
  edge of it are examined, n for each edge listed. The killing triangle must not be a p(e) of the first kind: the
  witness of its longest edge makes an older cofacet.

Every edge that enters is of one of these kinds, so nothing is missing. Time: one pass over the witnesses (as many as
edges), and n steps for each edge of a cocycle. That is linear in the size of the certificate but for the n third
vertices, which no proof can skip: an edge is in no odd triangle only if none of them makes one. Memory: two matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int32, Int64
from numpy import ndarray

from topokd.errors import CertificateError, DataError

ROWS = 4096  # edges of a cocycle that are checked together


@dataclass(frozen=True)
class Certificate:
    """A proof of the diagrams of degrees 0 and 1 of one cloud, for `check`.

    Attributes:
        filtration: (n, n) values that order the edges: squared distances of points, or distances; times a power of two.
        limit: edges above this value do not enter.
        unit: lengths of edges are sqrt(filtration) / unit for points, filtration / unit for distances.
        witness: (m,) per edge that enters, in order: a vertex joined to both its ends by earlier edges, -1 for none.
        birth: (k, 2) creating edges of the classes of degree 1, in order.
        death: (k, 3) the triangles that kill them; -1 for classes that live on.
        start: (k + 1,) where the cocycle of each class starts in ``cocycle``.
        cocycle: (l,) edges of the cocycles, as positions in the order.
    """

    filtration: Float64[ndarray, "n n"]
    limit: float
    unit: float
    witness: Int32[ndarray, " m"]
    birth: Int64[ndarray, "k 2"]
    death: Int64[ndarray, "k 3"]
    start: Int64[ndarray, " k_plus_1"]
    cocycle: Int32[ndarray, " l"]


def check(
    x: Any,
    persistence: Any,
    *,
    metric: str = "euclidean",
    threshold: float | None = None,
    certificate: Certificate | None = None,
) -> None:
    """Verify that ``persistence`` is the persistence of ``x``: every pair is right, and none is missing.

    Args:
        x: (n, c) points or (n, n) dense distances, as `vietoris_rips` took them.
        persistence: its `Persistence`, computed with ``certificate=True``.
        metric: as `vietoris_rips` took it.
        threshold: likewise.
        certificate: another one than that of ``persistence``.

    Raises:
        CertificateError: the certificate does not prove ``persistence``; the message says what is wrong.
        DataError: lists of clouds and of their persistence.

    Examples:
        >>> from topokd.topology import vietoris_rips
        >>> square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
        >>> check(square, vietoris_rips(square, certificate=True))
    """
    if isinstance(persistence, list | tuple):
        raise DataError("persistence is a list: check each cloud with its own")
    proof = persistence.certificate if certificate is None else certificate
    _require(proof is not None, "there is no certificate: call vietoris_rips(..., certificate=True)")
    x = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x, dtype=np.float64)
    values, points = proof.filtration, metric == "euclidean"
    lengths = (np.sqrt(values) if points else values) / proof.unit
    _check_lengths(x, lengths, values, proof.limit, np.inf if threshold is None else threshold, points)
    i, j = np.triu_indices(len(values), 1)
    order = np.argsort(values[i, j], kind="stable")
    order = order[values[i, j][order] <= proof.limit]
    edges = np.stack([i[order], j[order]], axis=1)
    never = len(edges) + 1
    ranks = np.full(values.shape, never)  # of a vertex with itself too: it is not a third vertex
    ranks[edges[:, 0], edges[:, 1]] = ranks[edges[:, 1], edges[:, 0]] = np.arange(1, never)
    bare = _without_witness(ranks, edges, proof.witness)
    merging, lost, creating = _merge(edges, bare, len(values))
    _require(np.array_equal(edges[creating], proof.birth), "creating edges are missing, wrong or too many")
    _require(len(proof.death) == len(creating), "every class needs an entry in death")
    ends = np.asarray(proof.start)
    _require(len(ends) == len(creating) + 1 and ends[0] == 0 and ends[-1] == len(proof.cocycle), "starts are wrong")
    _require(bool((np.diff(ends) > 0).all()), "a class has no cocycle")
    _require(
        bool(((proof.cocycle >= 0) & (proof.cocycle < len(edges))).all()), "a cocycle has an edge that never enters"
    )
    member = np.zeros(values.shape, dtype=bool)
    dies = np.empty(len(creating), dtype=np.int64)
    for k, born in enumerate(creating):
        dies[k] = _check_cocycle(ranks, edges, proof, member, k, int(born))
    killers = [tuple(sorted(t)) for t in proof.death[dies < never - 1].tolist()]
    _require(len(set(killers)) == len(killers), "two classes are killed by one triangle")
    lives = dies == len(edges)
    edge_of = [np.full(len(merging), -1), creating[~lives]]
    _check_diagrams(persistence, lengths, edges, ranks, edge_of, [merging, dies[~lives]], creating[lives])
    if len(persistence.diagrams):
        dead = dict(zip(merging.tolist(), lost, strict=True))
        listed = zip(
            _position(ranks, persistence.death_simplices[0]),
            np.asarray(persistence.birth_simplices[0].cpu()),
            strict=True,
        )
        _require(all(dead[int(p)] == int(v[0]) for p, v in listed), "degree 0: another component is younger")


def _check_lengths(x: ndarray, lengths: ndarray, values: ndarray, limit: float, threshold: float, points: bool) -> None:
    """The filtration is that of ``x`` up to rounding, and what enters is what the threshold says."""
    n = len(x)
    _require(
        values.shape == (n, n) and np.array_equal(values, values.T) and not values.diagonal().any(), "no filtration"
    )
    size = float((x.max(axis=0) - x.min(axis=0)).max(initial=0)) if points else float(x[np.isfinite(x)].max())
    for row in range(n):
        own = np.sqrt(np.square((x - x[row]) / (size or 1)).sum(axis=1)) * (size or 1) if points else x[row]
        finite, slack = np.isfinite(own), 1e-9 * np.where(np.isfinite(own), own, 0) + 1e-13 * size
        _require(
            bool((np.abs(lengths[row] - own)[finite] <= slack[finite]).all()), f"distances of point {row} are wrong"
        )
        enters = values[row] <= limit
        _require(bool((enters | ~finite | (own > threshold - slack)).all()), f"edges of point {row} are left out")
        _require(bool((~enters | finite & (own <= threshold + slack)).all()), f"edges of point {row} enter above it")


def _without_witness(ranks: ndarray, edges: ndarray, witness: ndarray) -> ndarray:
    """Positions of the edges that claim no witness, once all that do have one."""
    _require(len(witness) == len(edges), "there must be one witness for each edge that enters")
    _require(bool(((witness >= -1) & (witness < len(ranks))).all()), "a witness is not a vertex")
    has = np.flatnonzero(witness >= 0)
    rank, (a, b), v = has + 1, edges[has].T, witness[has]
    sides = np.stack([ranks[a, v], ranks[b, v]])
    wrong = has[(sides >= rank).any(axis=0)]
    _require(len(wrong) == 0, f"the witness of edge {edges[wrong[:1]].tolist()} is not joined to its ends earlier")
    return np.flatnonzero(witness < 0)


def _merge(edges: ndarray, bare: ndarray, n: int) -> tuple[ndarray, list[int], ndarray]:
    """Of the edges without a witness: those that merge, the oldest vertex that each kills, and those that create."""
    root, merges, lost = list(range(n)), [], []
    for a, b in edges[bare].tolist():
        while root[a] != a:
            root[a] = a = root[root[a]]
        while root[b] != b:
            root[b] = b = root[root[b]]
        merges.append(a != b)
        lost += [max(a, b)] * (a != b)
        root[max(a, b)] = min(a, b)
    chosen = np.array(merges, dtype=bool)
    return bare[chosen], lost, bare[~chosen]


def _check_cocycle(ranks: ndarray, edges: ndarray, proof: Certificate, member: ndarray, k: int, born: int) -> int:
    """The k-th class lives until its killing triangle. Returns the position of that triangle's longest edge."""
    support = proof.cocycle[proof.start[k] : proof.start[k + 1]]
    triangle, dies, name = proof.death[k], len(edges), f"the cocycle of class {k} (edge {edges[born].tolist()})"
    _require(support.min() == born and len(np.unique(support)) == len(support), f"{name} does not start at its birth")
    if (triangle >= 0).any():
        _require(bool((triangle >= 0).all()) and triangle.max() < len(ranks), f"class {k}: no triangle {triangle}")
        a, b, c = triangle.tolist()
        dies = max(ranks[a, b], ranks[a, c], ranks[b, c]) - 1
        _require(
            len({a, b, c}) == 3 and born < dies < len(edges), f"class {k}: {triangle} does not enter after its birth"
        )
    _require(support.max() <= dies, f"{name} has edges after its death")
    rows, columns = edges[support].T
    member[rows, columns] = member[columns, rows] = True
    early = support[support < dies]
    for part in np.split(early, np.arange(ROWS, len(early), ROWS)):
        a, b = edges[part].T
        joined = np.maximum(ranks[a], ranks[b]) <= dies
        _require(bool((member[a] ^ member[b])[joined].all()), f"{name} is odd on a triangle before its death")
    if dies < len(edges):
        a, b = edges[dies]
        v = int(next(u for u in triangle if u not in (a, b)))
        lune = np.flatnonzero(np.maximum(ranks[a], ranks[b]) <= dies)
        odd = lune[member[a, lune] ^ member[b, lune] ^ member[a, b]]
        age = [sorted((ranks[a, u], ranks[b, u]), reverse=True) for u in (*odd, v, proof.witness[dies])]
        _require(v in odd and age[-2] == min(age[:-1]), f"{name} is not odd first on its killing triangle {triangle}")
        _require(
            proof.witness[dies] >= 0 and age[-1] < age[-2], f"class {k}: edge {edges[dies].tolist()} kills nothing"
        )
    member[rows, columns] = member[columns, rows] = False
    return int(dies)


def _check_diagrams(
    persistence: Any,
    lengths: ndarray,
    edges: ndarray,
    ranks: ndarray,
    births: list[ndarray],
    deaths: list[ndarray],
    lives: ndarray,
) -> None:
    """The diagrams hold exactly the pairs proved, by their edges and values; vertices are at position -1."""
    length = np.append(lengths[edges[:, 0], edges[:, 1]], 0.0)  # the last one: of vertices
    for dim, (birth, death) in enumerate(zip(births, deaths, strict=True)):
        if dim == len(persistence.diagrams):
            return
        diagram = np.asarray(persistence.diagrams[dim].detach().cpu())
        near = max(1e-9, 4 * float(np.finfo(diagram.dtype).eps))
        claimed = {(int(b), int(d)) for b, d in zip(birth, death, strict=True)}
        created, killed = (_position(ranks, s[dim]) for s in (persistence.birth_simplices, persistence.death_simplices))
        pairs = list(zip(created.tolist(), killed.tolist(), strict=True))
        _require(len(set(pairs)) == len(pairs) == len(diagram), f"degree {dim}: a pair is listed twice")
        _require(set(pairs) <= claimed, f"degree {dim}: a pair is not proved")
        values = np.stack([length[created], length[killed]], axis=1)
        _require(np.allclose(diagram, values, rtol=near, atol=0), f"degree {dim}: a value is not that of its edge")
        left = np.array(sorted(claimed - set(pairs)), dtype=np.int64).reshape(-1, 2)
        flat = length[left[:, 1]] - length[left[:, 0]] <= near * length[left[:, 1]]
        _require(bool(flat.all()), f"degree {dim}: a pair is missing")
        expected = np.full(len(lengths) - len(deaths[0]), -1) if dim == 0 else lives
        stay = _position(ranks, persistence.essential_simplices[dim])
        _require(sorted(stay.tolist()) == expected.tolist(), f"degree {dim}: other classes live on than those listed")
        essential = np.asarray(persistence.essential[dim].detach().cpu())
        _require(
            np.allclose(essential, length[stay], rtol=near, atol=0), f"degree {dim}: a value that lives on is wrong"
        )


def _position(ranks: ndarray, simplices: Any) -> ndarray:
    """Of the longest edge of each simplex; -1 for vertices."""
    s = np.asarray(simplices.cpu())
    sides = [ranks[s[:, p], s[:, q]] for p in range(s.shape[1]) for q in range(p)]
    return np.stack([np.zeros(len(s), dtype=np.int64), *sides]).max(axis=0) - 1


def _require(condition: bool | np.bool_, problem: str) -> None:
    if not condition:
        raise CertificateError(f"the certificate is invalid: {problem}")
