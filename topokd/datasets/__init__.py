"""The public benchmarks, one folder each: classes, reader, check, official metric and submission behind one object.

``BENCHMARKS`` is found by scanning the subpackages of this one: a new benchmark is a new subpackage that exposes
``BENCHMARK``, and no other file changes.

>>> {"nuscenes", "semantickitti", "waymo"} <= set(BENCHMARKS)
True
>>> BENCHMARKS["nuscenes"].title, BENCHMARKS["nuscenes"].classes.num_classes, BENCHMARKS["nuscenes"].absent
('nuScenes-lidarseg', 16, 'skip')
"""

import importlib
import pkgutil

from topokd.datasets.benchmark import Benchmark
from topokd.datasets.nuscenes.reader import NuScenesLidarSeg
from topokd.datasets.semantickitti.reader import SemanticKITTI
from topokd.datasets.waymo.reader import WaymoSegmentation
from topokd.errors import DataError


def _find_benchmarks() -> dict[str, Benchmark]:
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.ispkg]
    benchmarks: list[Benchmark] = [importlib.import_module(f"{__name__}.{name}").BENCHMARK for name in names]
    return {benchmark.name: benchmark for benchmark in benchmarks}


BENCHMARKS: dict[str, Benchmark] = _find_benchmarks()
"""By the name that ``data.dataset`` has for them."""


def find_benchmark(name: str) -> Benchmark:
    """A benchmark by its name.

    Args:
        name: key of ``BENCHMARKS``.

    Returns:
        Its classes, reader, check, official metric and submission.

    Raises:
        DataError: the name is unknown; the message lists the known ones.

    Examples:
        >>> find_benchmark("waymo").title
        'Waymo Open'
    """
    if name not in BENCHMARKS:
        raise DataError(f"benchmark {name!r} is unknown; choose one of {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


__all__ = ["BENCHMARKS", "Benchmark", "NuScenesLidarSeg", "SemanticKITTI", "WaymoSegmentation", "find_benchmark"]
