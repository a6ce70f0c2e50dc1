"""Cross-validation: every sequence of a SemanticKITTI folder is held out once."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from topokd.datasets.semantickitti.reader import SPLITS
from topokd.errors import DataError
from topokd.io import PARTIAL
from topokd.params import Params
from topokd.project import workspace_path

(HELD_OUT,) = SPLITS["val"]


def fold_params(params: Params, held_out: int) -> Params:
    """The profile of one fold, ``<profile>/fold<held_out>``, with links as its data, see `link_fold`.

    Args:
        params: a profile whose ``data.root`` is in SemanticKITTI's layout.
        held_out: number of the sequence that is not trained on.
    """
    profile = f"{params.profile}/fold{held_out:02d}"
    return params.replace(profile=profile, data=params.data.replace(root=str(workspace_path(profile) / "data")))


def link_fold(source: Path, target: Path, held_out: int) -> None:
    """Link the sequences of ``source`` into ``target``, with ``held_out`` and the sequence of the split "val" swapped.

    A reader of ``target`` validates on the held-out sequence and trains on all others. Links to another ``source`` are
    replaced or removed, and several workers may call this at the same time.

    Args:
        source: folder that holds ``sequences/``.
        target: folder that gets ``sequences/``; created if it is missing.
        held_out: number of a sequence.

    Raises:
        DataError: ``source`` does not have that sequence.

    Examples:
        >>> import tempfile
        >>> source, target = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
        >>> for number in (2, 3, 8):
        ...     (source / "sequences" / f"{number:02d}").mkdir(parents=True)
        >>> link_fold(source, target, 3)
        >>> sorted((link.name, os.readlink(link)[-2:]) for link in (target / "sequences").iterdir())
        [('02', '02'), ('03', '08'), ('08', '03')]
    """
    sequences = {int(path.name): path for path in (source / "sequences").glob("[0-9][0-9]") if path.is_dir()}
    if held_out not in sequences:
        present = ", ".join(f"{number:02d}" for number in sorted(sequences)) or "none"
        raise DataError(f"{source}/sequences has no {held_out:02d} to hold out; there are {present}")
    swapped = {HELD_OUT: held_out, held_out: HELD_OUT}
    folder = target / "sequences"
    folder.mkdir(parents=True, exist_ok=True)
    links = {folder / f"{swapped.get(number, number):02d}": path.resolve() for number, path in sequences.items()}
    for stale in {link for link in folder.iterdir() if link.is_symlink()} - links.keys():
        stale.unlink(missing_ok=True)
    for link, path in links.items():
        if not link.is_symlink() or Path(os.readlink(link)) != path:
            with tempfile.TemporaryDirectory(dir=target, prefix=PARTIAL) as own:  # another worker may do the same
                made = Path(own) / link.name
                made.symlink_to(path, target_is_directory=True)
                made.replace(link)
