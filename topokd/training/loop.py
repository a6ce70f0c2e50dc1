"""The training loop: one for teachers and students, resumable at any step."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from topokd.data import Batch, read_ahead
from topokd.distillation import DistillationObjective, Losses, NetworkOutput, freeze, run_teacher
from topokd.errors import DataError, TrainingError
from topokd.models import PointTransformerV3
from topokd.params import Train
from topokd.progress import Progress
from topokd.training.determinism import stream_seed
from topokd.training.live import LiveCurves, history_point
from topokd.training.optimisation import build_optimizer, build_schedule
from topokd.training.state import ResumeFolder

log = logging.getLogger(__name__)

POINTS = 60  # a history holds about this many points of each curve


def empty_history() -> dict[str, Any]:
    """Curves: mean ``loss`` and ``terms`` since the last point and ``lr`` at ``step``; ``val_miou`` at ``val_step``."""
    return {"step": [], "loss": [], "terms": {}, "lr": [], "val_step": [], "val_miou": []}


@dataclass
class Position:
    """How far a run is, and what it has seen: with the tensors, all that a resumed run needs."""

    step: int = 0
    history: dict[str, Any] = field(default_factory=empty_history)
    sums: dict[str, float] = field(default_factory=dict)  # of each loss since the last point of the history
    count: int = 0  # steps in these sums
    best_miou: float = -1.0


@dataclass
class Fit:
    """Train ``model`` for ``steps`` steps on ``batches(step)`` with ``objective``; call :meth:`run`.

    Everything random in a step derives from (seed, step), so a run that was killed and goes on from ``resume`` ends
    with the same bits as one that was not. ``validate`` returns the mIoU shown while it runs; the weights with the best
    one are kept in :attr:`best_weights`. Automatic mixed precision acts on a GPU only.

    >>> from topokd.models import build_model
    >>> grid = torch.cartesian_prod(*[torch.arange(6)] * 3)
    >>> feat = torch.cat([0.2 * grid, torch.zeros(216, 1)], 1)
    >>> batch = Batch(0.2 * grid, grid, feat, label=grid[:, 2] // 3, offsets=torch.tensor([108, 216]))
    >>> model = build_model("ptv3-tiny", num_classes=2)
    >>> fit = Fit(model, DistillationObjective(0, 0, 0), lambda step: batch, steps=15, train=Train(), seed=0)
    >>> losses = fit.run()["loss"]
    >>> losses[-1] < losses[0]
    True
    """

    model: nn.Module
    objective: DistillationObjective
    batches: Callable[[int], Batch]
    steps: int
    train: Train
    seed: int
    name: str = "run"
    teacher: nn.Module | None = None
    validate: Callable[[nn.Module], float] | None = None
    resume: ResumeFolder | None = None
    live: Path | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    best_weights: dict[str, torch.Tensor] = field(init=False, default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Train to the end and return the history. Raises :class:`TrainingError` when a loss is not finite."""
        self._start()
        with contextlib.ExitStack() as stack:
            live = stack.enter_context(LiveCurves(self.live)) if self.live else None
            if live:
                live.replay(self.at.history)
            batches = read_ahead(self.batches, range(self.at.step, self.steps), self.train.workers)
            progress = Progress(batches, f"training {self.name}", total=self.steps, start=self.at.step)
            started = time.process_time()
            for batch in progress:
                self._collect(self._train_step(batch.to(self.device)))
                self.at.step += 1
                if self.at.step % self.record_every == 0 or self.at.step == self.steps:
                    self._record()
                    if live:
                        speed = (time.process_time() - started) / self.record_every
                        live.log(self.at.step, history_point(self.at.history, -1) | {"cpu_seconds_per_step": speed})
                        started = time.process_time()
                if self.validate and (self.at.step % self.train.validate_every == 0 or self.at.step == self.steps):
                    self._validate()
                    if live:
                        live.log(self.at.step, {"val/miou": self.at.history["val_miou"][-1]})
                    started = time.process_time()
                if self.resume and (self.at.step % self.train.checkpoint_every == 0 or self.at.step == self.steps):
                    self.resume.save(self._state())
                progress.note = self._note()
        return self.at.history

    # -- one step ----------------------------------------------------------------------------------------------

    def _train_step(self, batch: Batch) -> Losses:
        teacher = prepared = None
        if self.objective.needs_teacher and self.teacher is not None:
            with self._refusals(), self._autocast():
                teacher = run_teacher(self.teacher, batch, gradients=self.objective.needs_teacher_gradients)
            with self._refusals():
                prepared = self.objective.prepare(teacher)  # goes on while the student runs
        self.model.train()
        torch.manual_seed(stream_seed(self.seed, "step", self.at.step))  # for shuffled orders, dropped paths
        assert batch.label is not None
        with self._attention():  # to the end of the backward pass, in which checkpointed blocks run again
            with self._autocast():
                student = NetworkOutput(*self.model(batch, taps=True))
            with self._refusals():
                losses = self.objective(student, batch.label, teacher, prepared)
            if not bool(torch.isfinite(losses.total)):
                raise TrainingError(self._not_finite("the loss", losses))
            self.optimizer.zero_grad(set_to_none=True)
            self.scaler.scale(losses.total).backward()
        self.scaler.unscale_(self.optimizer)
        self._clip(losses)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        return losses

    def _clip(self, losses: Losses) -> None:
        limit = self.train.optimizer.clip_norm or float("inf")
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        if not self.scaler.is_enabled() and not bool(torch.isfinite(norm)):  # the scaler skips such a step by itself
            raise TrainingError(self._not_finite("the gradient", losses))

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """A term refuses features that are not finite before they become a loss: say at which step, and what helps."""
        try:
            yield
        except DataError as error:
            raise TrainingError(f"{self.name}: step {self.at.step + 1}: {error}; {self._advice()}") from error

    def _not_finite(self, what: str, losses: Losses) -> str:
        terms = ", ".join(f"{name} {value.item():.4g}" for name, value in losses.terms.items())
        return f"{self.name}: {what} of step {self.at.step + 1} is not finite (terms: {terms}); {self._advice()}"

    def _advice(self) -> str:
        return (
            f"lower train.optimizer.lr (now {self.train.optimizer.lr:g}) or the weight of the term that is not finite "
            "(distill.lambda_*), set train.optimizer.clip_norm above 0, and with train.amp fp16 try bf16 or off; "
            "then start the run again"
        )

    def _autocast(self) -> AbstractContextManager:
        kind = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[self.train.amp]
        if kind is None or self.device.type != "cuda":
            return contextlib.nullcontext()
        return torch.autocast("cuda", dtype=kind)

    def _attention(self) -> AbstractContextManager:
        """Only the plain attention kernel can be differentiated twice."""
        return sdpa_kernel(SDPBackend.MATH) if self._differentiates_twice else contextlib.nullcontext()

    @property
    def _differentiates_twice(self) -> bool:
        return self.objective.needs_teacher_gradients and self.objective.saliency.second_order

    # -- curves ------------------------------------------------------------------------------------------------

    def _collect(self, losses: Losses) -> None:
        names = ["total", *losses.terms]
        values: list[float] = torch.stack([losses.total, *losses.terms.values()]).detach().double().tolist()
        for name, value in zip(names, values, strict=True):
            self.at.sums[name] = self.at.sums.get(name, 0.0) + value
        self.at.count += 1

    def _record(self) -> None:
        means = {name: rounded(value / self.at.count) for name, value in self.at.sums.items()}
        self.at.history["step"].append(self.at.step)
        self.at.history["loss"].append(means.pop("total"))
        self.at.history["lr"].append(rounded(float(self.schedule.get_last_lr()[0])))
        for name, value in means.items():
            self.at.history["terms"].setdefault(name, []).append(value)
        self.at.sums, self.at.count = {}, 0

    def _validate(self) -> None:
        assert self.validate is not None
        miou = rounded(self.validate(self.model))
        self.at.history["val_step"].append(self.at.step)
        self.at.history["val_miou"].append(miou)
        if miou >= self.at.best_miou:
            self.at.best_miou = miou
            self.best_weights = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}

    def _note(self) -> str:
        loss = self.at.history["loss"][-1:] and f"loss {self.at.history['loss'][-1]:.3f}"
        miou = self.at.history["val_miou"][-1:] and f"mIoU {100 * self.at.history['val_miou'][-1]:.1f}"
        return ", ".join(part for part in (loss, miou) if part)

    # -- state -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Fresh optimizer and history, or those of the last state."""
        self.model.to(self.device)
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.momentum = self.train.norm_momentum
        if self._differentiates_twice and isinstance(self.model, PointTransformerV3):
            self.model.set_backends(convolution="torch", attention="torch")  # accelerators have no second derivative
        if self.teacher is not None:
            freeze(self.teacher).to(self.device)
        if self.train.amp != "off" and self.device.type != "cuda":
            log.info("train.amp %s acts on a GPU only; %s runs in float32", self.train.amp, self.name)
        self.optimizer = build_optimizer(self.model, self.train.optimizer)
        self.schedule = build_schedule(self.optimizer, self.steps, self.train.optimizer)
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.train.amp == "fp16" and self.device.type == "cuda")
        self.record_every = max(1, self.steps // POINTS)
        self.at = Position()
        self.best_weights = {}
        state = self.resume.load() if self.resume else None
        if state is not None:
            self._restore(state)

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "at": asdict(self.at),
            "best": self.best_weights,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.at = Position(**state["at"])
        self.best_weights = state["best"]
        log.info("%s goes on from step %d of %d", self.name, self.at.step, self.steps)


def rounded(value: float) -> float:
    """Six significant digits: enough for a curve, and short in a file."""
    return float(f"{value:.6g}")
