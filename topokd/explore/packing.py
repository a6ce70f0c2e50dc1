"""Encode arrays for the browser: as binary buffers in a notebook, compressed in a page."""

from __future__ import annotations

import base64
import gzip
import json
import math
from typing import Any

import numpy as np

TYPES = {"float32": "f4", "float64": "f8", "uint8": "u1", "uint16": "u2", "uint32": "u4", "int32": "i4"}


def pack(value: Any) -> Any:
    """Replace every array in nested dictionaries and lists by ``{"type", "shape", "data"}``, data as bytes.

    Raises:
        TypeError: for an array whose type JavaScript's typed arrays do not have.

    Examples:
        >>> pack({"a": [np.arange(2, dtype=np.uint8)]})
        {'a': [{'type': 'uint8', 'shape': [2], 'data': b'\\x00\\x01'}]}
    """
    if isinstance(value, dict):
        return {key: pack(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [pack(entry) for entry in value]
    if isinstance(value, np.ndarray):
        if value.dtype.name not in TYPES:
            raise TypeError(f"arrays of {value.dtype} cannot be sent; choose one of {', '.join(TYPES)}")
        data = np.ascontiguousarray(value).astype("<" + TYPES[value.dtype.name], copy=False).tobytes()
        return {"type": value.dtype.name, "shape": list(value.shape), "data": data}
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def quantize(value: Any) -> Any:
    """Replace every float32 array of nested values, which are for pictures, by 16 bits per number.

    Column c becomes ``low[c] + step[c] * code``, exact to 1/131,070 of the column's range; order is kept. Arrays of
    float64, such as the values of pairs, stay as they are.

    Examples:
        >>> packed = quantize(np.array([[0.0, 1.0], [2.0, 1.0]], dtype=np.float32))
        >>> packed["codes"].tolist(), packed["low"], [round(65535 * step, 6) for step in packed["step"]]
        ([[0, 0], [65535, 0]], [0.0, 1.0], [2.0, 0.0])
    """
    if isinstance(value, dict):
        return {key: quantize(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [quantize(entry) for entry in value]
    if not isinstance(value, np.ndarray) or value.dtype != np.float32 or not value.size:
        return value
    columns = value.reshape(len(value), -1).astype(np.float64)
    low, high = columns.min(axis=0), columns.max(axis=0)
    step = (high - low) / 65535
    codes = np.rint((columns - low) / np.where(step > 0, step, 1)).astype(np.uint16)
    return {"codes": codes.reshape(value.shape), "low": low.tolist(), "step": step.tolist()}


def to_text(packed: Any) -> str:
    """Encode packed values as text for a page: base64 of gzip of a header's length, the header, and the arrays' bytes.

    The header is JSON, in which each array has ``at``, the offset of its bytes, instead of ``data``; its length takes
    four bytes. Equal values give equal text.

    Examples:
        >>> import gzip
        >>> data = gzip.decompress(base64.b64decode(to_text(pack({"a": np.array([1, 2], dtype=np.uint8)}))))
        >>> int.from_bytes(data[:4], "little"), data[4:-2], data[-2:]
        (47, b'{"a": {"type": "uint8", "shape": [2], "at": 0}}', b'\\x01\\x02')
    """
    parts: list[bytes] = []
    size = 0

    def place(value: Any) -> Any:
        nonlocal size
        if isinstance(value, dict) and isinstance(data := value.get("data"), bytes):
            at = size
            parts.append(data)
            size += len(data)
            return {"type": value["type"], "shape": value["shape"], "at": at}
        if isinstance(value, dict):
            return {key: place(entry) for key, entry in value.items()}
        return [place(entry) for entry in value] if isinstance(value, list) else value

    header = json.dumps(place(packed), ensure_ascii=True).encode()
    content = b"".join([len(header).to_bytes(4, "little"), header, *parts])
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
