"""Labels for users' own scans: what ``topokd predict`` does."""

from __future__ import annotations

import colorsys
import logging
import math
import resource
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray

from topokd.data import IGNORE
from topokd.data.formats import SUFFIXES, Cloud, read_cloud
from topokd.datasets.label_spaces import LABEL_SPACES
from topokd.errors import CheckpointError, DataError
from topokd.evaluation import predict
from topokd.experiments.measurement import measure_latency, measure_peak_memory
from topokd.io import atomic_path, write_bytes, write_json
from topokd.models import load_checkpoint, read_metadata
from topokd.progress import Progress
from topokd.training.precision import AMP_DTYPES
from topokd.viz.clouds import RGB
from topokd.viz.export import write_ply, write_view

log = logging.getLogger(__name__)

Format = Literal["label", "ply", "npy"]
FORMATS: tuple[Format, ...] = ("label", "ply", "npy")


@dataclass(frozen=True)
class Classes:
    """What a checkpoint's classes are called, their colours, and their ids in .label files."""

    names: tuple[str, ...]
    palette: RGB
    ids: tuple[int, ...]  # 0 stays for points without a class

    @classmethod
    def of(cls, names: tuple[str, ...]) -> Classes:
        """Colours and ids of the benchmark that has these classes; else distinct hues, and ids 1..C.

        >>> Classes.of(("road", "car")).ids
        (1, 2)
        """
        for space in LABEL_SPACES.values():
            if space.class_names == names:
                return cls(names, space.palette, space.submission_ids)
        hues = [colorsys.hsv_to_rgb((0.61803 * k) % 1, 0.65, 0.9 if k % 2 else 0.7) for k in range(len(names))]
        return cls(names, [tuple(round(255 * v) for v in hue) for hue in hues], tuple(range(1, len(names) + 1)))  # type: ignore[misc]


class Labeller:
    """A checkpoint that gives every point of a cloud its class.

    ``voxel_size`` in metres defaults to the one that the checkpoint was trained with; ``sweeps``: how many scans it saw
    at once then. ``amp``: "off" (float32), "bf16" or "fp16". Raises :class:`CheckpointError` when the file does not say
    what it was trained for, and for whatever :func:`load_checkpoint` refuses.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        voxel_size: float | None = None,
        tta: int = 1,
        device: str | torch.device | None = None,
        amp: str = "off",
    ) -> None:
        self.model: torch.nn.Module = load_checkpoint(checkpoint)
        self.checkpoint, metadata = checkpoint, read_metadata(checkpoint)
        if "class_names" not in metadata:
            raise CheckpointError(
                f"{checkpoint} does not name its classes; save it with metadata class_names='road,car,...'"
            )
        self.classes = Classes.of(tuple(metadata["class_names"].split(",")))
        if voxel_size is None and "voxel_size" not in metadata:
            raise CheckpointError(
                f"{checkpoint} does not say which voxel size it was trained with: give it in metres (--voxel-size)"
            )
        self.voxel_size = float(voxel_size if voxel_size is not None else metadata["voxel_size"])
        if not 0 < self.voxel_size < math.inf:
            raise DataError(f"voxel size is {self.voxel_size}; it must be above 0 metres, and finite (--voxel-size)")
        self.sweeps = int(metadata.get("sweeps", 1))
        self.tta = tta
        if amp not in AMP_DTYPES:
            raise DataError(f"amp {amp!r} is unknown; choose one of {', '.join(AMP_DTYPES)}")
        self.amp = AMP_DTYPES[amp]
        try:
            self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            self.model = self.model.to(self.device).eval()
        except (RuntimeError, AssertionError) as error:  # torch: an unknown name, or no such device
            reason = str(error).splitlines()[0]
            raise DataError(f"device {device!r} cannot be used ({reason}): try cpu, or leave it out") from None

    def need_classes(self, names: tuple[str, ...], benchmark: str) -> None:
        """Raises :class:`CheckpointError` unless the network's classes are those of ``benchmark``."""
        if self.classes.names != names:
            raise CheckpointError(f"{self.checkpoint} knows other classes than {benchmark}: train it on that data set")

    def __call__(self, cloud: Cloud) -> Int64[ndarray, " n"]:
        """The class of every point of the file; IGNORE where its coordinates are not finite."""
        label = np.full(len(cloud.xyz), IGNORE, np.int64)
        with torch.autocast(self.device.type, self.amp, enabled=self.amp is not None):
            label[cloud.finite] = predict(self.model, cloud.scan, self.voxel_size, self.tta, self.device)
        return label


def find_scans(source: str | Path, output: str | Path | None = None) -> list[Path]:
    """The readable files of a folder and its subfolders in order, or the one file itself.

    What lies under ``output``, where that is a folder within ``source``, is what an earlier call wrote and no scan.
    Files of other kinds are left alone, and a log line counts them.
    """
    source = Path(source)
    if not source.exists():
        raise DataError(f"{source} does not exist")
    if source.is_file():
        return [source]
    written = None if output is None or Path(output).resolve() == source.resolve() else Path(output).resolve()
    found = sorted(
        path
        for path in source.rglob("*")
        if path.is_file() and path.name[0] != "." and (written is None or written not in path.resolve().parents)
    )
    files = [path for path in found if path.suffix.lower() in SUFFIXES]
    others = Counter(path.suffix.lower() or "no suffix" for path in found if path.suffix.lower() not in SUFFIXES)
    listed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
    if not files:
        raise DataError(
            f"{source} holds no scan{f', only {listed}' if listed else ''}; readable are {', '.join(SUFFIXES)}"
        )
    if others:
        log.info("%s: left alone: %s; readable are %s", source, listed, ", ".join(SUFFIXES))
    return files


def write_prediction(path: Path, cloud: Cloud, label: Int64[ndarray, " n"], classes: Classes) -> None:
    """By suffix: .label uint32 ids (0: no class), .npy int32 classes (-1: no class), .ply coloured points."""
    if path.suffix == ".label":
        write_bytes(path, np.array([*classes.ids, 0], "<u4")[label].tobytes())  # IGNORE is -1, the last
    elif path.suffix == ".npy":
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.save(stream, label.astype(np.int32), allow_pickle=False)
    else:
        write_ply(path, cloud.xyz, label, classes.palette)


def label_files(
    labeller: Labeller,
    source: str | Path,
    output: str | Path,
    format: Format | None = None,
    columns: int | None = None,
    intensity_scale: float | None = None,
    views: int = 1,
) -> tuple[list[Path], dict[Path, str]]:
    """Label a file or every scan of a folder, one at a time; returns what was written and the refused files' reasons.

    ``output`` is a folder, which gets the sources' relative paths and ``classes.json``; for one file it may be a file
    that ends with .label, .npy or .ply. ``format``: "label" unless ``output`` says otherwise. ``views``: how many scans
    get a page ``.html`` beside their labels. In a folder the first scan of a format whose full scale of intensities has
    to be guessed settles it for the others of that format. Raises :class:`DataError` when ``source`` is one file and
    it is refused, or nothing could be read.
    """
    source, output = Path(source), Path(output)
    files, root = find_scans(source, output), source if source.is_dir() else source.parent
    targets = _targets(files, root, output, format)
    if labeller.sweeps > 1:
        log.warning(
            "the network was trained on %d scans at a time and gets one: labels may be worse than its numbers",
            labeller.sweeps,
        )
    written: list[Path] = []
    refused: dict[Path, str] = {}
    usual: dict[str, float] = {}  # by suffix: formats differ in how they write intensities
    pages = 0
    for file in Progress(files, "predicting"):
        try:
            cloud = read_cloud(file, columns, intensity_scale, usual.get(file.suffix.lower()))
            label = labeller(cloud)
        except DataError as error:
            if len(files) == 1:
                raise
            log.warning("refused: %s", error)
            refused[file] = str(error)
            continue
        if cloud.guessed:
            usual[file.suffix.lower()] = cloud.scale
        target = targets[file]
        write_prediction(target, cloud, label, labeller.classes)
        written.append(target)
        if pages < views:
            pages += 1
            page, known = target.with_suffix(".html"), cloud.finite
            names, palette = labeller.classes.names, labeller.classes.palette
            write_view(page, cloud.scan.xyz, label[known], names, palette, file.name)
            written.append(page)
    if not written:
        raise DataError(
            f"{source}: none of its {len(files)} scans could be read; the first: {next(iter(refused.values()))}"
        )
    if output not in targets.values():
        write_json(output / "classes.json", legend(labeller.classes))
    return written, refused


def measure_file(
    labeller: Labeller,
    source: str | Path,
    repeats: int,
    columns: int | None = None,
    intensity_scale: float | None = None,
) -> dict[str, float]:
    """Cost of one scan, from the file on disk to a class per point in memory.

    Keys: ``latency_s``, the median of ``repeats`` runs after one that warms up, each reading the file, voxelising,
    running the network and mapping back; ``peak_tensor_bytes``, the most that tensors hold meanwhile beside the weights
    (on CUDA: of the GPU); ``weight_bytes``; and ``process_bytes``, the most memory of the computer that this process
    has held so far, Python and torch included. Raises :class:`DataError` when ``source`` is not one file, or refused.
    """
    source = Path(source)
    if not source.is_file():
        raise DataError(f"{source} is not a file: the cost of one scan is measured on one scan")
    if repeats < 1:
        raise DataError(f"{repeats} runs cannot be measured: ask for 1 or more")

    def run() -> Int64[ndarray, " n"]:
        return labeller(read_cloud(source, columns, intensity_scale))

    latency = measure_latency(run, repeats, labeller.device)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "latency_s": latency,
        "peak_tensor_bytes": measure_peak_memory(run, labeller.device),
        "weight_bytes": sum(value.nbytes for value in labeller.model.state_dict().values()),
        "process_bytes": resident,
    }


def legend(classes: Classes) -> list[dict[str, object]]:
    """What the numbers in the outputs mean: class (.npy, .ply), id (.label), name, colour."""
    rows = zip(classes.names, classes.ids, classes.palette, strict=True)
    return [{"class": k, "id": i, "name": name, "rgb": list(rgb)} for k, (name, i, rgb) in enumerate(rows)]


def _targets(files: list[Path], root: Path, output: Path, format: Format | None) -> dict[Path, Path]:
    told = output.suffix.lstrip(".") if output.suffix.lstrip(".") in FORMATS else None
    if told and len(files) == 1 and not output.is_dir():
        if format and format != told:
            raise DataError(f"the output is called {output.name} and the format is {format}: drop one of the two")
        return {files[0]: output}
    if output.suffix and not output.is_dir() and (told or len(files) == 1):
        raise DataError(
            f"{output} names one file, but there are {len(files)} scans: name a folder"
            if told
            else f"{output}: labels are written as .{', .'.join(FORMATS)}; end the name so, or name a folder"
        )
    suffix = format or "label"
    if suffix not in FORMATS:
        raise DataError(f"format {suffix!r} is unknown; choose one of {', '.join(FORMATS)}")
    targets: dict[Path, Path] = {}
    taken: dict[Path, Path] = {}
    for file in files:
        name = file.name[: -len(".pcd.bin")] if file.name.endswith(".pcd.bin") else file.stem
        target = output / file.relative_to(root).parent / f"{name}.{suffix}"
        if target in taken:
            raise DataError(
                f"{taken[target]} and {file} would both be written to {target}: rename one, or move it away"
            )
        if target.resolve() == file.resolve():
            raise DataError(f"{file} would be overwritten by its own labels: give another output folder")
        taken[target], targets[file] = file, target
    return targets
