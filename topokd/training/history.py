"""The curves of a run, and the state of its training loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

POINTS = 60  # a history holds about this many points of each curve


def empty_history() -> dict[str, Any]:
    """Curves: mean ``loss`` and ``terms`` since the last point and ``lr`` at ``step``; ``val_miou`` at ``val_step``.

    ``gradients``: see `topokd.training.gradients.GradientWatch`.
    """
    return {"step": [], "loss": [], "terms": {}, "lr": [], "val_step": [], "val_miou": [], "gradients": {}}


@dataclass
class TrainState:
    """Progress of a run and its recorded curves: besides the tensors, all that a resumed run needs."""

    step: int = 0
    history: dict[str, Any] = field(default_factory=empty_history)
    sums: dict[str, float] = field(default_factory=dict)  # of each loss since the last point of the history
    count: int = 0  # steps in these sums
    best_miou: float = -1.0
    weights: dict[str, float] = field(default_factory=dict)  # of the terms, where they are being balanced

    def collect(self, losses: dict[str, float]) -> None:
        """Add the losses of one step to the running sums."""
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1

    def record(self, lr: float) -> None:
        """Append the means since the last point, and reset the sums."""
        means = {name: rounded(value / self.count) for name, value in self.sums.items()}
        self.history["step"].append(self.step)
        self.history["loss"].append(means.pop("total"))
        self.history["lr"].append(rounded(lr))
        for name, value in means.items():
            self.history["terms"].setdefault(name, []).append(value)
        self.sums, self.count = {}, 0

    def record_validation(self, miou: float) -> bool:
        """Append a validation; returns whether it is the best so far (in a tie, the later one)."""
        miou = rounded(miou)
        self.history["val_step"].append(self.step)
        self.history["val_miou"].append(miou)
        best = miou >= self.best_miou
        if best:
            self.best_miou = miou
        return best


def metrics_at(history: dict[str, Any], i: int) -> dict[str, float]:
    """The point number ``i`` of ``history`` (from 0) as named values."""
    point = {"loss/total": history["loss"][i], "lr": history["lr"][i]}
    return point | {f"loss/{name}": values[i] for name, values in history["terms"].items()}


def rounded(value: float) -> float:
    """Six significant digits: enough for a curve, and short in a file.

    Examples:
        >>> rounded(0.12345678)
        0.123457
    """
    return float(f"{value:.6g}")
