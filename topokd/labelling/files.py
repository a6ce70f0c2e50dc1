"""Label files and folders: ``topokd predict``."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from topokd.data.formats import Cloud, Note, common_scale
from topokd.errors import DataError
from topokd.io import atomic_path, printable, require_writable, sha256, write_bytes, write_json
from topokd.labelling.classes import Classes
from topokd.labelling.folder import Written, check_targets, find_scans, targets_of
from topokd.labelling.labeller import Labeller
from topokd.progress import Progress
from topokd.training.state import code_fingerprint
from topokd.viz.export import write_ply, write_view

log = logging.getLogger(__name__)

Format = Literal["label", "ply", "npy"]
FORMATS: tuple[Format, ...] = ("label", "ply", "npy")


def write_prediction(path: Path, cloud: Cloud, label: Int64[ndarray, " n"], classes: Classes) -> None:
    """Write labels, by suffix: .label ids (`Classes`), .npy int32 classes (-1: no class), .ply colours.

    Args:
        path: the file.
        cloud: the scan as read.
        label: (n,) class of each point; -1 for none.
        classes: ids and colours.

    Examples:
        >>> import tempfile
        >>> from topokd.data.formats import read_cloud
        >>> folder = Path(tempfile.mkdtemp())
        >>> np.save(folder / "scan.npy", np.ones((3, 4)))
        >>> cloud, classes = read_cloud(folder / "scan.npy"), Classes.of(("road", "car"))
        >>> write_prediction(folder / "scan.label", cloud, np.array([1, 0, -1]), classes)
        >>> np.fromfile(folder / "scan.label", "<u4").tolist()
        [2, 1, 0]
    """
    if path.suffix == ".label":
        dtype = np.dtype(classes.dtype).newbyteorder("<")
        write_bytes(path, np.array([*classes.ids, classes.no_class], dtype)[label].tobytes())  # IGNORE is -1, the last
    elif path.suffix == ".npy":
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.save(stream, label.astype(np.int32), allow_pickle=False)
    else:
        write_ply(path, cloud.xyz, label, classes.palette)


def predict_files(
    labeller: Labeller,
    source: str | Path,
    output: str | Path,
    format: Format | None = None,
    views: int = 1,
    *,
    overwrite: bool = False,
    **reading: Any,
) -> tuple[list[Path], dict[Path, str]]:
    """Label a file, or every scan of a folder, one at a time; an interrupted call resumes where it stopped.

    In a folder the intensity scale of each format is guessed from a sample of its files (`common_scale`). What was
    assumed about the files is logged: one line for one file, a table for a folder.

    Args:
        labeller: the network.
        source: a scan or a folder.
        output: a folder, which gets the relative paths of the scans and ``classes.json``; for one scan it may be a file
            that ends with .label, .npy or .ply.
        format: None: that of ``output``, or "label".
        views: number of scans that get a page ``.html`` next to their labels.
        overwrite: replace files that no earlier call wrote.
        reading: options of `read_cloud`: columns, intensity, scale, ...

    Returns:
        The files that were written, now or by an earlier call from the same inputs, and the reason for each scan that
        could not be read.

    Raises:
        DataError: ``source`` is a file that cannot be read or a folder without a readable scan, or an output exists.

    Examples:
        >>> import tempfile
        >>> from topokd.models import build_model, save_checkpoint
        >>> folder = Path(tempfile.mkdtemp())
        >>> recorded = {"class_names": "road,car", "voxel_size": "0.5"}
        >>> save_checkpoint(folder / "tiny.safetensors", build_model("ptv3-tiny", num_classes=2), recorded)
        >>> xyz = np.random.default_rng(0).uniform(0, 9, (300, 4))
        >>> (folder / "recordings").mkdir()
        >>> np.save(folder / "recordings" / "scan.npy", xyz)
        >>> labeller = Labeller(folder / "tiny.safetensors")
        >>> written, failed = predict_files(labeller, folder / "recordings", folder / "labels", views=0)
        >>> [path.name for path in written], failed
        (['scan.label'], {})
    """
    source, output = Path(source), Path(output)
    if views < 0:
        raise DataError(f"views is {views}: pass the number of pages, 0 or more (--views)")
    files, remarks = find_scans(source, output)
    targets = targets_of(files, source if source.is_dir() else source.parent, output, format, FORMATS)
    legend = output / "classes.json" if output not in targets.values() else None
    written = Written(output if legend else output.parent)
    pages = {file: targets[file].with_suffix(".html") for file in files[:views]}
    check_targets([*targets.values(), *pages.values(), *([legend] if legend else [])], written, overwrite)
    require_writable(written.folder)
    for remark in remarks:
        log.info("%s: %s", source, remark)
    if labeller.sweeps > 1:
        log.warning(
            "the network was trained on %d accumulated scans and gets one: labels may be worse than its mIoU suggests",
            labeller.sweeps,
        )
    job = _Job(labeller, reading, written, files)
    done: list[Path] = []
    failed: dict[Path, str] = {}
    for file in Progress(files, "predicting"):
        try:
            done += job.label(file, targets[file], pages.get(file))
        except DataError as error:
            if len(files) == 1:
                raise
            failed[file] = str(error)
        except OSError as error:  # no permission, a network drive that is gone, a file that was deleted meanwhile
            if len(files) == 1 or error.filename is None or Path(error.filename) != file:
                raise
            failed[file] = f"{file}: {error.strerror}"
        if file in failed:
            log.warning("not labelled: %s", failed[file])
    job.report(len(files))
    if not done:
        raise DataError(
            f"{source}: none of its {len(files)} scans could be read; the first: {next(iter(failed.values()))}"
        )
    if legend:
        write_json(legend, labeller.classes.legend())
        written.add(legend)
    return done, failed


class _Job:
    """The scans of one call: how they are read, what they have in common, and what was noted about them."""

    def __init__(self, labeller: Labeller, reading: dict[str, Any], written: Written, files: list[Path]) -> None:
        self.labeller, self.reading, self.written = labeller, reading, written
        self.scales = _common_scales(labeller, files, reading)
        self.notes: dict[str, tuple[Path, Note]] = {}
        self.counts = Counter[str]()
        self.network = [sha256(labeller.checkpoint), labeller.voxel_size, labeller.tta, str(labeller.amp)]
        self.network += [str(labeller.classes), code_fingerprint("teacher", "labelling", "viz")]

    def label(self, file: Path, target: Path, page: Path | None) -> list[Path]:
        """Write a scan's labels and page, unless they are there already."""
        recipe = self._recipe(file)
        paths = [target, *([page] if page else [])]
        if all(self.written.is_current(path, recipe) for path in paths):
            return paths
        scale = self.scales.get(file.suffix.lower())
        cloud = self.labeller.read(file, usual_scale=scale, log_notes=False, **self.reading)
        label = self.labeller(cloud)
        for kind, note in {note.kind: note for note in (*cloud.notes, *self.labeller.differences(cloud))}.items():
            self.counts[kind] += 1
            self.notes.setdefault(kind, (file, note))
        write_prediction(target, cloud, label, self.labeller.classes)
        self.written.add(target, recipe)
        if page:
            classes = self.labeller.classes
            write_view(
                page, cloud.scan.xyz, label[cloud.finite], classes.names, classes.palette, printable(cloud.scan.name)
            )
            self.written.add(page, recipe)
        return paths

    def _recipe(self, file: Path) -> str:
        """A digest of everything that a scan's labels depend on."""
        state = file.stat()
        parts = [*self.network, self.reading, str(file.resolve()), state.st_size, state.st_mtime_ns]
        parts += [self.scales.get(file.suffix.lower())]
        return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()

    def report(self, number: int) -> None:
        """Log what was assumed about the scans: a line for one scan, a table for several."""
        if not self.notes:
            return
        if number == 1:
            file = next(iter(self.notes.values()))[0]
            log.warning("%s: %s", file, "; ".join(str(note) for _, note in self.notes.values()))
            return
        rows = [
            f"  {self.counts[kind]:6d} of {number} scans: {note} ({file.name})"
            for kind, (file, note) in self.notes.items()
        ]
        log.warning(
            "assumptions about the scans, each with the numbers of the first scan concerned:\n%s", "\n".join(rows)
        )


def _common_scales(labeller: Labeller, files: list[Path], reading: dict[str, Any]) -> dict[str, float]:
    """Full scales of intensities by suffix, as far as they must be guessed: formats differ in how they store them."""
    if not labeller.uses_intensity and reading.get("intensity") is None:
        return {}
    scales: dict[str, float] = {}
    for suffix in sorted({file.suffix.lower() for file in files}):
        same = [file for file in files if file.suffix.lower() == suffix]
        scale = common_scale(same, **reading) if len(same) > 1 else None
        if scale is not None:
            scales[suffix] = scale
            log.log(
                logging.INFO if scale == 1 else logging.WARNING,
                "intensities of %d %s scans are divided by %g, a guess from a sample of them (--intensity-scale sets "
                "the full scale)",
                *(len(same), suffix, scale),
            )
    return scales
