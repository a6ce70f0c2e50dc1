"""Files of one label per point without a header: what their size and their values say about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Int64

from topokd.errors import DataError

_ONE = 0x3F800000
"""The bits of 1.0 in float32; those of larger numbers are larger."""
_TYPES = {1: "uint8", 2: "uint16", 4: "uint32", 8: "int64"}


def ids_and_objects(
    raw: np.ndarray, file: Path | str = "labels"
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Class ids, the low 16 bits of 32-bit labels, and the numbers of objects, the high ones.

    Args:
        raw: (n,) labels.
        file: their source, for the message.

    Raises:
        DataError: they were stored as float32 or in the other byte order, or the ids are in the high bits. Such files
            hold 0 in nearly all low halves, so that every point would be one without a label.

    Examples:
        >>> ids_and_objects(np.array([10, 40 | 7 << 16]))
        (array([10, 40]), array([0, 7]))
        >>> ids_and_objects(np.array([10, 40], "f4").view("u4"), "0.label")
        Traceback (most recent call last):
        topokd.errors.DataError: 0.label holds float32 numbers: store labels as uint32, ...
    """
    raw = np.asarray(raw).astype(np.int64)
    ids, objects = raw & 0xFFFF, raw >> 16
    used = raw[raw > 0]
    if not objects.any() or not len(used):
        return ids, objects
    bits = used.astype("<u4")
    if used.min() >= _ONE and used.max() < 1 << 32:
        values = bits.view("<f4")
        if bool(((values < 1 << 16) & (values == np.floor(values))).all()):
            raise DataError(f"{file} holds float32 numbers: store labels as uint32, labels.astype('<u4').tofile(file)")
    if not ids.any():
        if np.count_nonzero(bits >> 24) > np.count_nonzero(bits & 0xFF0000):  # ids are below 256 as a rule
            raise DataError(
                f"{file} is in big-endian byte order: store labels as little-endian uint32, "
                "labels.astype('<u4').tofile(file)"
            )
        raise DataError(
            f"{file} has ids in its high 16 bits alone, where numbers of objects belong: write label >> 16 if those "
            "are the classes"
        )
    return ids, objects


def check_label_count(file: Path, points: int, dtype: np.dtype, remedy: str) -> None:
    """Compare the size of a file of labels with the number of points of its scan.

    Args:
        file: of the labels.
        points: of the scan.
        dtype: number type of a label.
        remedy: what to do if nothing else explains the difference.

    Raises:
        DataError: it has another size, with the likely cause.

    Examples:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "0.label"
        >>> np.zeros(5, "u2").tofile(file)
        >>> check_label_count(file, 5, np.dtype("u2"), "copy both again")
    """
    size, needed = file.stat().st_size, dtype.itemsize * points
    if size == needed:
        return
    cause = remedy
    with file.open("rb") as stream:
        if stream.read(6) == b"\x93NUMPY":
            cause = f"it is a NumPy file: numpy.load(file).astype('{dtype.newbyteorder('<').str}').tofile(file)"
        elif points and size in (width * points for width in _TYPES):
            cause = f"its labels seem to be {_TYPES[size // points]}: store them as {dtype}"
        elif size % dtype.itemsize == 0:
            cause = f"it holds {size // dtype.itemsize} labels: {remedy}"
    raise DataError(
        f"{file} has {size} bytes, but its scan has {points} points and needs {needed} ({dtype} per point): {cause}"
    )
