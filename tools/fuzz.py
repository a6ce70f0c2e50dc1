"""Feed mutated files to every reader: each must give a valid result or a clean error, within 5 s and 2 GB.

    python tools/fuzz.py --seconds 60              a minute, as in CI
    python tools/fuzz.py --inputs 1000000          continues where the last run of this seed stopped

Inputs derive from (seed, number), so one of them is repeated with ``--only NUMBER``. Readers run in a child process
with a limit on its memory; one that crashes, hangs or raises anything but a `TopokdError` is a failure, its input is
kept in the folder, and the run continues. The counts are written after every block of inputs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import struct
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

SECONDS, BYTES = 5.0, 2 << 30  # for one input
BLOCK = 200  # inputs between two writings of the counts
INTERESTING = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"999999999999",
    b"-1",
    b"nan",
)


def corpus(folder: Path) -> dict[str, tuple[str, bytes]]:
    """One small valid file per format and variant: name -> (reader, content)."""
    import laspy
    import torch
    from plyfile import PlyData, PlyElement
    from pypcd4 import Encoding, PointCloud
    from safetensors.torch import save

    rng = np.random.default_rng(0)
    xyz = rng.normal(0, 10, (40, 3)).astype(np.float32)
    rows = np.column_stack([xyz, rng.random(40)]).astype(np.float32)
    files: dict[str, tuple[str, bytes]] = {"a.bin": ("cloud", rows.tobytes())}

    def written(name: str, write: Callable[[Path], Any], reader: str = "cloud") -> None:
        write(folder / name)
        files[name] = (reader, (folder / name).read_bytes())

    points = PointCloud.from_xyzi_points(rows)
    for encoding in Encoding:
        written(f"{encoding.value}.pcd", lambda path, e=encoding: points.save(path, encoding=e))
    vertex = np.array([tuple(row) for row in rows], [(name, "f4") for name in ("x", "y", "z", "intensity")])
    for text in (False, True):
        element = PlyElement.describe(vertex, "vertex")
        written(f"text{int(text)}.ply", lambda path, e=element, t=text: PlyData([e], text=t).write(str(path)))
    las = laspy.create(point_format=3, file_version="1.2")
    las.x, las.y, las.z = xyz.T.astype(np.float64)
    for suffix in ("las", "laz"):
        written(f"a.{suffix}", lambda path: las.write(str(path)))
    written("a.npy", lambda path: np.save(path, rows))
    written("a.npz", lambda path: np.savez_compressed(path, points=xyz, intensity=rows[:, 3]))
    written("panoptic.npz", lambda path: np.savez_compressed(path, data=np.arange(40, dtype=np.uint16)), "panoptic")
    record = {"sample_data_token": "t", "filename": "lidarseg/a.bin"}
    files["lidarseg.json"] = ("table", json.dumps([record, record]).encode())
    files["profile.yaml"] = ("parameters", (Path(__file__).parents[1] / "params.yaml").read_bytes())
    files["w.safetensors"] = ("checkpoint", save({"a": torch.ones(3), "b": torch.ones(2, 2)}, {"preset": "ptv3-tiny"}))
    written("w.pth", lambda path: torch.save({"state_dict": {"a": torch.ones(3)}}, path), "checkpoint")
    with zipfile.ZipFile(folder / "s.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("lidarseg/test/a.bin", b"\1" * 40)
    files["s.zip"] = ("archive", (folder / "s.zip").read_bytes())
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {"key.segment_context_name": ["s"], "key.laser_name": [1], "key.frame_timestamp_micros": [5], "v": [[1.0, 2.0]]}
    )
    written("a.parquet", lambda path: pq.write_table(table, path), "parquet")
    return files


def mutated(files: dict[str, tuple[str, bytes]], seed: int, number: int) -> tuple[str, str, bytes]:
    """Input ``number``: a file's name, its reader, and its content after one to eight changes."""
    rng = np.random.default_rng([seed, number])
    name = list(files)[int(rng.integers(len(files)))]
    reader, content = files[name]
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        head = rng.random() < 0.7  # most fields that a reader trusts are at the beginning or the end
        most = min(len(data), 600) if head else len(data)
        at = int(rng.integers(most + 1)) if rng.random() < 0.8 else max(0, len(data) - int(rng.integers(1, 200)))
        kind = int(rng.integers(7))
        if kind == 0 and at < len(data):
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            piece = INTERESTING[int(rng.integers(len(INTERESTING)))]
            data[at : at + len(piece)] = piece
        elif kind == 2:
            del data[at : at + int(rng.integers(1, 32))]
        elif kind == 3:
            data[at:at] = rng.bytes(int(rng.integers(1, 32)))
        elif kind == 4 and rng.random() < 0.3:
            del data[at:]
        elif kind == 5:
            value = int(rng.choice([0, 1, 255, 2**16, 2**31 - 1, 2**32 - 1, len(data)]))
            data[at : at + 4] = struct.pack("<I", value)
        else:
            other = list(files.values())[int(rng.integers(len(files)))][1]
            start = int(rng.integers(len(other)))
            data[at : at + 16] = other[start : start + 16]
    return name, reader, bytes(data)


def read(reader: str, path: Path) -> None:
    """Read a file as a user's command would, and check what comes out."""
    if reader == "cloud":
        from topokd.data.formats import read_cloud

        cloud = read_cloud(path, log_notes=False)
        assert np.isfinite(cloud.scan.xyz).all() and len(cloud.scan.xyz) == int(cloud.finite.sum()) > 0
        assert cloud.scan.intensity.min() >= 0 and cloud.scan.intensity.max() <= 1
    elif reader == "panoptic":
        from topokd.datasets.nuscenes.panoptic import read_panoptic

        assert read_panoptic(path, 40).shape == (40,)
    elif reader == "table":
        from topokd.datasets.nuscenes.tables import read_table

        assert all(".." not in record["filename"] for record in read_table(path.parent, path.stem))
    elif reader == "parameters":
        from topokd import params

        params.load(path)
    elif reader == "checkpoint":
        from topokd.models import build_model, load_checkpoint

        load_checkpoint(path, build_model("ptv3-tiny", num_classes=2))
    elif reader == "archive":
        from topokd.datasets.nuscenes.archive import folder_to_read

        with folder_to_read(path) as folder:
            assert all(folder in file.parents for file in folder.rglob("*"))
    else:
        from topokd.datasets.waymo.parquet import Component

        component = Component(path, "lidar")
        for time_ in list(component.rows)[:3]:
            component.get(time_, ["v"])


def serve(connection: Connection, folder: Path) -> None:
    """The child: read inputs until the parent closes; answer with the outcome of each."""
    import logging

    from topokd.errors import TopokdError

    logging.disable(logging.CRITICAL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what crashing libraries say
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warmed = False
    while True:
        try:
            name, reader, data = connection.recv()
        except EOFError:
            return
        path = folder / name
        path.write_bytes(data)
        if warmed:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, resource.RLIM_INFINITY))
        try:
            read(reader, path)
            outcome = "read"
        except TopokdError as error:
            outcome = "refused" if name.split(".")[0] in str(error) or reader == "checkpoint" else f"unnamed: {error}"
        except BaseException as error:
            outcome = f"{type(error).__name__}: {str(error)[:200]}"
        warmed = True
        connection.send(outcome)


class Child:
    """A process that reads inputs; it is restarted after a crash or a hang."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        """Start it."""
        self.here, there = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=serve, args=(there, self.folder), daemon=True)
        self.process.start()
        there.close()
        self.fresh = True

    def outcome(self, item: tuple[str, str, bytes]) -> str:
        """read, refused, or what went wrong."""
        limit, self.fresh = (60.0 if self.fresh else SECONDS), False  # the first input imports the libraries
        self.here.send(item)
        try:
            if self.here.poll(limit):
                return self.here.recv()
            found = f"hang: more than {limit:g} s"
        except EOFError:
            self.process.join(5)
            found = f"crash: exit status {self.process.exitcode}"
        self.process.kill()
        self.process.join()
        self.start()
        return found


def main() -> int:
    """Command line; exit status 1 if any input failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="stop at this many in all")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop this run after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="repeat one input, with its error")
    parser.add_argument("--folder", type=Path, default=Path("workspace/fuzz"), help="counts and failing inputs")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    report = options.folder / f"seed{options.seed}.json"
    with tempfile.TemporaryDirectory(prefix="topokd-fuzz-") as name:
        files = corpus(Path(name))
        if options.only is not None:
            file, reader, data = mutated(files, options.seed, options.only)
            Path(name, file).write_bytes(data)
            read(reader, Path(name, file))
            return 0
        found: dict[str, Any] = {"inputs": 0, "seconds": 0.0, "outcomes": {}, "failures": []}
        if report.is_file():
            found = json.loads(report.read_text())
        child, started, before = Child(Path(name)), time.monotonic(), found["seconds"]
        try:
            while found["inputs"] < options.inputs and time.monotonic() - started < options.seconds:
                number = found["inputs"]
                item = mutated(files, options.seed, number)
                outcome = child.outcome(item)
                counts = found["outcomes"].setdefault(item[0], {"read": 0, "refused": 0, "failed": 0})
                counts[outcome if outcome in counts else "failed"] += 1
                if outcome not in ("read", "refused"):
                    found["failures"].append({"input": number, "file": item[0], "outcome": outcome})
                    (options.folder / f"{options.seed}-{number}-{item[0]}").write_bytes(item[2])
                found["inputs"] += 1
                found["seconds"] = round(before + time.monotonic() - started, 1)
                if found["inputs"] % BLOCK == 0:
                    write(report, found)
        finally:
            child.process.kill()
            write(report, found)
    print(f"{found['inputs']:,} inputs in {found['seconds']:.0f} s, {len(found['failures'])} failures: {report}")
    for failure in found["failures"][:20]:
        print(f"  {failure}")
    return bool(found["failures"])


def write(path: Path, found: dict[str, Any]) -> None:
    """The counts, atomically."""
    from topokd.io import write_json

    write_json(path, found | {"python": platform.python_version(), "numpy": np.__version__})


if __name__ == "__main__":
    sys.exit(main())
