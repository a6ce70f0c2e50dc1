"""Engine ``reduced`` (ours): exact degrees 0 and 1 from the components of each edge's lune, no triangle ever listed.

Idea (Koyama, Memoli, Robins, Turner, arXiv 2307.16333): let the edges come one by one. When (a, b) comes, its lune is
the set of vertices already joined to both. Every triangle with (a, b) as its last edge has its third vertex there, so

- empty lune: (a, b) joins two components (a death in degree 0) or closes a loop (a birth in degree 1);
- a lune of c components, r_0, ..., r_{c-1} being the vertices of each that were joined to both first: the closed paths
  a r_0 b r_k (k > 0) become boundaries. Each of these c - 1 relations is either known already or ends the youngest loop
  in it, through the triangle (a, b, r_k).

Which loops a path contains is read off annotations: every edge carries a set of loops such that the sum (over Z/2)
along a closed path is its homology class. A merging edge carries nothing, a loop's last edge that loop alone, any
other edge the sum of the two other edges of one filled triangle (its witness), worked out when first asked for and
kept. When a loop dies, it equals older loops from then on (:mod:`topokd.topology.kernels.loops`).

Neighbours and lunes are bitsets, so the work per edge is a few words. The sweep ends at the enclosing radius, or as
soon as no loop lives and every edge to come is known to have a vertex in its lune: then no later edge can create or
kill.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import numpy as np

from topokd.errors import ParameterError
from topokd.topology.engines import Pairs, elder_rule

MAX_POINTS = 1 << 16  # vertices are 16-bit halves of the edges' codes


def compute(keys: np.ndarray, max_dim: int = 1, limit: float = np.inf, time_limit: float | None = None) -> Pairs:
    """Pairs of degrees 0 and 1, for up to 65,536 points, of the edges let in within ``time_limit`` seconds.

    Raises :class:`ParameterError` for degree 2.
    """
    from topokd.topology.kernels import rips, spanning

    if max_dim > 1:
        raise ParameterError("engine 'reduced' computes degrees 0 and 1; take 'giotto-ph' or 'auto' for max_dim=2")
    if len(keys) > MAX_POINTS:
        raise ParameterError(f"engine 'reduced' takes at most {MAX_POINTS} points, not {len(keys)}: sample first")
    keys = np.ascontiguousarray(keys)
    if max_dim == 0:
        merged = spanning.tree(keys)
        merged = merged[keys[merged[:, 0], merged[:, 1]] <= limit]
        ended, remaining = elder_rule(merged, len(keys))
        return Pairs([ended[:, None]], [merged], [remaining[:, None]])
    with _stopping_after(time_limit) as stop:
        ended, merged, remaining, births, triangles, deaths, reached, _ = rips.pairs(keys, limit, stop)
    found = Pairs([ended[:, None]], [merged], [remaining[:, None]], None if reached == np.inf else reached)
    order = np.argsort(deaths, kind="stable")
    finite, endless = order[deaths[order] >= 0], order[deaths[order] < 0]
    found.birth.append(births[finite])
    found.death.append(np.sort(triangles[finite], axis=1))
    found.essential.append(births[endless])
    return found


@contextlib.contextmanager
def _stopping_after(seconds: float | None) -> Iterator[np.ndarray]:
    """A flag that the compiled sweep looks at now and then; it rises when the time is over."""
    stop = np.zeros(1, np.uint8)
    if seconds is None:
        yield stop
        return
    timer = threading.Timer(seconds, stop.fill, [1])
    timer.daemon = True
    timer.start()
    try:
        yield stop
    finally:
        timer.cancel()
