"""The label files of nuScenes-panoptic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from topokd.checks import require_memory
from topokd.errors import DataError
from topokd.io import ARRAY_ERRORS


def read_panoptic(file: Path, points: int) -> Int64[ndarray, " points"]:
    """1000 x category + instance of each point.

    Args:
        file: a .npz with one array `data` of integers.
        points: how many it must hold.

    Raises:
        DataError: the file is missing, damaged, of another length, or holds pickled objects, which are never loaded.
    """
    try:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array")
        with archive:
            sizes = [entry.file_size for entry in archive.zip.infolist()]
            require_memory(2 * sum(sizes), f"{file}: unpacked", "it is damaged, or made to fill the memory")
            values = archive["data"]
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "iu":
            raise ValueError("`data` does not hold integers")
    except FileNotFoundError:
        raise DataError(f"{file} does not exist: unpack nuScenes-panoptic again, or remove panoptic.json") from None
    except ARRAY_ERRORS as error:
        raise DataError(
            f"{file} is not an archive with an array `data` ({error}): unpack nuScenes-panoptic again"
        ) from None
    if values.shape != (points,):
        raise DataError(f"{file} holds {values.shape} labels for {points} points: unpack nuScenes-panoptic again")
    return values.astype(np.int64)
