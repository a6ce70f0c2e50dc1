"""One layout for all losses: features of several clouds as rows, cloud after cloud."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, SupportsIndex

import torch
from numpy import ndarray
from torch import Tensor

from topokd.checks import real_tensor
from topokd.errors import DataError

Features = Tensor | Sequence[Tensor]  # (n, c), (b, n, c), (b, c, h, w), or one (n_k, c) per cloud
# (b,) cumulative, or (n,) the cloud of each row; None: by the layout
Offsets = Tensor | Sequence[SupportsIndex] | ndarray | None
_SHOWN = 6  # numbers that a message shows
_THREE_AXES = "three axes mean (b, n, c); for (b, c, n) pass channels=1 to TappedNetwork, or transpose"


class Ends(list[int]):
    """Cumulative numbers of rows, with the shape that the rows had: (b, h, w) for images, (b, n) for clouds.

    Args:
        ends: cumulative numbers of rows.
        shape: of the points or pixels, without channels; empty for rows and lists.

    Examples:
        >>> as_rows(torch.zeros(2, 3, 4, 5)).ends, as_rows(torch.zeros(2, 3, 4, 5)).ends.shape
        ([20, 40], (2, 4, 5))
    """

    def __init__(self, ends: Iterable[int] = (), shape: Iterable[int] = ()) -> None:
        super().__init__(ends)
        self.shape = tuple(shape)


class Clouds(NamedTuple):
    """Features as rows: cloud k is ``rows[ends[k - 1] : ends[k]]``."""

    rows: Tensor  # (n, c)
    ends: list[int]  # cumulative numbers of rows

    @property
    def counts(self) -> list[int]:
        """Rows of each cloud."""
        return [end - start for start, end in zip([0, *self.ends], self.ends, strict=False)]

    def split(self) -> list[Tensor]:
        """The rows of each cloud that has any."""
        return [cloud for cloud in self.rows.split(self.counts) if len(cloud)]


def as_rows(x: Features, offsets: Offsets = None, name: str = "features") -> Clouds:
    """Rows of ``x`` in any layout that the losses accept; (n, c) rows come back as they are.

    =============== =============================================== ==================================
    ``x``           meaning                                         ``offsets``
    =============== =============================================== ==================================
    (n, c)          rows, cloud after cloud                         cumulative counts, the cloud of
                                                                    each row (as PyG's ``batch``), or
                                                                    None: one cloud
    (b, n, c)       b clouds of n points                            None
    (b, c, h, w)    b images; more axes, as (b, c, d, h, w), too    None
    [(n_k, c), ...] one entry per cloud                             None
    =============== =============================================== ==================================

    Args:
        x: features, logits or gradients; axis 1 of an image holds the channels, the last axis of everything else.
        offsets: where clouds end; a tensor, a list or an array of whole numbers.
        name: the name of ``x`` in error messages.

    Raises:
        DataError: when the layout is not one of these, or the offsets do not fit it.

    Examples:
        >>> as_rows(torch.zeros(2, 3, 4, 4)).rows.shape, as_rows(torch.zeros(2, 3, 4, 4)).ends
        (torch.Size([32, 3]), [16, 32])
        >>> as_rows(torch.zeros(5, 3), torch.tensor([0, 0, 1, 1, 1])).ends
        [2, 5]
        >>> as_rows(torch.zeros(5, 3), [2, 4])
        Traceback (most recent call last):
        topokd.errors.DataError: offsets [2, 4] must rise to the number of rows of the features, 5
    """
    if not isinstance(x, Tensor):
        return _joined(x, offsets, name)
    return _rows_of(real_tensor(x, f"the tensor of {name}"), offsets, name)


def _rows_of(x: Tensor, offsets: Offsets, name: str) -> Clouds:
    """Rows of one tensor."""
    if x.dim() == 2:
        return Clouds(x, cloud_ends(offsets, len(x), name))
    if x.dim() < 2:
        raise DataError(f"the {name} have the shape {_shape(x)}: give (n, c), (b, n, c), (b, c, h, w) or a list")
    clouds = len(x)
    if x.dim() >= 4:
        x = x.movedim(1, -1)  # (b, h, w, c)
    rows = x.reshape(-1, x.shape[-1])
    ends = Ends([(k + 1) * (len(rows) // max(clouds, 1)) for k in range(clouds)], x.shape[:-1])
    if offsets is not None and cloud_ends(offsets, len(rows), name) != ends:
        raise DataError(f"offsets {_few(offsets)} do not fit {name} of the shape {_shape(x)}: leave them out")
    return Clouds(rows, ends)


def as_labels(label: Features, ends: Sequence[int], classes: int | None = None) -> Tensor:
    """Labels as one (n,) row of numbers: from (n,), (b, n), (b, h, w) or a list of (n_k,).

    Args:
        label: Classes.
        ends: cumulative numbers of rows that the logits have; labels of several axes, or of several clouds, are
            compared with these and with the shape of `Ends`.
        classes: how many there are; None: not checked.

    Raises:
        DataError: when there are more or fewer labels than rows, or one that is not a class; when a list has other
            lengths than the clouds, or an array of several axes another shape than the logits.

    Examples:
        >>> as_labels(torch.zeros(2, 4, 4, dtype=torch.int64), [16, 32]).shape
        torch.Size([32])
    """
    parts, listed = _label_parts(label)
    flat = torch.cat([part.reshape(-1) for part in parts]) if len(parts) > 1 else parts[0].reshape(-1)
    rows = ends[-1] if ends else 0
    if len(flat) != rows:
        hint = axes_hint(shape_of(ends))
        raise DataError(f"there are {len(flat)} labels for {rows} rows of logits: give one per row, -1 for none{hint}")
    if listed or parts[0].dim() > 1:
        _require_layout(parts, listed, ends)
    if classes is not None and flat.numel():
        if flat.is_floating_point() or flat.is_complex() or flat.dtype == torch.bool:
            raise DataError(f"labels are {str(flat.dtype)[6:]}: give whole numbers, 0 to {classes - 1}, or -1 for none")
        low, high = (int(end) for end in flat.aminmax())
        if low < -1 or high >= classes:
            raise DataError(
                f"labels run from {low} to {high}, but there are {classes} classes: give 0 to {classes - 1}, or -1 "
                "for none"
            )
        flat = flat.long()  # what torch takes for classes
    return flat


def _label_parts(label: Any) -> tuple[list[Tensor], bool]:
    """Labels as tensors, and whether there is one for each cloud; else one, of a tensor, an array or a list."""
    listed = isinstance(label, list | tuple) and any(hasattr(part, "reshape") for part in label)
    parts = [part if _is_plain(part) else real_tensor(part, "label") for part in (label if listed else [label])]
    return parts, listed and any(part.dim() for part in parts)


def _require_layout(parts: list[Tensor], listed: bool, ends: Sequence[int]) -> None:
    """Check that labels and logits, equally many, are in the same order: axes of 1 do not count."""
    shape = shape_of(ends)
    counts = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    divided = len(counts) > 1 or bool(shape)  # else the rows of the logits may be any clouds
    sizes = [part.numel() for part in parts]
    if listed and divided and sizes != counts:
        raise DataError(
            f"the list has {_few(sizes)} labels for clouds of {_few(counts)} rows of logits: give one entry per cloud, "
            "in the order of the logits"
        )
    for part in parts:
        own, other = without_ones(part.shape), without_ones(shape[1:] if listed else shape)
        if len(own) < 2:
            continue
        if shape and own != other:
            raise DataError(
                f"labels of the shape {tuple(part.shape)} do not fit logits of {shape[1:] if listed else shape} points "
                f"or pixels: give the same axes in the same order, or one row of all labels{axes_hint(shape)}"
            )
        if not shape and divided and not listed and counts != [part.numel() // own[0]] * own[0]:
            raise DataError(
                f"labels of the shape {tuple(part.shape)} do not fit clouds of {_few(counts)} rows of logits: give one "
                "row of all labels, or a list with one entry per cloud"
            )


def shape_of(ends: Offsets) -> tuple[int, ...]:
    """The shape of the points or pixels that rows were, as `Ends` has it; empty if it is unknown."""
    return ends.shape if isinstance(ends, Ends) else ()


def without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without axes of 1, which do not change the order of rows.

    Examples:
        >>> without_ones((2, 1, 5))
        (2, 5)
    """
    return tuple(size for size in shape if size != 1)


def are_other_images(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether two shapes (b, h, w, ...) have equally many pixels in as many images, in another arrangement.

    Examples:
        >>> are_other_images((2, 4, 8), (2, 8, 4)), are_other_images((2, 4, 8), (2, 32))
        (True, False)
    """
    own, other = without_ones(a[1:]), without_ones(b[1:])
    return min(len(own), len(other)) > 1 and own != other and a[0] == b[0] and math.prod(a) == math.prod(b)


def axes_hint(shape: Sequence[int]) -> str:
    """What a message adds where the numbers of rows differ, if the shape without channels is that of (b, n, c)."""
    return f" ({_THREE_AXES})" if len(shape) == 2 else ""


def _is_plain(x: Any) -> bool:
    """Whether it is a tensor of int64 that can be used as it is: looking at all its values takes time."""
    plain = type(x) is Tensor and x.dtype == torch.int64
    return plain and x.device.type != "meta" and x.layout == torch.strided and not x.is_nested


def matched_rows(
    student: Features, teacher: Features, offsets: Offsets = None, name: str = "features", *, same_width: bool = False
) -> tuple[Tensor, Tensor, list[int]]:
    """Rows of both networks, one pair per point, and where clouds end.

    Args:
        student: features in any layout of `as_rows`.
        teacher: features in any layout; widths may differ.
        offsets: where the clouds of both end, see `as_rows`.
        name: their name in error messages.
        same_width: whether both need the same number of channels.

    Raises:
        DataError: when layouts cannot be read, or rows, clouds, the shapes of images, or (``same_width``) channels
            differ.

    Examples:
        >>> student, teacher, ends = matched_rows(torch.zeros(2, 4, 3), torch.zeros(2, 8, 2, 2))
        >>> student.shape, teacher.shape, ends
        (torch.Size([8, 3]), torch.Size([8, 8]), [4, 8])
    """
    if offsets is None:  # rows take the clouds of the other network's layout
        offsets = _implied_ends(student, teacher) or _implied_ends(teacher, student)
    if all(isinstance(x, Tensor) and x.dim() == 2 for x in (student, teacher)) and len(student) != len(teacher):
        offsets = None  # the number of rows is what is wrong
    own, other = as_rows(student, offsets, f"student's {name}"), as_rows(teacher, offsets, f"teacher's {name}")
    if len(own.rows) != len(other.rows) or own.ends != other.ends:
        raise DataError(
            f"student {_shape(student)} and teacher {_shape(teacher)} must have one row per matched voxel or "
            f"pixel; they have {len(own.rows)} and {len(other.rows)} rows in {len(own.ends)} and {len(other.ends)} "
            f"clouds or images{axes_hint(shape_of(own.ends)) or axes_hint(shape_of(other.ends))}"
        )
    if are_other_images(shape_of(own.ends), shape_of(other.ends)):
        raise DataError(
            f"student {_shape(student)} and teacher {_shape(teacher)} have equally many pixels in images of other "
            "shapes: resize one, or transpose it"
        )
    if same_width and own.rows.shape[1] != other.rows.shape[1]:
        raise DataError(
            f"student {_shape(student)} and teacher {_shape(teacher)} differ in channels: they need the same classes"
        )
    return own.rows, other.rows, own.ends


def cloud_ends(offsets: Offsets, rows: int, name: str = "features") -> list[int]:
    """Offsets as a list; a batch vector (the cloud of each row) is converted.

    A vector of n numbers for n rows whose last is below n can only be a batch vector: offsets end with n.

    Raises:
        DataError: when the numbers are neither.

    Examples:
        >>> cloud_ends(None, 4), cloud_ends([1, 4], 4), cloud_ends(torch.tensor([0, 1, 1, 1]), 4)
        ([4], [1, 4], [1, 4])
    """
    if offsets is None:
        return [rows]
    if isinstance(offsets, Ends) and offsets[-1:] == [rows]:  # of a layout, as they are
        return offsets
    values = _whole_numbers(offsets, name)
    rising = all(a <= b for a, b in zip([0, *values], values, strict=False))
    if len(values) == rows and values and max(values) < rows and min(values) >= 0:
        if not rising:
            raise DataError(f"the batch vector {_few(values)} must be sorted: put the rows of a cloud together")
        return torch.bincount(torch.tensor(values)).cumsum(0).tolist()
    if not rising or (values[-1:] != [rows] and (values or rows)):
        counts = len(values) > 1 and min(values) >= 0 and sum(values) == rows
        hint = ": these look like counts: pass their cumulative sum" if counts else ""
        raise DataError(f"offsets {_few(values)} must rise to the number of rows of the {name}, {rows}{hint}")
    return values


def is_per_cloud(rows: int, offsets: Offsets) -> bool:
    """Whether ``rows`` are one for each cloud of ``offsets``, not the rows that these divide.

    Examples:
        >>> is_per_cloud(2, [30, 80]), is_per_cloud(2, torch.tensor([0, 0, 1])), is_per_cloud(80, [30, 80])
        (True, True, False)
    """
    try:
        count, last = len(offsets), _whole_numbers(offsets[-1:], "logits")  # type: ignore[arg-type,index]
    except (TypeError, IndexError):  # `cloud_ends` says what is wrong
        return False
    if not last:
        return False
    batch = last[0] < count  # a batch vector: offsets of clouds with rows end with at least their number
    clouds, divided = (last[0] + 1, count) if batch else (count, last[0])
    return rows == clouds != divided


def thin(ends: Sequence[int], most: int) -> list[Tensor]:
    """Row numbers of at most ``most`` rows per cloud, evenly spaced; clouds without rows are left out.

    Voxels of a batch lie along a space-filling curve, so rows that are evenly spaced there are spread over the cloud.

    Examples:
        >>> [index.tolist() for index in thin([6, 8], 3)]
        [[0, 2, 5], [6, 7]]
    """
    rows = []
    for start, end in zip([0, *ends], ends, strict=False):
        if end > start:
            count = min(most, end - start)
            rows.append(start + (torch.arange(count) * (end - start - 1)) // max(count - 1, 1))
    return rows


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` in float32, unless it is float64: losses do not compute in half precision.

    Examples:
        >>> at_least_float32(torch.ones(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return x if x.dtype == torch.float64 else x.float()


def _joined(x: Sequence[Tensor], offsets: Offsets, name: str) -> Clouds:
    """A list of clouds as rows."""
    if not isinstance(x, list | tuple) or not x or not all(isinstance(cloud, Tensor) for cloud in x):
        raise DataError(f"the {name} must be a tensor or a list of tensors, one per cloud, not {type(x).__name__}")
    widths = {cloud.shape[1:] for cloud in x}
    if any(cloud.dim() != 2 for cloud in x) or len(widths) > 1:
        shapes = ", ".join(str(_shape(cloud)) for cloud in x[:_SHOWN])
        raise DataError(f"a list of {name} needs one (n, c) tensor per cloud, all with c channels; it has {shapes}")
    ends = torch.tensor([len(cloud) for cloud in x]).cumsum(0).tolist()
    if offsets is not None and cloud_ends(offsets, ends[-1], name) != ends:
        raise DataError(f"offsets {_few(offsets)} do not fit the clouds of the list of {name}: leave them out")
    return Clouds(torch.cat([real_tensor(cloud, f"a tensor of {name}") for cloud in x]), ends)


def _implied_ends(rows: Features, other: Features) -> list[int] | None:
    """Offsets of the clouds of ``other``, if ``rows`` are rows without offsets and ``other`` is not."""
    plain, divided = (isinstance(x, Tensor) and x.dim() == 2 for x in (rows, other))
    return as_rows(other).ends if plain and not divided else None


def _whole_numbers(offsets: Any, name: str) -> list[int]:
    if isinstance(offsets, Tensor) and offsets.device.type == "meta":
        raise DataError(f"offsets of the {name} are on the device meta, without values: give whole numbers")
    try:
        values = offsets.tolist() if hasattr(offsets, "tolist") else list(offsets)
        values = values if isinstance(values, list) else [values]
    except TypeError:
        raise DataError(
            f"offsets of the {name} are {offsets!r}: give one whole number per cloud, where it ends"
        ) from None
    if all(type(value) is int for value in values):
        return values
    values = [int(value) if isinstance(value, Tensor) and value.dim() == 0 else value for value in values]
    try:
        if any(isinstance(value, bool) for value in values):
            raise TypeError
        return [operator.index(value) for value in values]  # of NumPy too
    except TypeError:
        raise DataError(
            f"offsets of the {name} are {_few(values)}: give one whole number per cloud, where it ends"
        ) from None


def _few(values: Any) -> str:
    """The first numbers of a list, however long it is."""
    values = values.tolist() if hasattr(values, "tolist") else list(values)
    shown = ", ".join(str(value)[:20] for value in values[:_SHOWN])
    return f"[{shown}]" if len(values) <= _SHOWN else f"[{shown}, ... {len(values)} numbers]"


def _shape(x: Features) -> str:
    return str(tuple(x.shape)) if isinstance(x, Tensor) else f"a list of {len(x)}"
