"""Labels for users' own scans: ``topokd predict``."""

from __future__ import annotations

import colorsys
import logging
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray

from topokd.data import IGNORE
from topokd.data.user_files import SUFFIXES, UserScan, read_user_scan
from topokd.datasets import BENCHMARKS
from topokd.errors import CheckpointError, DataError
from topokd.evaluation import predict
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
    """Names and colours of a checkpoint's classes, and their ids in .label files (0: points without a class)."""

    names: tuple[str, ...]
    palette: RGB
    ids: tuple[int, ...]

    @classmethod
    def of(cls, names: tuple[str, ...]) -> Classes:
        """Colours and ids of the benchmark that has these classes; otherwise distinct hues, and ids 1..C.

        Examples:
            >>> Classes.of(("road", "car")).ids
            (1, 2)
        """
        for space in (benchmark.classes for benchmark in BENCHMARKS.values()):
            if space.class_names == names:
                return cls(names, space.palette, space.submission_ids)
        hues = [colorsys.hsv_to_rgb((0.61803 * k) % 1, 0.65, 0.9 if k % 2 else 0.7) for k in range(len(names))]
        return cls(names, [tuple(round(255 * v) for v in hue) for hue in hues], tuple(range(1, len(names) + 1)))  # type: ignore[misc]


class Predictor:
    """A trained network, ready to predict the class of every point of a scan.

    Args:
        checkpoint: weights that topokd trained.
        voxel_size: metres; None: that of the training.
        tta: number of rotations that are averaged.
        device: None: a GPU if there is one.
        amp: "off" (float32), "bf16" or "fp16".

    Attributes:
        classes: names, colours and ids.
        sweeps: number of scans that the network was trained on at a time.

    Raises:
        CheckpointError: the file lacks the names of the classes or the voxel size, or cannot be loaded.
        DataError: a value above is not usable.

    Examples:
        >>> Predictor("model.safetensors", voxel_size=0.1)(read_user_scan("scan.bin"))  # doctest: +SKIP
        array([8, 8, 0, ...])
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
                f"{checkpoint} does not record the voxel size of its training: give it in metres (--voxel-size)"
            )
        self.voxel_size = float(voxel_size if voxel_size is not None else metadata["voxel_size"])
        if not 0 < self.voxel_size < math.inf:
            raise DataError(f"voxel size is {self.voxel_size} m; it must be positive and finite (--voxel-size)")
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
        """Raise `CheckpointError` unless the network has the classes of ``benchmark``."""
        if self.classes.names != names:
            raise CheckpointError(
                f"the classes of {self.checkpoint} are not those of {benchmark}: train it on that data set"
            )

    def __call__(self, scan: UserScan) -> Int64[ndarray, " n"]:
        """The class of every point of a file; IGNORE if its coordinates are not finite."""
        label = np.full(len(scan.xyz), IGNORE, np.int64)
        with torch.autocast(self.device.type, self.amp, enabled=self.amp is not None):
            label[scan.finite] = predict(self.model, scan.scan, self.voxel_size, self.tta, self.device)
        return label


def find_scans(source: str | Path, output: str | Path | None = None) -> list[Path]:
    """The readable files of a folder and its subfolders in order, or the one file itself.

    Args:
        source: a scan or a folder.
        output: files below it are skipped if it lies inside ``source``: an earlier call wrote them.

    Raises:
        DataError: ``source`` does not exist or has no readable file.
    """
    source = Path(source)
    if not source.exists():
        raise DataError(f"{source} does not exist")
    if source.is_file():
        return [source]
    skipped = None if output is None or Path(output).resolve() == source.resolve() else Path(output).resolve()
    paths = sorted(
        path
        for path in source.rglob("*")
        if path.is_file() and path.name[0] != "." and (skipped is None or skipped not in path.resolve().parents)
    )
    files = [path for path in paths if path.suffix.lower() in SUFFIXES]
    others = Counter(path.suffix.lower() or "no suffix" for path in paths if path.suffix.lower() not in SUFFIXES)
    counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
    if not files:
        raise DataError(
            f"{source} has no scans{f', only {counts}' if counts else ''}; readable are {', '.join(SUFFIXES)}"
        )
    if others:
        log.info("%s: skipped %s; readable are %s", source, counts, ", ".join(SUFFIXES))
    return files


def write_prediction(path: Path, scan: UserScan, label: Int64[ndarray, " n"], classes: Classes) -> None:
    """Write labels, by suffix: .label uint32 ids (0: no class), .npy int32 classes (-1: no class), .ply colours."""
    if path.suffix == ".label":
        write_bytes(path, np.array([*classes.ids, 0], "<u4")[label].tobytes())  # IGNORE is -1, the last
    elif path.suffix == ".npy":
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.save(stream, label.astype(np.int32), allow_pickle=False)
    else:
        write_ply(path, scan.xyz, label, classes.palette)


def predict_files(
    predictor: Predictor,
    source: str | Path,
    output: str | Path,
    format: Format | None = None,
    columns: int | None = None,
    intensity_scale: float | None = None,
    views: int = 1,
) -> tuple[list[Path], dict[Path, str]]:
    """Label a file, or every scan of a folder, one at a time.

    In a folder the intensity scale is guessed from the first file of each format and reused for the rest.

    Args:
        predictor: the network.
        source: a scan or a folder.
        output: a folder, which gets the relative paths of the scans and ``classes.json``; for one scan it may be a file
            that ends with .label, .npy or .ply.
        format: None: that of ``output``, or "label".
        columns, intensity_scale: as in `read_user_scan`.
        views: number of scans that get a page ``.html`` beside their labels.

    Returns:
        The files that were written, and the reason for each scan that could not be read.

    Raises:
        DataError: ``source`` is one file that cannot be read, or no scan of a folder can.
    """
    source, output = Path(source), Path(output)
    files, root = find_scans(source, output), source if source.is_dir() else source.parent
    targets = _targets(files, root, output, format)
    if predictor.sweeps > 1:
        log.warning(
            "the network was trained on %d accumulated scans and gets one: labels may be worse than its mIoU suggests",
            predictor.sweeps,
        )
    written: list[Path] = []
    failed: dict[Path, str] = {}
    guessed_scales: dict[str, float] = {}  # by suffix: formats differ in how they store intensities
    for file in Progress(files, "predicting"):
        try:
            scan = read_user_scan(file, columns, intensity_scale, guessed_scales.get(file.suffix.lower()))
            label = predictor(scan)
        except DataError as error:
            if len(files) == 1:
                raise
            log.warning("not labelled: %s", error)
            failed[file] = str(error)
            continue
        if scan.guessed:
            guessed_scales[file.suffix.lower()] = scan.scale
        write_prediction(targets[file], scan, label, predictor.classes)
        written.append(targets[file])
        if views > 0:
            views -= 1
            written.append(_write_page(targets[file].with_suffix(".html"), scan, label, predictor.classes))
    if not written:
        raise DataError(
            f"{source}: none of its {len(files)} scans could be read; the first: {next(iter(failed.values()))}"
        )
    if output not in targets.values():
        write_json(output / "classes.json", legend(predictor.classes))
    return written, failed


def _write_page(page: Path, scan: UserScan, label: Int64[ndarray, " n"], classes: Classes) -> Path:
    write_view(page, scan.scan.xyz, label[scan.finite], classes.names, classes.palette, scan.scan.name)
    return page


def legend(classes: Classes) -> list[dict[str, object]]:
    """The meaning of the numbers in the outputs: class (.npy, .ply), id (.label), name, colour."""
    rows = zip(classes.names, classes.ids, classes.palette, strict=True)
    return [{"class": k, "id": i, "name": name, "rgb": list(rgb)} for k, (name, i, rgb) in enumerate(rows)]


def _targets(files: list[Path], root: Path, output: Path, format: Format | None) -> dict[Path, Path]:
    """The file that each scan's labels go to."""
    suffix = output.suffix.lstrip(".") if output.suffix.lstrip(".") in FORMATS else None
    if suffix and len(files) == 1 and not output.is_dir():
        if format and format != suffix:
            raise DataError(f"the output is called {output.name} but the format is {format}: drop one of the two")
        return {files[0]: output}
    if suffix and not output.is_dir():
        raise DataError(f"{output} is the name of one file, but there are {len(files)} scans: name a folder")
    if output.suffix and not output.is_dir() and len(files) == 1:
        raise DataError(f"{output}: labels are written as .{', .'.join(FORMATS)}; use such a name, or name a folder")
    chosen = format or "label"
    if chosen not in FORMATS:
        raise DataError(f"format {chosen!r} is unknown; choose one of {', '.join(FORMATS)}")
    scan_of: dict[Path, Path] = {}
    for file in files:
        name = file.name[: -len(".pcd.bin")] if file.name.endswith(".pcd.bin") else file.stem
        target = output / file.relative_to(root).parent / f"{name}.{chosen}"
        if target in scan_of:
            raise DataError(
                f"{scan_of[target]} and {file} would both be written to {target}: rename one, or move it away"
            )
        if target.resolve() == file.resolve():
            raise DataError(f"{file} would be overwritten by its own labels: choose another output folder")
        scan_of[target] = file
    return {file: target for target, file in scan_of.items()}
