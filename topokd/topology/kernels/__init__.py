"""Compiled loops (Numba). A kernel is imported when it is first used: `kernels.sweep.pairs(...)`.

The rest of this page explains the sweep, which computes persistent homology of degrees 0 and 1. Read the files in this
order: `sweep` (control), `state` (arrays), `annotations` (data structure), `class_sums` (its arithmetic), `lunes`,
`active_edges`, `candidates` (shortcuts), `edge_order` (sorting), `bitset`. The sweep without a matrix of distances
uses the same annotations: `sparse_sweep` (control), `sparse_events`, `sparse_lunes`, `sparse_state`, `peel` (vertices
that are not needed any more), `relative_neighbours` (all births and merges beforehand), `kd_tree` (search). So does
that of a graph whose edges are given: `graph_sweep` (control), `graph_lunes`.

Clouds of up to 64 points take `small`, the same algorithm with plainer data; `values` and `nearest` turn pairs into
values, losses and gradients. These three are plain C functions: `topokd.compiled.native` calls them without Numba.
Certificates and representative cycles come from `cocycles`, the plain algorithm, and `cocycle_state`.

Reduced filtration
    The Vietoris-Rips complex of n points has O(n^3) triangles; none is listed here. Edges enter one by one, in a total
    order (filtration value, then vertex indices). When (a, b) enters, its *lune* is the set of vertices adjacent to
    both a and b by then; its cofacets (triangles whose longest edge it is) are exactly (a, b, v), v in the lune. Two of
    them are homotopic relative to (a, b) if their third vertices are connected within the lune, so one cofacet per
    component of the lune suffices: the reduced Vietoris-Rips complex of Koyama, Memoli, Robins and Turner
    (arXiv:2307.16333). With c components:

    - c = 0: (a, b) merges two components, a death in degree 0 (by the elder rule), or creates a class of degree 1.
    - c >= 1: (a, b) and its first cofacet cancel: an apparent pair in the sense of Bauer (Ripser, 2021), of zero
      persistence. Each further component r_k attaches a 2-cell to the square a, r_0, b, r_k. It kills the youngest
      class in that cycle; or none, if the cycle is a boundary already (the 2-cell then creates a class of degree 2).

Annotations
    Which classes are in a cycle is read off the annotations of its edges: vectors over Z/2 whose sum over a cycle is
    its homology class (Busaryev, Cabello, Chen, Dey, Wang, 2012). Their i-th coordinates are cocycles, and the update
    when a class dies is that of persistent cohomology (de Silva, Morozov, Vejdemo-Johansson, 2011) in the form of Dey,
    Fan and Wang (2014): the class that dies becomes the sum of the others in the cycle. A merging edge has annotation
    zero, a creating edge that of its class alone, any other edge the sum over the two other edges of its first cofacet.
    Evaluation and the update on death are both lazy: a relation is reduced only until its youngest class is known to
    live, and the sums that dead classes equal, the long ones as bitsets, are rewritten in living classes only once
    relations that kill nothing have cost more than that. On a sphere of high dimension the classes die all at once, and
    sums that were kept up to date grew to thousands of classes on the way, only to be rewritten again.

Stopping rule
    At the enclosing radius min_a max_b d(a, b) the complex is a cone. The sweep stops there, or earlier: as soon as one
    component is left, all classes are dead, and no future edge can have an empty lune.

Where the time is saved
    Lunes: neighbourhoods are bitsets, 64 vertices to a word; central vertices come first, so that four of them show
    most lunes to be connected. Sums of classes: a relation is reduced only until its youngest class is known to live,
    which is the one that dies, because a dead class equals a sum of older ones; long sums are bitsets, too. Active
    edges: once few classes live, only edges near those with a non-zero annotation are examined. Candidates: once no
    class lives, only edges whose lune may be empty are. benchmarks/constants.md has the time with half and double of
    each tuning constant.

State, here with the edge {1, 2} of a cloud of n = 5 points that has just entered with the cofacet {1, 2, 4}::

    edges (edge_order)       [code, code, ...  | ...                ]  sorted round by round, as far as needed
                                         ^ e: next edge to enter
    Graph
      position / vertex      vertex <-> position by centrality         (n,)
      adjacent               0: 11010 ...  bitset per position         (n, words)    lune = adjacent[p] & adjacent[q]
                             1: 11101 ...
      parent                 union-find of components                  (n,)
      edge_annotation        [ 0 | 3 | -5 | CANDIDATE | ... ]          (n (n - 1) / 2,)
                               |   |    |
                            zero   |    -1 - v: sum over the two other edges of cofacet v = 4, not evaluated yet
                                   v
    Annotations              number 3
      start, length          [ ... 17, 2 ... ]                         (annotations,)
      deaths_seen            [ ... 40 ... ]      deaths that it knows of; fewer than counters.deaths: update first
      words                  the pool as 64-bit words; a long sum is a bitset there, length = -words
      pool                   [ ... | 6 12 | ... ] classes, rising      (pool_used,)
                                     |
                                     v
      birth_edge             class 6: its creating edge                (births, 2)
      death_triangle         -1, or its killing triangle               (births, 3)
      substitute             -1 while it lives, else the annotation that it equals: older classes
      active_edges           edges with a non-zero annotation, once they are listed
      counters               births, deaths, merges, relations, candidates, ... (a record, state.COUNTERS)

References
    U. Bauer, Ripser: efficient computation of Vietoris-Rips persistence barcodes, J. Appl. Comput. Topol. 5, 2021.
    O. Busaryev, S. Cabello, C. Chen, T. Dey, Y. Wang, Annotating simplices with a homology basis and its applications,
    SWAT 2012.
    V. de Silva, D. Morozov, M. Vejdemo-Johansson, Dualities in persistent (co)homology, Inverse Problems 27, 2011.
    T. Dey, F. Fan, Y. Wang, Computing topological persistence for simplicial maps, SoCG 2014.
    M. Koyama, F. Memoli, V. Robins, K. Turner, Faster computation of degree-1 persistent homology using the reduced
    Vietoris-Rips filtration, arXiv:2307.16333.
"""

import importlib
from types import ModuleType

_KERNELS = {
    "active_edges",
    "chamfer",
    "cocycles",
    "critical",
    "distances",
    "edge_order",
    "graph_sweep",
    "sampling",
    "spanning",
    "relative_neighbours",
    "sparse_sweep",
    "state",
    "sweep",
}


def __getattr__(name: str) -> ModuleType:
    """Import a kernel, and Numba with it, on first use."""
    if name not in _KERNELS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
