"""The training loop: one for teachers and students, resumable at any step."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from topokd.data import Batch, prefetch
from topokd.distillation import DistillationObjective, Losses, NetworkOutput, freeze, run_teacher
from topokd.errors import DataError, TrainingError
from topokd.models import PointTransformerV3
from topokd.params import Train
from topokd.progress import Progress
from topokd.training.determinism import stream_seed
from topokd.training.distributed import Ranks
from topokd.training.gradients import GradientWatch
from topokd.training.history import POINTS, TrainState
from topokd.training.hooks import Hook
from topokd.training.inspection import kept_for_inspection
from topokd.training.optimisation import build_optimizer, build_schedule
from topokd.training.precision import autocast, gradient_scaler
from topokd.training.teacher_outputs import TeacherOutputs

log = logging.getLogger(__name__)


@dataclass
class Fit:
    """Train ``model`` for ``steps`` steps on ``batches(step)`` with ``objective``; call `run`.

    Everything random in a step derives from (seed, step), so a killed and resumed run (`Resume`) ends with the same
    bits as an uninterrupted one.

    Args:
        model: called as ``model(batch, taps=True)``.
        objective: the loss.
        batches: the batch of a step; must not depend on earlier calls.
        steps: number of steps.
        train: optimizer, precision, worker processes.
        seed: seed of everything random in a step.
        name: name of the run, in progress and messages.
        teacher: frozen network; None if the objective has no terms.
        kept: keeps what the terms need of the teacher, for other rows with the same batches; None: the teacher runs.
        hooks: called after each step, in this order; see `topokd.training.hooks`.
        device: device of the networks.
        ranks: processes that share the batches; ``batches`` then gives this one's clouds.
        failed: folder for the batch whose loss or gradient is not finite; None: it is not kept.

    Attributes:
        best_weights: weights with the best validation; empty without `Validate`.
        averaged: running average of the weights; empty without `Average`.

    Examples:
        >>> from topokd.models import build_model
        >>> grid = torch.cartesian_prod(*[torch.arange(6)] * 3)
        >>> feat = torch.cat([0.2 * grid, torch.zeros(216, 1)], 1)
        >>> batch = Batch(0.2 * grid, grid, feat, label=grid[:, 2] // 3, offsets=torch.tensor([108, 216]))
        >>> model = build_model("ptv3-tiny", num_classes=2)
        >>> fit = Fit(model, DistillationObjective({}), lambda step: batch, steps=15, train=Train(), seed=0)
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
    kept: TeacherOutputs | None = None
    hooks: Sequence[Hook] = ()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    ranks: Ranks = field(default_factory=Ranks)
    failed: Path | None = None
    best_weights: dict[str, torch.Tensor] = field(init=False, default_factory=dict)
    averaged: dict[str, torch.Tensor] = field(init=False, default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Train until the last step.

        Returns:
            The history: see `topokd.training.history.empty_history`.

        Raises:
            TrainingError: a loss or a gradient is not finite.
        """
        self.prepare()
        with contextlib.ExitStack() as stack:
            for hook in reversed(self.hooks):
                stack.callback(hook.close)
                hook.start(self)
            batches = prefetch(self.batches, range(self.state.step, self.steps), self.train.workers)
            progress = Progress(batches, f"training {self.name}", total=self.steps, start=self.state.step)
            started = time.process_time()
            for batch in progress:
                with kept_for_inspection(batch, self.failed, self.name, self.state.step + 1, self.ranks):
                    losses = self.train_step(batch.to(self.device))
                self._record(losses)
                self.cpu_seconds += time.process_time() - started
                for hook in self.hooks:
                    hook.after_step(self)
                progress.note = self._note()
                started = time.process_time()
        return self.state.history

    def is_due(self, every: int) -> bool:
        """Whether something done every ``every`` steps and at the end is due after this step."""
        return self.state.step % every == 0 or self.state.step == self.steps

    # -- one step ----------------------------------------------------------------------------------------------

    def train_step(self, batch: Batch) -> Losses:
        """Forward, backward and update on one batch; call `prepare` first.

        Raises:
            TrainingError: the loss or its gradient is not finite; the message says which and what helps.
        """
        teacher = prepared = digests = None
        if self.objective.needs_teacher and self.teacher is not None:
            with self._explain_nonfinite():
                if self.kept is not None and self.objective.digest_keys():
                    digests = self.kept.of(self.state.step, batch, self.objective, self.teacher, self.train.amp)
                else:
                    with self._autocast():
                        teacher = run_teacher(self.teacher, batch, gradients=self.objective.needs_teacher_gradients)
                    prepared = self.objective.prepare(teacher)  # may still run during the student's forward pass
        self.model.train()
        assert batch.label is not None
        with (
            self._seeded(),
            self._attention(),
        ):  # until the end of the backward pass: checkpointed blocks run again
            with self._autocast():
                student = NetworkOutput(*self.called(batch, taps=True))
            with self._explain_nonfinite():
                losses = self.objective(student, batch.label, teacher, prepared, digests, self.ranks.weigh)
            losses = self._watch_gradients(losses, student)
            if self.ranks.any(not bool(torch.isfinite(losses.total))):
                raise TrainingError(self._not_finite("the loss", losses))
            self.optimizer.zero_grad(set_to_none=True)
            self.scaler.scale(losses.total).backward()
        self.ranks.mean_gradients(self.objective.parameters())
        self.scaler.unscale_(self.optimizer)
        self._clip(losses)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        return losses

    @contextlib.contextmanager
    def _seeded(self) -> Iterator[None]:
        """Inside, torch's global generators give the step's own numbers, for shuffled orders and dropped paths."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(stream_seed(self.seed, "step", self.state.step))
            yield

    def _watch_gradients(self, losses: Losses, student: NetworkOutput) -> Losses:
        """Measure the terms' gradients if that is due, and weigh the terms as they are balanced."""
        state = self.state
        if self.watch.is_due(state.step):
            weights = {**self.objective.weights(), **state.weights}
            balanced = self.watch.measure(
                state.step, losses, self.model, student, weights, state.history["gradients"], self.ranks
            )
            state.weights = {name: balanced[name] for name in self.watch.shares}
        if not state.weights:
            return losses
        return Losses(self.objective.total(losses.terms, {**self.objective.weights(), **state.weights}), losses.terms)

    def _clip(self, losses: Losses) -> None:
        """Clip the gradient of the student's parameters; what the objective learns, such as projectors, is not clipped.

        Raises:
            TrainingError: a gradient of either is not finite.
        """
        limit = self.train.optimizer.clip_norm or float("inf")
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        if self.scaler.is_enabled():  # it skips steps whose gradients are not finite
            return
        if not bool(torch.isfinite(norm)):
            raise TrainingError(self._not_finite("the gradient", losses))
        own = (parameter.grad for parameter in self.objective.parameters() if parameter.grad is not None)
        if not all(bool(gradient.isfinite().all()) for gradient in own):
            raise TrainingError(self._not_finite("the gradient of what the objective learns", losses))

    @contextlib.contextmanager
    def _explain_nonfinite(self) -> Iterator[None]:
        """Add step number and advice to non-finite errors raised by loss terms."""
        try:
            yield
        except DataError as error:
            raise TrainingError(f"{self.name}: step {self.state.step + 1}: {error}; {self._advice()}") from error

    def _not_finite(self, what: str, losses: Losses) -> str:
        terms = ", ".join(f"{name} {value.item():.4g}" for name, value in losses.terms.items())
        return f"{self.name}: {what} of step {self.state.step + 1} is not finite (terms: {terms}); {self._advice()}"

    def _advice(self) -> str:
        return (
            f"lower train.optimizer.lr (now {self.train.optimizer.lr:g}) or the weight of the term that is not finite "
            "(terms.<name>.weight), set train.optimizer.clip_norm above 0, and with train.amp fp16 try bf16 or off; "
            "then restart the run"
        )

    def _autocast(self) -> AbstractContextManager:
        return autocast(self.train.amp, self.device)

    def _attention(self) -> AbstractContextManager:
        """Only the plain attention kernel can be differentiated twice."""
        return sdpa_kernel(SDPBackend.MATH) if self.objective.differentiates_twice else contextlib.nullcontext()

    # -- curves ------------------------------------------------------------------------------------------------

    def _record(self, losses: Losses) -> None:
        names = ["total", *losses.terms]
        stacked = torch.stack([losses.total, *losses.terms.values()]).detach().double()
        values: list[float] = self.ranks.mean(stacked).tolist()
        self.state.collect(dict(zip(names, values, strict=True)))
        self.state.step += 1
        if self.is_due(self.record_every):
            self.state.record(float(self.schedule.get_last_lr()[0]))

    def _note(self) -> str:
        history = self.state.history
        loss = history["loss"][-1:] and f"loss {history['loss'][-1]:.3f}"
        miou = history["val_miou"][-1:] and f"mIoU {100 * history['val_miou'][-1]:.1f}"
        return ", ".join(part for part in (loss, miou) if part)

    # -- state -------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Move the networks to the device and build a new optimizer, schedule and history."""
        self.model.to(self.device)
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.momentum = self.train.norm_momentum
        if self.objective.differentiates_twice and isinstance(self.model, PointTransformerV3):
            self.model.set_backends(convolution="torch", attention="torch")  # accelerators have no second derivative
        if self.teacher is not None:
            freeze(self.teacher).to(self.device)
        if self.train.amp != "off" and self.device.type != "cuda":
            log.info("train.amp %s needs a GPU; %s runs in float32", self.train.amp, self.name)
        self.objective.to(self.device)
        self.called = self.ranks.prepare(self.model, self.train.sync_batchnorm)
        self.optimizer = build_optimizer(self.model, self.train.optimizer, self.objective)
        self.schedule = build_schedule(self.optimizer, self.steps, self.train.optimizer)
        self.scaler = gradient_scaler(self.train.amp, self.device)
        self.record_every = max(1, self.steps // POINTS)
        self.state = TrainState()
        terms = self.objective.named_terms() if self.train.balance == "gradnorm" else {}
        shares = {name: share for name, share in self.train.shares.items() if name in terms}
        self.watch = GradientWatch(self.train.gradients_every, shares, self.name)
        self.cpu_seconds = 0.0  # of the steps done by this process
        self.began, self.earlier_seconds = time.monotonic(), 0.0  # the latter by processes that were stopped
        self.best_weights, self.averaged = {}, {}

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "state": asdict(self.state),
            "best": self.best_weights,
            "averaged": self.averaged,
            "seconds": self.earlier_seconds + time.monotonic() - self.began,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore the state that `state_dict` returned."""
        self.model.load_state_dict(saved["model"])
        self.objective.load_state_dict(saved["objective"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        self.scaler.load_state_dict(saved["scaler"])
        self.state = TrainState(**saved["state"])
        self.best_weights, self.averaged = saved["best"], saved["averaged"]
        self.earlier_seconds = saved["seconds"]
