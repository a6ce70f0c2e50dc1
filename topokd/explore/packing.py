"""Arrays on their way to the browser: as binary buffers in a notebook, as base64 in a page."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np

TYPES = {"float32": "f4", "float64": "f8", "uint8": "u1", "uint16": "u2", "uint32": "u4", "int32": "i4"}


def pack(value: Any) -> Any:
    """Replace every array in nested dictionaries and lists by ``{"type", "shape", "data"}``, data as bytes.

    Raises:
        TypeError: for an array of a type that typed arrays of JavaScript do not have.

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


def to_json(packed: Any) -> str:
    """Packed values as JSON that may stand in a page: bytes in base64, and no ``<`` that could end the script.

    Examples:
        >>> to_json({"text": "</script>", "data": b"abc"})
        '{"text": "\\\\u003c/script>", "data": "YWJj"}'
    """
    text = json.dumps(packed, default=_base64, ensure_ascii=True)
    return text.replace("<", "\\u003c")


def _base64(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} cannot be written into a page")
