"""The readers that `tools/fuzz.py` feeds, and one small valid file for each format and variant."""

from __future__ import annotations

import functools
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

POINTS = 40

Corpus = dict[str, str]
"""Path of a valid file, below the folder of the corpus -> name of its reader in `READERS`."""


def write_corpus(folder: Path) -> Corpus:
    """Write the valid files, and the files that some of them need next to them.

    Args:
        folder: an empty folder.

    Returns:
        The files to mutate.
    """
    rng = np.random.default_rng(0)
    xyz = rng.normal(0, 10, (POINTS, 3)).astype(np.float32)
    rows = np.column_stack([xyz, rng.random(POINTS)]).astype(np.float32)
    files: Corpus = {}

    def add(name: str, reader: str, write: Callable[[Path], Any]) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(folder / name)
        files[name] = reader

    _add_clouds(add, xyz, rows)
    _add_benchmarks(add, folder, rows)
    _add_own_files(add)
    _add_sources_of_conversions(add, xyz)
    return files


Add = Callable[[str, str, Callable[[Path], Any]], None]


def _add_clouds(add: Add, xyz: np.ndarray, rows: np.ndarray) -> None:
    import laspy
    from plyfile import PlyData, PlyElement
    from pypcd4 import Encoding, PointCloud

    add("a.bin", "cloud", lambda path: path.write_bytes(rows.tobytes()))
    points = PointCloud.from_xyzi_points(rows)
    for encoding in Encoding:
        add(f"{encoding.value}.pcd", "cloud", functools.partial(points.save, encoding=encoding))
    vertex = np.array([tuple(row) for row in rows], [(name, "f4") for name in ("x", "y", "z", "intensity")])
    for text in (False, True):
        ply = PlyData([PlyElement.describe(vertex, "vertex")], text=text)
        add(f"{'ascii' if text else 'binary'}.ply", "cloud", lambda path, ply=ply: ply.write(str(path)))
    las = laspy.create(point_format=3, file_version="1.2")
    las.x, las.y, las.z = xyz.T.astype(np.float64)
    for suffix in ("las", "laz"):
        add(f"a.{suffix}", "cloud", lambda path: las.write(str(path)))
    add("a.npy", "cloud", lambda path: np.save(path, rows))
    add("a.npz", "cloud", lambda path: np.savez_compressed(path, points=xyz, intensity=rows[:, 3]))


def _add_benchmarks(add: Add, folder: Path, rows: np.ndarray) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from topokd.datasets.semantickitti.files import write_sequence_files

    (folder / "kitti").mkdir()
    (folder / "kitti/scan.bin").write_bytes(rows.tobytes())
    labels = np.full(POINTS, 40, "<u4")
    add("kitti/scan.label", "kitti", lambda path: path.write_bytes(labels.tobytes()))
    poses = np.stack([np.eye(4)] * 3)
    for name in ("poses", "calib"):
        write_sequence_files(folder / name, 0, poses, [0.0, 0.1, 0.2])
        add(f"{name}/sequences/00/{name}.txt", "poses", lambda path: None)
    record = {"sample_data_token": "t", "filename": "lidarseg/a.bin"}
    add("lidarseg.json", "table", lambda path: path.write_text(json.dumps([record, record])))
    add("panoptic.npz", "panoptic", lambda path: np.savez_compressed(path, data=np.arange(POINTS, dtype=np.uint16)))
    add("s.zip", "archive", lambda path: _zip(path, {"lidarseg/test/a.bin": b"\1" * POINTS}))
    members = {f"sequences/{number}/predictions/000000.label": labels.tobytes() for number in range(11, 22)}
    for number in range(11, 22):
        (folder / f"sequences/{number}/velodyne").mkdir(parents=True)
        (folder / f"sequences/{number}/velodyne/000000.bin").write_bytes(rows.tobytes())
    add("kitti.zip", "kitti_zip", lambda path: _zip(path, members))
    lasers = {"key.segment_context_name": ["s"], "key.laser_name": [1], "key.frame_timestamp_micros": [5]}
    image = {"[X].values": [[0.5] * 12], "[X].shape": [[2, 3, 2]]}
    add("a.parquet", "parquet", lambda path: pq.write_table(pa.table({**lasers, **image}), path))
    add("submission.bin", "waymo", _write_waymo)
    add("frames.txt", "frames", lambda path: path.write_text("s,5\ns,6\n"))


def _add_sources_of_conversions(add: Add, xyz: np.ndarray) -> None:
    import pandas as pd
    from plyfile import PlyData, PlyElement

    frame = pd.DataFrame(xyz.astype(float), columns=list("xyz"))
    add("frame.pkl", "data_frame", lambda path: frame.to_pickle(path))
    columns = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("semantic", "i4"), ("instance", "i4"), ("timestamp", "i4")]
    vertex = np.array([(*row, 7, 7000, 3) for row in xyz.tolist()], columns)
    add("window.ply", "window", lambda path: PlyData([PlyElement.describe(vertex, "vertex")]).write(str(path)))
    pose = "1 0 0 5 0 1 0 6 0 0 1 7"
    add("drive.txt", "drive", lambda path: path.write_text(f"3 {pose}\n14 {pose}\n"))
    add("camera.txt", "camera", lambda path: path.write_text(f"image_00: {pose}\nimage_01: {pose}\n"))
    add("own.npy", "points", lambda path: np.save(path, xyz))


def _add_own_files(add: Add) -> None:
    import torch
    from safetensors.torch import save

    from topokd.data.cache import save_entry

    add("profile.yaml", "parameters", lambda path: path.write_text(PROFILE))
    add("map.yaml", "label_map", lambda path: path.write_text(LABEL_MAP))
    weights = _network().state_dict()
    add("w.safetensors", "checkpoint", lambda path: path.write_bytes(save(weights, {"preset": "ptv3-tiny"})))
    add("w.pth", "checkpoint", lambda path: torch.save({"state_dict": weights}, path))
    add("resume/state.pt", "state", lambda path: torch.save({"step": 3, "model": weights}, path))
    entry = {"xyz": np.ones((4, 3), np.float32), "label": np.zeros(4, np.int64)}
    add("entry.safetensors", "cache", lambda path: save_entry(path, "key", entry))
    add("record.json", "json", lambda path: path.write_text('{"run": "full-seed0", "history": {"loss": [1.5, null]}}'))


PROFILE = """\
profile: example
seeds: [0, 1]
data: {dataset: semantickitti, root: scans, voxel_size: 0.1}
train: {batch_size: 4, optimizer: {lr: 0.002, clip_norm: 1.0}, amp: bf16}
terms: {topo: {weight: 0.5, num_points: 64}, kd: {temperature: 2.0}}
"""
LABEL_MAP = """\
name: Example
scans: scans/{sequence}/{scan}.bin
labels: labels/{sequence}/{scan}.label
splits: {train: ["00"], val: ["08"]}
ignored: [0]
classes:
- {name: road, ids: [40, 44], color: [128, 64, 128]}
- {name: car, ids: [10], color: [0, 0, 142]}
"""


def _write_waymo(path: Path) -> None:
    from topokd.datasets.waymo.submission import SHAPE, SubmissionInfo, write_submission_file

    info = SubmissionInfo("a@example.org", "m", ("A",), "I", "d", "")
    classes = np.zeros(SHAPE, np.int64)
    write_submission_file(path, info, [(FRAME, (classes, classes))])


FRAME = ("s", 5)


def _zip(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


# -- readers: each reads a file as a command of topokd does, and checks what comes out ---------------------------


def read_cloud(path: Path) -> None:
    """`topokd predict`."""
    from topokd.data import formats

    cloud = formats.read_cloud(path, log_notes=False)
    assert np.isfinite(cloud.scan.xyz).all() and len(cloud.scan.xyz) == int(cloud.finite.sum()) > 0
    assert cloud.scan.intensity.min() >= 0 and cloud.scan.intensity.max() <= 1


def read_kitti(path: Path) -> None:
    """A labelled scan of SemanticKITTI."""
    from topokd.datasets.semantickitti.files import read_scan

    label = read_scan(path.with_suffix(".bin"), path, "a").label
    assert label is not None and label.min() >= -1 and label.max() < 19


def read_poses(path: Path) -> None:
    """Its poses."""
    from topokd.datasets.semantickitti import files

    assert np.isfinite(files.read_poses(path.parent)).all()


def read_table(path: Path) -> None:
    """A table of nuScenes."""
    from topokd.datasets.nuscenes import tables

    assert all(".." not in record["filename"] for record in tables.read_table(path.parent, path.stem))


def read_panoptic(path: Path) -> None:
    """Panoptic labels of nuScenes."""
    from topokd.datasets.nuscenes import panoptic

    assert panoptic.read_panoptic(path, POINTS).shape == (POINTS,)


def read_archive(path: Path) -> None:
    """A submission to nuScenes."""
    from topokd.datasets.nuscenes.archive import folder_to_read

    with folder_to_read(path) as folder:
        assert all(folder in file.parents for file in folder.rglob("*"))


def read_kitti_zip(path: Path) -> None:
    """A submission to SemanticKITTI."""
    from topokd.datasets.semantickitti.submission import validate_submission_zip

    assert isinstance(validate_submission_zip(path, path.parent), list)


def read_parquet(path: Path) -> None:
    """A component of Waymo."""
    from topokd.datasets.waymo.parquet import Component

    component = Component(path, "lidar")
    for time in [time for time in component.rows if time is not None][:3]:
        (image,) = component.images(time, ["[X]"], 2, float)
        assert image is None or image.shape[2] == 2


def read_waymo(path: Path) -> None:
    """A submission to Waymo."""
    from topokd.datasets.waymo.submission import validate_submission_file

    assert isinstance(validate_submission_file(path, [FRAME]), list)


def read_frames(path: Path) -> None:
    """The list of frames that a submission to Waymo needs."""
    from topokd.datasets.waymo.frames import read_frame_list

    assert read_frame_list(path)


def read_parameters(path: Path) -> None:
    """A profile."""
    from topokd import params

    params.load(path)


def read_label_map(path: Path) -> None:
    """A user's own data set."""
    from topokd.label_maps.description import load_label_map

    assert load_label_map(path).classes


@functools.cache
def _network() -> Any:
    """The smallest one, because the content of weights is not looked at."""
    import torch

    return torch.nn.Linear(2, 3)


def read_checkpoint(path: Path) -> None:
    """Weights of a network."""
    from topokd.models import load_checkpoint

    load_checkpoint(path, _network())


def read_state(path: Path) -> None:
    """The state of a killed training: None where it is damaged."""
    from topokd.training.state import ResumeFolder

    folder = ResumeFolder.__new__(ResumeFolder)  # without removing the folders of other keys
    folder.path = path.parent
    state = folder.load()
    assert state is None or isinstance(state, dict)


def read_cache(path: Path) -> None:
    """An entry of the cache of scans: read whole, or made again."""
    from safetensors import SafetensorError

    from topokd.data.cache import load_entry
    from topokd.errors import DataError

    try:
        arrays = load_entry(path, "key")
    except (SafetensorError, OSError, ValueError) as error:  # what the cache takes for damage
        raise DataError(f"{path}: {error}") from error
    assert arrays["xyz"].shape == (4, 3)


def read_data_frame(path: Path) -> None:
    """A pickle of PandaSet."""
    from topokd.conversion.pickles import read_data_frame

    columns, rows = read_data_frame(path)
    assert len({len(column) for column in columns.values()}) <= 1 and (rows is None or rows.ndim == 1)


def read_window(path: Path) -> None:
    """Labelled points of KITTI-360."""
    from topokd.conversion.kitti360_files import read_accumulated

    cloud = read_accumulated(path)
    assert cloud is None or len(cloud.ids) == len(cloud.instances) == cloud.tree.n


def read_drive(path: Path) -> None:
    """Its poses."""
    from topokd.conversion.kitti360_files import read_poses

    assert all(np.isfinite(pose).all() for pose in read_poses(path).values())


def read_camera(path: Path) -> None:
    """Its calibration."""
    from topokd.conversion.kitti360_files import read_calibration

    assert np.isfinite(read_calibration(path, "image_00")).all()


def read_points(path: Path) -> None:
    """An array given to the explorers."""
    from topokd.explore.files import read_points

    assert np.isfinite(read_points(path)).all()


def read_json(path: Path) -> None:
    """A record among the results."""
    from topokd import io

    io.read_json(path)


READERS: dict[str, Callable[[Path], None]] = {
    "cloud": read_cloud,
    "kitti": read_kitti,
    "poses": read_poses,
    "table": read_table,
    "panoptic": read_panoptic,
    "archive": read_archive,
    "kitti_zip": read_kitti_zip,
    "parquet": read_parquet,
    "waymo": read_waymo,
    "frames": read_frames,
    "parameters": read_parameters,
    "label_map": read_label_map,
    "checkpoint": read_checkpoint,
    "state": read_state,
    "cache": read_cache,
    "json": read_json,
    "data_frame": read_data_frame,
    "window": read_window,
    "drive": read_drive,
    "camera": read_camera,
    "points": read_points,
}

WEIGHTS = {
    "drive": 2,
    "camera": 2,
    "points": 2,
    "kitti": 4,
    "table": 4,
    "json": 4,
    "frames": 4,
    "cache": 4,
    "checkpoint": 3,
    "panoptic": 3,
    "poses": 2,
}
"""How many inputs the fast readers (a tenth of a millisecond per file) get for each input of the others."""
