"""Read the columns of a pickled pandas data frame without executing anything in the file.

A pickle is a program: it names functions and calls them. Here the names of NumPy's and pandas' array constructors are
replaced by records that only store their arguments (`_Call`); every other name is rejected, and so is every instruction
that data frames do not need. Arrays are then built from the records: raw bytes, a number type and a shape, all checked.
Neither pandas nor NumPy's own unpickling is used, so that files of any pandas version can be read.
"""

from __future__ import annotations

import gzip
import io
import math
import pickle
import pickletools
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy import ndarray

from topokd.errors import DataError

MOST_BYTES = 1 << 28
"""Largest size of an unpacked file; a frame of PandaSet has about 10 MB."""
_MOST_STEPS = 100_000
"""Most instructions of a pickle; a data frame has a few hundred, because an array is one instruction."""

_NAMES = {
    "numpy": ("ndarray", "dtype"),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy.core.numeric": ("_frombuffer",),
    "pandas.core.frame": ("DataFrame",),
    "pandas.core.series": ("Series",),
    "pandas.core.internals.managers": ("BlockManager", "SingleBlockManager"),
    "pandas.core.internals.blocks": ("new_block", "Block", "FloatBlock", "IntBlock", "NumericBlock", "ObjectBlock"),
    "pandas.core.indexes.base": ("_new_Index", "Index"),
    "pandas.core.indexes.numeric": ("Int64Index", "UInt64Index", "Float64Index"),
    "pandas.core.indexes.range": ("RangeIndex",),
    "pandas._libs.internals": ("_unpickle_block",),
    "pandas.core.internals": ("BlockManager",),
    "builtins": ("slice",),
    "_codecs": ("encode",),
}
_INSTRUCTIONS = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT "
    "STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 UNICODE BINUNICODE SHORT_BINUNICODE "
    "EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS "
    "GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL REDUCE BUILD NEWOBJ"
)
_CODES = {op.name: op.code.encode("latin-1")[0] for op in pickletools.opcodes}


class _Call:
    """A call that the pickle asks for: recorded, never executed.

    Attributes:
        name: name of the function or class; "" until it is known.
        args: its arguments.
        state: the argument of the result's ``__setstate__``.
    """

    name = ""

    def __new__(cls, *args: Any) -> _Call:
        call = object.__new__(cls)
        call.args, call.state = args, None
        return call

    args: tuple[Any, ...]
    state: Any

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _stand_in(name: str) -> type[_Call]:
    return type(f"_{name.lstrip('_')}", (_Call,), {"name": name})


_STAND_INS = {(module, name): _stand_in(name) for module, names in _NAMES.items() for name in names}


class _Unpickler(pickle._Unpickler):  # type: ignore[name-defined, misc]
    """Python's unpickler (in pure Python), restricted to a few names and instructions."""

    dispatch: ClassVar[dict[int, Any]] = {
        _CODES[name]: pickle._Unpickler.dispatch[_CODES[name]] for name in _INSTRUCTIONS.split()
    }  # type: ignore[attr-defined]

    def _read_bytes(self) -> None:
        """BYTEARRAY8, as bytes: Python's own handler allocates as much as the file says before it reads."""
        this: Any = self  # `load` adds the methods
        this.append(this.read(int.from_bytes(this.read(8), "little")))

    dispatch[_CODES["BYTEARRAY8"]] = _read_bytes

    def find_class(self, module: str, name: str) -> Any:
        plain = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins")
        stand_in = _STAND_INS.get((plain, name))
        if stand_in is None:
            raise DataError(f"it refers to {module}.{name}, which is not an array type of NumPy or pandas")
        return stand_in


def read_data_frame(path: Path) -> tuple[dict[str, ndarray], ndarray | None]:
    """The columns of a data frame in a ``.pkl.gz`` or ``.pkl`` file.

    Args:
        path: the file; nothing in it is executed.

    Returns:
        name -> (n,) numbers; and the (n,) row labels, None if they are 0..n-1.

    Raises:
        DataError: the file is damaged, too large, or refers to anything but a data frame of numbers.

    Examples:
        >>> columns, rows = read_data_frame(Path("001/lidar/00.pkl.gz"))  # doctest: +SKIP
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist: copy it")
    try:
        content = _unpacked(path)
        steps = sum(1 for _ in zip(pickletools.genops(content), range(_MOST_STEPS + 1), strict=False))
        if steps > _MOST_STEPS:
            raise DataError(f"it has more than {_MOST_STEPS} instructions, a data frame of numbers needs few")
        return _columns(_Unpickler(io.BytesIO(content), encoding="latin-1").load())
    except DataError as error:
        raise DataError(
            f"{path} was not read: {error}. Pickles can run any code when they are loaded; if you trust the source, "
            "download the file again from it"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}): it is truncated or damaged; copy it again") from None
    except Exception as error:  # a damaged pickle fails in many ways
        raise DataError(f"{path} is damaged ({type(error).__name__}: {error}): copy it again") from None


def _unpacked(path: Path) -> bytes:
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except (EOFError, zlib.error) as error:
        raise OSError(str(error)) from None
    if len(content) > MOST_BYTES:
        raise DataError(f"it unpacks to more than {MOST_BYTES >> 20} MB")
    return bytes(content)


def _columns(frame: Any) -> tuple[dict[str, ndarray], ndarray | None]:
    if not isinstance(frame, _Call) or frame.name != "DataFrame" or not isinstance(frame.state, dict):
        raise DataError("it does not hold a data frame")
    manager = frame.state.get("_mgr", frame.state.get("_data"))
    if not isinstance(manager, _Call) or manager.name != "BlockManager":
        raise DataError("its data frame has no columns")
    blocks, axes = _blocks_and_axes(manager)
    names, index = _strings(axes[0]), _index(axes[1])
    columns: dict[str, ndarray] = {}
    for values, place in blocks:
        array = _array(values)
        rows = array.reshape(1, -1) if array.ndim == 1 else array
        where = _places(place)
        if array.ndim > 2 or len(where) != len(rows):
            raise DataError(f"a block of {array.shape} does not fit its {len(where)} columns")
        columns.update({names[k]: row for k, row in zip(where, rows, strict=True)})
    lengths = {len(column) for column in columns.values()} | ({len(index)} if index is not None else set())
    if len(columns) != len(names) or len(lengths) > 1:
        raise DataError(f"it has {len(names)} names for {len(columns)} columns of {sorted(lengths)} rows")
    return columns, index


def _blocks_and_axes(manager: _Call) -> tuple[list[tuple[Any, Any]], list[Any]]:
    """Values and places of the blocks, and the axes (columns, rows): pandas 1.3 and later, or the state of earlier."""
    if manager.args:
        blocks, axes = manager.args[:2]
        return [_block(block) for block in blocks], list(axes)
    state = manager.state
    if isinstance(state, tuple) and len(state) >= 4 and isinstance(state[3], dict) and "0.14.1" in state[3]:
        newer = state[3]["0.14.1"]
        return [(block["values"], block["mgr_locs"]) for block in newer["blocks"]], list(newer["axes"])
    raise DataError("its data frame is of an unknown version of pandas")


def _block(block: Any) -> tuple[Any, Any]:
    if not isinstance(block, _Call) or len(block.args) < 2:
        raise DataError("a block of its data frame is of an unknown form")
    return block.args[0], block.args[1]


def _dtype(value: Any) -> np.dtype[Any]:
    if not isinstance(value, _Call) or value.name != "dtype" or not isinstance(value.args[0], str):
        raise DataError("an array has an unknown number type")
    order = value.state[1] if isinstance(value.state, tuple) and len(value.state) > 1 else "|"
    if value.args[0] not in ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1") or order not in "<>|=":
        raise DataError(f"an array of {value.args[0]!r} where numbers are expected")
    return np.dtype(("" if order == "|" else order) + value.args[0])


def _array(value: Any) -> ndarray:
    """The array of a record: (shape, dtype, Fortran order, bytes), or NumPy's protocol 5 form of the same."""
    if not isinstance(value, _Call):
        raise DataError("an array is of an unknown form")
    if value.name == "_frombuffer":
        raw, dtype, shape, order = value.args
        fortran = order == "F"
    elif value.name == "_reconstruct" and isinstance(value.state, tuple) and len(value.state) == 5:
        _, shape, dtype, fortran, raw = value.state
    else:
        raise DataError("an array is of an unknown form")
    if isinstance(raw, _Call) and raw.name == "encode":  # protocol 2 writes bytes as text
        raw = raw.args[0]
    if isinstance(raw, str):
        raw = raw.encode("latin-1")
    kind = _dtype(dtype)
    fits = isinstance(raw, bytes) and all(isinstance(side, int) and side >= 0 for side in shape)
    if not fits or math.prod(shape) * kind.itemsize != len(raw):
        raise DataError(f"an array of shape {str(shape)[:60]} has another number of bytes")
    return np.frombuffer(raw, kind).reshape(shape, order="F" if fortran else "C").astype(kind.newbyteorder("="))


def _places(given: Any) -> list[int]:
    """The columns of a block: a slice or an array."""
    if isinstance(given, _Call) and given.name == "slice":
        start, stop, step = (*given.args, None)[:3] if len(given.args) < 3 else given.args
        return list(range(start or 0, min(stop, 1 << 16), step or 1))
    return [int(value) for value in _array(given)]


def _axis(value: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(value, _Call) or value.name != "_new_Index" or not isinstance(value.args[1], dict):
        raise DataError("an index is of an unknown form")
    return getattr(value.args[0], "name", ""), value.args[1]


def _strings(series: Any) -> list[str]:
    """The names of the columns: an array of Python strings."""
    _, given = _axis(series)
    array = given.get("data")
    values = array.state[4] if isinstance(array, _Call) and isinstance(array.state, tuple) else None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise DataError("its columns have no names")
    return values


def _index(series: Any) -> ndarray | None:
    """The labels of the rows; None for 0..n-1."""
    kind, given = _axis(series)
    if kind != "RangeIndex":
        return _array(given.get("data"))
    start, stop, step = (given.get(name) for name in ("start", "stop", "step"))
    if (start, step) == (0, 1):
        return None
    if not all(isinstance(value, int) for value in (start, stop, step)) or not step:
        raise DataError("its index is not a range of whole numbers")
    rows = range(start, stop, step)  # type: ignore[arg-type]
    if len(rows) > MOST_BYTES // 8:
        raise DataError("its index is longer than the file")
    return np.arange(start, stop, step)  # type: ignore[arg-type]
