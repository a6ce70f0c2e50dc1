"""Time and memory of a call: latency, peak memory of tensors, peak memory of the process, cost of each operation.

``torch.utils.benchmark.Timer`` and psutil are not used: Timer chooses the number of runs itself, reports means of
blocks of runs, and includes kernel launches on a GPU; psutil cannot reset the peak memory of a process on Linux.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

Operations = dict[str, dict[str, float]]  # operation -> "self_s", "total_s", "calls", "allocated_bytes", ...


def measure_latency(
    call: Callable[[], object], repeats: int, device: torch.device | str = "cpu", warm_up: int = 1
) -> float:
    """Median time of a call in seconds (NOTES row 15); see `measure_in_turn`."""
    return statistics.median(measure_in_turn({"": call}, repeats, device, warm_up)[""])


def measure_in_turn(
    calls: Mapping[str, Callable[[], object]], repeats: int, device: torch.device | str = "cpu", warm_up: int = 1
) -> dict[str, list[float]]:
    """Times of several calls in seconds, measured in turn, so that what slows the machine down slows all of them down.

    On CUDA it is the time between two events on the current stream, so that kernels are timed until they finish, not
    until they are launched.

    Args:
        calls: functions to time, by name.
        repeats: number of timed rounds.
        device: where their work runs.
        warm_up: number of rounds before the timed ones.

    Returns:
        ``repeats`` times by name; those of one round are at the same index.

    Examples:
        >>> times = measure_in_turn({"a": lambda: None, "b": lambda: None}, repeats=3)
        >>> list(times), len(times["a"])
        (['a', 'b'], 3)
    """
    device = torch.device(device)
    time_once = _time_on_cuda if device.type == "cuda" else _time_on_cpu
    rounds = [{name: time_once(call, device) for name, call in calls.items()} for _ in range(warm_up + repeats)]
    return {name: [times[name] for times in rounds[warm_up:]] for name in calls}


def _time_on_cpu(call: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _time_on_cuda(call: Callable[[], object], device: torch.device) -> float:
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    stream = torch.cuda.current_stream(device)
    begin.record(stream)
    call()
    end.record(stream)
    end.synchronize()
    return begin.elapsed_time(end) / 1e3


def measure_peak_memory(call: Callable[[], object], device: torch.device | str = "cpu") -> int:
    """Peak bytes of tensors that a call allocates, beyond those allocated before it.

    On CUDA it comes from the statistics of the caching allocator (``max_memory_allocated``), on the CPU from every
    allocation and release that torch.profiler records; temporary buffers inside an operation count as well.

    Args:
        call: function to measure.
        device: where the work of ``call`` runs.
    """
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    return _profile(call)[1]


def profile_operations(
    call: Callable[[], object], most: int = 12, device: torch.device | str = "cpu"
) -> tuple[dict[str, float], Operations]:
    """Time of all operations of a call together, and time and memory of the most expensive ones (Table 6).

    ``self_s`` and ``total_s`` are CPU time on every device, as in Table 6. On CUDA an operation also has
    ``device_self_s`` and ``device_total_s``, its time on the GPU, by which operations are then ranked.
    ``allocated_bytes`` is the memory on ``device`` that an operation returns to its caller, summed over its calls.

    Args:
        call: function to profile.
        most: number of operations to return.
        device: where the work of ``call`` runs.

    Returns:
        Totals (``cpu_time_s``; on CUDA also ``device_time_s``), and the operations by name, most expensive first.
    """
    cuda = torch.device(device).type == "cuda"
    operations, _, kernels = _profile(call, cuda)
    rows = {name: row for name, row in operations.items() if name.startswith("aten::")}
    key = "device_self_s" if cuda else "self_s"
    total = {"cpu_time_s": sum(row["self_s"] for row in rows.values())}
    if cuda:
        total["device_time_s"] = kernels  # includes kernels of accelerators, which are not torch operations
    first = sorted(rows, key=lambda name: (-rows[name][key], name))[:most]
    return total, {name: rows[name] for name in first}


def _profile(call: Callable[[], object], cuda: bool = False) -> tuple[Operations, int, float]:
    """Operations; on a CPU the peak of bytes held; on CUDA the seconds of all kernels."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or every start and stop is a line of the notebook
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities, profile_memory=True) as record:
        kept = call()
        if cuda:
            torch.cuda.synchronize()
    del kept
    rows, kernels = {}, 0.0
    for e in record.key_averages():
        if e.device_type == torch.autograd.DeviceType.CUDA:
            kernels += e.self_device_time_total / 1e6
            continue
        rows[e.key] = {
            "self_s": e.self_cpu_time_total / 1e6,
            "total_s": e.cpu_time_total / 1e6,
            "calls": e.count,
            "allocated_bytes": max(e.device_memory_usage if cuda else e.cpu_memory_usage, 0),
        }
        if cuda:
            rows[e.key] |= {
                "device_self_s": e.self_device_time_total / 1e6,
                "device_total_s": e.device_time_total / 1e6,
            }
    held = peak = 0
    changes = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(changes, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return rows, peak, kernels


def reset_process_peak() -> int | None:
    """Reset the peak memory of this process to its present size (Linux).

    Returns:
        The present size in bytes, or None if the system does not offer this.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except OSError:
        return None


def process_peak() -> int:
    """Peak memory of this process in bytes since `reset_process_peak` (Linux)."""
    return _status("VmHWM")


def _status(field: str) -> int:
    for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/{os.getpid()}/status has no field {field}")
