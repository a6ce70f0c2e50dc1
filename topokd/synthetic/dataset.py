"""Dataset that writes the synthetic world, if needed, and reads it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from topokd import params
from topokd.data.dataset import OnBadScan
from topokd.datasets.semantickitti.reader import SemanticKITTI
from topokd.errors import DataError
from topokd.synthetic.semantickitti_writer import write_semantickitti


class SyntheticLidar(SemanticKITTI):
    """The "train" or "val" scans of the synthetic world, written to disk first if they are missing.

    Args:
        root: a folder for this world only.
        split: "train", "val" or a tuple of the world's sequence numbers.
        synthetic: the parameters of the world; None: the defaults.
        on_bad_scan, cache, sweeps: as in `SemanticKITTI`.

    Raises:
        DataError: ``split`` is a name other than "train" and "val".

    Examples:
        >>> import tempfile
        >>> small = params.Synthetic(azimuths=64, train_sequences=(0,), val_sequences=(), scans_per_sequence=1)
        >>> dataset = SyntheticLidar(tempfile.mkdtemp(), "train", small)
        >>> len(dataset), dataset.num_classes, 1000 < len(dataset[0]) < 64 * 64
        (1, 19, True)
    """

    def __init__(
        self,
        root: str | Path,
        split: str | Sequence[int] = "train",
        synthetic: params.Synthetic | None = None,
        on_bad_scan: OnBadScan = "raise",
        cache: int = 128,
        sweeps: int = 1,
    ) -> None:
        synthetic = synthetic or params.Synthetic()
        splits = {"train": synthetic.train_sequences, "val": synthetic.val_sequences}
        if isinstance(split, str) and split not in splits:
            raise DataError(
                f"the synthetic world has no split {split!r}: choose train, val, or a tuple of its sequences"
            )
        write_semantickitti(root, synthetic, jobs=os.cpu_count() or 1)
        super().__init__(root, splits[split] if isinstance(split, str) else split, on_bad_scan, cache, sweeps)
        self.split = split
