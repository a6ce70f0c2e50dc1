"""A trained network that labels users' scans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray

from topokd.data import IGNORE
from topokd.data.formats import Cloud, Note, read_cloud
from topokd.data.profile import ScanProfile, describe
from topokd.errors import CheckpointError, DataError, ParameterError
from topokd.evaluation import predict
from topokd.label_maps import WrittenLabels
from topokd.labelling.classes import Classes
from topokd.machine import usable_device
from topokd.models import load_checkpoint, read_description, read_metadata
from topokd.options import number, whole
from topokd.schema import LARGEST_VOXEL, MOST_VIEWS
from topokd.training.precision import AMP_DTYPES

SMALLEST_VOXEL = 1e-4
"""Metres; finer than any scanner measures."""
_LONGEST_NAME = 200


class Labeller:
    """A trained network, ready to predict the class of every point of a scan.

    Args:
        checkpoint: weights that topokd trained.
        voxel_size: metres; None: as in training.
        tta: number of rotations to average.
        device: None: a GPU if there is one.
        amp: "off" (float32), "bf16" or "fp16".

    Attributes:
        classes: names, colours and ids.
        sweeps: number of scans that were accumulated for each training sample.
        uses_intensity: whether it was trained with intensities.
        trained_on: statistics of its training scans; None if the checkpoint does not record them.

    Raises:
        CheckpointError: the file lacks the names of the classes or the voxel size, contradicts itself, or cannot be
            loaded.
        DataError: an option is out of range, or the device does not exist.

    Examples:
        >>> import tempfile
        >>> from topokd.models import build_model, save_checkpoint
        >>> folder = Path(tempfile.mkdtemp())
        >>> recorded = {"class_names": "road,car", "voxel_size": "0.5"}
        >>> save_checkpoint(folder / "tiny.safetensors", build_model("ptv3-tiny", num_classes=2), recorded)
        >>> xyz = np.random.default_rng(0).uniform(0, 9, (300, 4))
        >>> np.save(folder / "scan.npy", xyz)
        >>> labeller = Labeller(folder / "tiny.safetensors", voxel_size=0.4)
        >>> labeller(read_cloud(folder / "scan.npy")).shape, labeller.classes.names
        ((300,), ('road', 'car'))
    """

    def __init__(
        self,
        checkpoint: str | Path,
        voxel_size: float | None = None,
        tta: int = 1,
        device: str | torch.device | None = None,
        amp: str = "off",
    ) -> None:
        if amp not in AMP_DTYPES:
            raise DataError(f"amp {amp!r} is unknown; choose one of {', '.join(AMP_DTYPES)}")
        try:
            tta = whole(tta, "tta", most=MOST_VIEWS)
        except ParameterError as error:
            raise DataError(f"{error} (--tta)") from None
        try:
            voxel_size = None if voxel_size is None else number(voxel_size, "voxel_size", above=True)
        except ParameterError:
            raise DataError(f"voxel size is {voxel_size!r} m; it must be positive and finite (--voxel-size)") from None
        if voxel_size is not None and not SMALLEST_VOXEL <= voxel_size <= LARGEST_VOXEL:
            raise DataError(
                f"voxel size is {voxel_size:g} m; it must be {SMALLEST_VOXEL:g} to {LARGEST_VOXEL:g} (--voxel-size)"
            )
        self.model: torch.nn.Module = load_checkpoint(checkpoint)
        self.checkpoint, description = checkpoint, read_description(checkpoint)
        if not description.class_names:
            raise CheckpointError(
                f"{checkpoint} does not name its classes; save it with metadata class_names='road,car,...'"
            )
        names = description.class_names
        for name in names:
            if not name.isprintable() or len(name) > _LONGEST_NAME:
                raise CheckpointError(
                    f"{checkpoint}: its metadata class_names holds {name[:40]!r}: a name is one line of at most "
                    f"{_LONGEST_NAME} letters; use the file that training wrote"
                )
        written = WrittenLabels.read(checkpoint, read_metadata(checkpoint), len(names))
        self.classes = Classes.of(names) if written is None else Classes.written(names, written)
        voxel_size = description.voxel_size if voxel_size is None else voxel_size
        if voxel_size is None:
            raise CheckpointError(
                f"{checkpoint} does not record the voxel size of its training: give it in metres (--voxel-size)"
            )
        if voxel_size < SMALLEST_VOXEL:
            raise CheckpointError(
                f"{checkpoint}: its metadata voxel_size is {voxel_size:g} m, finer than any scan; use the file that "
                "training wrote, or give the voxel size (--voxel-size)"
            )
        self.voxel_size = float(voxel_size)
        self.sweeps, self.uses_intensity = description.sweeps, description.intensity
        self.trained_on = None if description.scans is None else _profile(checkpoint, description.scans)
        self.tta, self.amp = tta, AMP_DTYPES[amp]
        self.device = usable_device(device)
        self.model = self.model.to(self.device).eval()

    def read(self, path: str | Path, **options: Any) -> Cloud:
        """`read_cloud`, with intensities of 0 for a network that was trained without them, unless a field is named.

        Args:
            path: the file.
            **options: of `read_cloud`.

        Raises:
            DataError: the file cannot be read.
        """
        if not self.uses_intensity and options.get("intensity") is None:
            options["intensity"] = "none"
        return read_cloud(path, **options)

    def need_classes(self, names: tuple[str, ...], benchmark: str) -> None:
        """Check that the network has the classes of ``benchmark``.

        Raises:
            CheckpointError: it has others.
        """
        if self.classes.names != names:
            raise CheckpointError(
                f"the classes of {self.checkpoint} are not those of {benchmark}: train it on that data set"
            )

    def differences(self, cloud: Cloud) -> list[Note]:
        """How a scan differs from the training scans, with numbers; empty if the checkpoint does not describe them."""
        if self.trained_on is None:
            return []
        notes = self.trained_on.differences(describe(cloud.scan))
        if cloud.field is None or not self.uses_intensity:
            notes = [note for note in notes if not note.kind.startswith("intensities")]
        return notes

    def __call__(self, cloud: Cloud) -> Int64[ndarray, " n"]:
        """The class of every point of a file; IGNORE for those that are not in its scan.

        Raises:
            DataError: the network cannot process the scan; the message names it, and what looks odd about it.
        """
        label = np.full(len(cloud.xyz), IGNORE, np.int64)
        try:
            with torch.autocast(self.device.type, self.amp, enabled=self.amp is not None):
                label[cloud.finite] = predict(self.model, cloud.scan, self.voxel_size, self.tta, self.device)
        except DataError as error:
            text = str(error) if cloud.scan.name in str(error) else f"{cloud.scan.name}: {error}"
            # what looks odd about the file is often the cause, such as coordinates in millimetres
            raise DataError("; ".join([text, *map(str, cloud.notes)])) from error
        return label


def _profile(checkpoint: str | Path, text: str) -> ScanProfile:
    """What the training scans looked like, as a checkpoint records it."""
    try:
        profile = ScanProfile.from_json(text)
    except DataError as error:
        raise CheckpointError(f"{checkpoint}: its metadata scans: {error}; use the file that training wrote") from error
    for name, low in profile.low.items():
        if low > profile.high[name]:
            raise CheckpointError(
                f"{checkpoint}: its metadata scans: {name} runs from {low:g} down to {profile.high[name]:g}; use the "
                "file that training wrote"
            )
    return profile
