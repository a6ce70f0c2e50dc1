"""One full scale of intensities for the scans of a sensor, guessed from a sample of them.

The scale that is guessed for a single scan depends on its brightest point, so that a dark scan would look as bright as
the others. The rule for a scan that does not fit the common scale is in `intensity`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from topokd.data.formats.cloud import read_cloud
from topokd.errors import DataError

SAMPLE = 16
"""Number of scans that are read."""
_FEW = 8


def common_scale(files: Sequence[Path], sample: int = SAMPLE, **reading: Any) -> float | None:
    """The full scale that fits a sample of scans, evenly chosen.

    It is 1 if that fits most of those that need a guess (fractions as a rule). Otherwise it is the largest scale that
    any of them needs; of eight or more, that two and an eighth of them need: a few may be damaged or odd.

    Args:
        files: the scans, in order.
        sample: how many of them are read.
        **reading: options of `read_cloud`.

    Returns:
        None if no scan of the sample needs a guess: the user, the number type or the form of the file says the scale.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> folder, rows = Path(tempfile.mkdtemp()), np.random.default_rng(0).uniform(-9, 9, (2000, 4))
        >>> for name, high in (("dark", 90), ("bright", 900)):
        ...     rows[:, 3] = np.arange(2000) % high
        ...     np.save(folder / f"{name}.npy", rows)
        >>> files = [folder / "dark.npy", folder / "bright.npy"]
        >>> common_scale(files), common_scale(files, intensity="none")
        (1023.0, None)
    """
    if reading.get("intensity_scale") is not None or reading.get("intensity") == "none":
        return None
    scales = []
    for path in _evenly(files, sample):
        with contextlib.suppress(DataError, OSError):  # a damaged scan is reported when its turn comes
            cloud = read_cloud(path, log_notes=False, **reading)
            scales += [cloud.scale] if cloud.guessed else []
    if not scales:
        return None
    scales.sort(reverse=True)
    if 2 * scales.count(1.0) > len(scales):
        return 1.0
    return scales[0 if len(scales) < _FEW else max(2, -(-len(scales) // 8)) - 1]


def _evenly(files: Sequence[Path], count: int) -> list[Path]:
    """``count`` of the files, from the first to the last."""
    if len(files) <= count:
        return list(files)
    return [files[k * (len(files) - 1) // (count - 1)] for k in range(count)]
