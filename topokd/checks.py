"""Input checks shared by readers, losses and networks."""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from topokd.errors import DataError

PROCESS_GROUPS = Path("/proc/self/cgroup")
"""Lists the control groups of this process, each as number:controllers:path."""
GROUPS = Path("/sys/fs/cgroup")
"""Root of the control groups; in version 1 each controller has a folder there."""

STUDENT_ADVICE = "look for NaN in the batch; if there is none, lower the learning rate"
TEACHER_ADVICE = "look for NaN in the batch; if there is none, check its checkpoint"
"""What to do about outputs of the two networks of a distillation that are not finite."""


def require_finite(x: Any, name: str, advice: str = "remove such rows") -> None:
    """Raise an error if ``x`` holds NaN or infinity.

    Args:
        x: a NumPy array or torch tensor of shape (n, ...); one row is ``x[i]``.
        name: name of ``x`` in the message.
        advice: how to fix it.

    Raises:
        DataError: names ``x``, the first bad row, and how many rows there are of it.

    Examples:
        >>> import numpy as np
        >>> require_finite(np.array([[0.0, 1.0], [np.nan, 2.0]]), "feat")
        Traceback (most recent call last):
        topokd.errors.DataError: feat holds NaN or infinity, first in row 1 of 2: remove such rows
    """
    row = first_nonfinite_row(x)
    if row is not None:
        raise DataError(f"{name} holds NaN or infinity, first in row {row} of {len(x)}: {advice}")


def require_finite_outputs(student: Any, teacher: Any, what: str) -> None:
    """Raise an error if the outputs of the two networks of a distillation hold NaN or infinity.

    Args:
        student: a tensor (n, ...).
        teacher: a tensor of the same rows.
        what: "features" or "logits".

    Raises:
        DataError: names the network; if it is both, NaN was in the batch rather than in one of them.
    """
    own, other = first_nonfinite_row(student), first_nonfinite_row(teacher)
    if own is not None and other is not None:
        raise DataError(
            f"the student's and the teacher's {what} hold NaN or infinity, first in rows {own} and {other} of "
            f"{len(student)}: look for NaN in the batch"
        )
    if own is not None:
        require_finite(student, f"the student's {what}", STUDENT_ADVICE)
    if other is not None:
        require_finite(teacher, f"the teacher's {what}", TEACHER_ADVICE)


def first_nonfinite_row(x: Any) -> int | None:
    """The index of the first row of ``x`` (array or tensor) with NaN or infinity, or None if all are finite.

    Examples:
        >>> import numpy as np
        >>> first_nonfinite_row(np.array([0.0, 1.0, np.inf]))
        2
    """
    if hasattr(x, "isfinite"):  # a tensor; NumPy is imported only for arrays
        finite = x.detach().isfinite()
    else:
        import numpy as np

        finite = np.isfinite(x)
    if bool(finite.all()):  # looking at rows takes many times longer, so only where something is wrong
        return None
    return int((~finite).reshape(len(x), -1).any(1).nonzero()[0].reshape(-1)[0])


def real_tensor(x: Any, name: str) -> Any:
    """``x`` as a dense torch tensor of real numbers, in the autograd graph if it is one; type and device stay.

    NumPy arrays may be in the other byte order, have negative strides, and any layout in memory.

    Args:
        x: a tensor, a NumPy array, or nested lists of numbers.
        name: name of the value in the message.

    Raises:
        DataError: it is nothing of the sort, or would lose its meaning: complex, masked, sparse or quantised values,
            number types that torch lacks, integers beyond 2^53.

    Examples:
        >>> import numpy as np
        >>> real_tensor(np.array([1.0, 2.0], ">f4")[::-1], "x").tolist()
        [2.0, 1.0]
        >>> real_tensor(np.array([1j]), "x")
        Traceback (most recent call last):
        topokd.errors.DataError: x holds complex128 values: pass real numbers (float32, float64 or integers)
    """
    import numpy as np
    import torch

    if not isinstance(x, torch.Tensor):
        if isinstance(x, np.ma.MaskedArray):
            raise DataError(
                f"{name} is a masked array, whose mask would be ignored: pass x.compressed() or x.filled(v)"
            )
        if isinstance(x, str | bytes) or x is None:
            raise DataError(f"{name} is {x!r}: pass a tensor or an array of numbers")
        try:
            if isinstance(x, np.ndarray):
                if x.dtype.kind not in "fiub" or x.dtype.itemsize > 8:
                    raise DataError(f"{name} holds {x.dtype} values: pass real numbers (float32, float64 or integers)")
                x = np.ascontiguousarray(x, x.dtype.newbyteorder("=")).reshape(x.shape)
            x = torch.as_tensor(x)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"{name} cannot be read as numbers ({str(error).splitlines()[0]}): pass a tensor or an array"
            ) from None
    if x.is_nested:
        raise DataError(f"{name} is a nested tensor: pass one tensor per cloud, list(x.unbind())")
    if x.is_complex() or x.is_quantized or (x.is_floating_point() and x.element_size() == 1):
        raise DataError(f"{name} holds {str(x.dtype)[6:]} values: pass real numbers (float32, float64 or integers)")
    if x.device.type == "meta":
        raise DataError(f"{name} is on the device meta, without values: pass a tensor with values")
    if x.layout != torch.strided:
        raise DataError(f"{name} is sparse: pass x.to_dense()")
    if x.dtype in (torch.int64, torch.uint64) and x.numel() and float(x.double().abs().max()) > 2**53:
        raise DataError(f"{name} holds whole numbers beyond 2^53, which no float holds exactly: subtract an offset")
    return x.resolve_neg() if x.is_neg() else x  # an imaginary part, which NumPy cannot read as it is


def real_rows(x: Any, name: str) -> Any:
    """``x`` as floating-point rows (n, c): `real_tensor`; integers become float64, half precision stays.

    Raises:
        DataError: `real_tensor`'s reasons, a shape other than (n, c), or a row that is not finite.
    """
    import torch

    x = real_tensor(x, name)
    if not x.is_floating_point():
        x = x.double()
    if x.dim() != 2:
        raise DataError(f"{name} has the shape {tuple(x.shape)}, expected (n, c): one row per point")
    if x.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise DataError(f"{name} holds {str(x.dtype)[6:]} values: convert them to float32")
    require_finite(x, name)
    return x


def available_memory() -> int | None:
    """Bytes that this process can still allocate, or None if unknown.

    The least of the machine's free memory and the remainders of the limits on its control groups and address space.
    """
    free = []
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
        free.append(1024 * int(lines["MemAvailable"].split()[0]))
    except (OSError, ValueError, KeyError):  # not Linux
        pass
    for limit_file, used_file in _group_files():
        with contextlib.suppress(OSError, ValueError, KeyError):  # no such file, or "max": no limit
            group_limit, group_used = (int(file.read_text(encoding="utf-8")) for file in (limit_file, used_file))
            stat = used_file.with_name("memory.stat").read_text(encoding="utf-8")
            counts = dict(line.split() for line in stat.splitlines())
            reclaimable = int(counts.get("total_inactive_file") or counts["inactive_file"])  # cached files
            free.append(max(0, group_limit - group_used + reclaimable))
    with contextlib.suppress(ImportError, OSError, ValueError, IndexError):  # not Unix
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            used = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
            free.append(max(0, limit - used))
    return min(free, default=None)


def _group_files() -> Iterator[tuple[Path, Path]]:
    """Files with limit and use of memory, of this process's control group and of all that this one is in."""
    try:
        lines = PROCESS_GROUPS.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        root, files = GROUPS, ("memory.max", "memory.current")
        if controllers:  # version 1
            root, files = GROUPS / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        if controllers in ("", "memory"):
            group = root / path.lstrip("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(root):
                    yield folder / files[0], folder / files[1]


def require_memory(needed: int, what: str, advice: str) -> None:
    """Check, before anything is allocated, that there is enough memory.

    Args:
        needed: bytes.
        what: needs them, for the message.
        advice: how to need less.

    Raises:
        DataError: ``what`` needs more bytes than there are.

    Examples:
        >>> require_memory(10**18, "a table", "ask for less")
        Traceback (most recent call last):
        topokd.errors.DataError: a table needs 1000000000.0 GB of memory, but only ... GB ...: ask for less
    """
    if needed < 1 << 26:  # looking takes longer than it is worth
        return
    there = available_memory()
    if there is not None and needed > there:
        raise DataError(
            f"{what} needs {needed / 1e9:.1f} GB of memory, but only {there / 1e9:.1f} GB are available: {advice}"
        )


def require_inside(name: str, where: str) -> None:
    """Check that a path that a file names stays in the folder that it is relative to.

    Args:
        name: as the file has it.
        where: says which file and field, for the message.

    Raises:
        DataError: it is empty, absolute, or leads out of the folder.

    Examples:
        >>> require_inside("samples/LIDAR_TOP/a.bin", "sample_data.json: filename")
        >>> require_inside("../../etc/passwd", "sample_data.json: filename")
        Traceback (most recent call last):
        topokd.errors.DataError: sample_data.json: filename '../../etc/passwd' leads out of its folder: ...
    """
    parts = re.split(r"[/\\]", name)
    if not name or parts[0] == "" or ".." in parts or ":" in parts[0] or "\0" in name:
        raise DataError(
            f"{where} {name!r} leads out of its folder: it was not opened; get the file from its source again"
        )


def require_small_archive(archive: zipfile.ZipFile, where: str, most: int) -> None:
    """Check, before an archive is unpacked, that it takes no more room than it may: a zip bomb would.

    Args:
        archive: opened; Python stops at the size that it states for each entry.
        where: says which file, for the message.
        most: bytes that all entries together may take.

    Raises:
        DataError: its entries take more than ``most`` bytes together, or are more than a million.
    """
    entries = archive.infolist()
    total = sum(entry.file_size for entry in entries)
    if total > most or len(entries) > 1_000_000:
        raise DataError(
            f"{where} would take {total / 1e9:.1f} GB in {len(entries):,} files when unpacked, more than the "
            f"{most / 1e9:.1f} GB that it may: it was not unpacked; it is damaged, or made to fill a disk"
        )
