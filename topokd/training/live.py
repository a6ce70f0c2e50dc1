"""Live curves of a run through dvclive: plain TSV and JSON files that can be watched while it trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class LiveCurves:
    """Write loss terms, learning rate, validation mIoU and speed of a run into ``folder``; needs no git.

    The folder starts anew each time: a resumed run first writes what its history holds, so no step occurs twice.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp(), "live")
    >>> with LiveCurves(folder) as live:
    ...     live.log(5, {"loss/total": 1.25})
    >>> (folder / "plots" / "metrics" / "loss" / "total.tsv").read_text().split()
    ['step', 'total', '5', '1.25']
    """

    def __init__(self, folder: Path) -> None:
        from dvclive import Live

        folder.parent.mkdir(parents=True, exist_ok=True)
        self._live = Live(dir=str(folder), save_dvc_exp=False, dvcyaml=None, report=None)

    def log(self, step: int, values: dict[str, float]) -> None:
        """Add one point to each named curve."""
        self._live.step = step
        for name, value in values.items():
            self._live.log_metric(name, value)
        self._live.make_summary()

    def replay(self, history: dict[str, Any]) -> None:
        """Write what a resumed run has already seen."""
        for i, step in enumerate(history["step"]):
            self.log(step, history_point(history, i))
        for step, miou in zip(history["val_step"], history["val_miou"], strict=True):
            self.log(step, {"val/miou": miou})

    def __enter__(self) -> LiveCurves:
        return self

    def __exit__(self, *_: object) -> None:
        self._live.end()


def history_point(history: dict[str, Any], i: int) -> dict[str, float]:
    """The ``i``-th entry of a history as named values."""
    point = {"loss/total": history["loss"][i], "lr": history["lr"][i]}
    return point | {f"loss/{name}": values[i] for name, values in history["terms"].items()}
