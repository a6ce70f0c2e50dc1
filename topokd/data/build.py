"""From parameters to a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from topokd import params
from topokd.data.semantickitti import SemanticKITTI
from topokd.data.synthetic import SyntheticLidar


def build_dataset(data: params.Data, root: str | Path, split: str | Sequence[int]) -> SemanticKITTI:
    """The dataset that ``data.dataset`` names, read from ``root`` (usually ``params.data_root``)."""
    if data.dataset == "synthetic":
        return SyntheticLidar(root, split, data.synthetic, data.on_bad_scan)
    return SemanticKITTI(root, split, data.on_bad_scan)
