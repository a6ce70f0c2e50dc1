"""The saved state of a run, and the key that ties it to its inputs."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import torch

from topokd.choices import Role
from topokd.data.cache import READING
from topokd.io import atomic_path, sha256, source_digest

log = logging.getLogger(__name__)

WHOLE_FILES = 1 << 30  # bytes of scans up to which their whole content is hashed
EXECUTED = (*READING, "synthetic", "models", "distillation", "evaluation", "training")
"""Packages that the training of any network runs."""


class ResumeFolder:
    """``<parent>/<run>-<key>/``: the last state of one run, found only by a run with the same key.

    The key is a hash of everything that the result depends on (see `run_key`), so a state is never used after a change
    of parameters, data, teacher or code. Folders of the same run with other keys are stale and are removed.

    Args:
        parent: folder of all runs.
        run: name of the run.
        key: key from `run_key`.

    Examples:
        >>> import tempfile
        >>> folder = ResumeFolder(Path(tempfile.mkdtemp()), "full-seed0", "ab12")
        >>> folder.save({"step": 25, "weight": torch.ones(2)})
        >>> ResumeFolder(folder.path.parent, "full-seed0", "ab12").load()["step"]
        25
    """

    def __init__(self, parent: Path, run: str, key: str) -> None:
        self.path = parent / f"{run}-{key}"
        for stale in sorted(parent.glob(f"{run}-*")):
            if stale != self.path and stale.is_dir():
                shutil.rmtree(stale, ignore_errors=True)

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state atomically: a kill at any moment leaves the old one or the new one."""
        with atomic_path(self.path / "state.pt") as temporary:
            torch.save(state, temporary)

    def load(self) -> dict[str, Any] | None:
        """The last state, or None. A damaged file is logged, and the run starts from the beginning."""
        file = self.path / "state.pt"
        if not file.is_file():
            return None
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
            if not isinstance(state, dict):
                raise ValueError(f"it holds a {type(state).__name__}")
            return state
        except Exception as error:  # torch raises many kinds of errors here; none of them should stop the training
            log.warning("%s cannot be read (%s): training starts from the beginning", file, error)
            return None


def run_key(**inputs: Any) -> str:
    """Twelve hexadecimal digits that change with any of the JSON-able ``inputs``.

    Examples:
        >>> run_key(seed=0) == run_key(seed=0) != run_key(seed=1)
        True
    """
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]


def code_fingerprint(role: Role = "student", *more: str) -> str:
    """Digest of the sources that a training run executes; the run of a teacher does not use the topology layer.

    Args:
        role: of the network.
        more: packages above this one that determine the result as well.
    """
    return source_digest(*EXECUTED, *(() if role == "teacher" else ("topology",)), *more)


def dataset_fingerprint(dataset: Any) -> str:
    """Digest of a dataset's scans: of their content, or of sizes and modification times if they exceed 1 GiB.

    That of a data set read by a label map covers the map.
    """
    files = list(dict.fromkeys(file for name in dataset.names for file in dataset.files(name) if file is not None))
    whole = sum(file.stat().st_size for file in files) <= WHOLE_FILES
    digest = hashlib.sha256("\n".join([*dataset.names, *_description(dataset)]).encode())
    for file in files:
        status = file.stat()
        digest.update((sha256(file) if whole else f"{status.st_size}:{status.st_mtime_ns}").encode())
    return digest.hexdigest()


def _description(dataset: Any) -> list[str]:
    """The label map of a dataset, if it has one."""
    text = getattr(dataset, "description", None)
    return [text] if isinstance(text, str) else []
