"""Engines: each turns a filtration of edges into the simplices that create and kill every Vietoris-Rips class.

An engine is one module in this folder with a constant `NAME` and an `Engine` named `ENGINE`; it is found by
its file. Edges of equal value are ordered by index (i, j), i < j, so the order is total and all engines return the same
pairs. Pairs of zero persistence in that order are left out; pairs of equal value but different edges are kept, and
dropped by `topokd.topology.vietoris_rips`, which knows the precision of the diagram.
"""

from __future__ import annotations

import importlib
import pkgutil

from topokd.errors import ParameterError
from topokd.options import number
from topokd.topology.engines.base import Engine, Pairs, edge_ranks, elder_rule

__all__ = ["ENGINES", "Engine", "Pairs", "choose_engine", "edge_ranks", "elder_rule"]


def _find_engines() -> dict[str, Engine]:
    names = (module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return {m.NAME: m.ENGINE for m in sorted(modules, key=lambda m: m.ENGINE.preference)}


ENGINES: dict[str, Engine] = _find_engines()
"""Engines by name, preferred ones first."""


def choose_engine(name: str, max_dim: int, time_limit: float | None = None) -> str:
    """Name of the engine for degrees up to `max_dim`.

    Args:
        name: a key of `ENGINES`, or "auto" for the first one that can compute the degree.
        max_dim: highest degree.
        time_limit: seconds, None for no limit.

    Returns:
        A key of `ENGINES`.

    Raises:
        ParameterError: for an unknown engine, or one that cannot compute the degree or stop at a time limit.

    Examples:
        >>> choose_engine("auto", 1), choose_engine("auto", 2)
        ('reduced', 'giotto-ph')
    """
    if not isinstance(name, str) or (name != "auto" and name not in ENGINES):
        raise ParameterError(f"engine is {name!r}; choose 'auto' or one of {', '.join(map(repr, ENGINES))}")
    able = [key for key, engine in ENGINES.items() if engine.max_dim >= max_dim]
    if name == "auto":
        name = able[0]
    if name not in able:
        others = ", ".join(map(repr, able))
        raise ParameterError(
            f"engine {name!r} computes degrees up to {ENGINES[name].max_dim}; choose {others} for max_dim={max_dim}"
        )
    if time_limit is not None and not ENGINES[name].has_time_limit:
        able = [key for key in able if ENGINES[key].has_time_limit]
        raise ParameterError(
            f"time_limit is {time_limit!r} s, but engine {name!r} cannot stop early; with degrees up to {max_dim} "
            f"{', '.join(map(repr, able)) if able else 'no engine'} can"
        )
    if time_limit is not None:
        number(time_limit, "time_limit", above=True, unit=" s")
    return name
