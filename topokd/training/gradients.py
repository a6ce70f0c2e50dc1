"""How hard each term of Eq. 8 pulls: norms of its gradient, and weights that give it a stated share.

The value of a loss says nothing about its force. With g_k the gradient of term k before its weight, the share of the
term is lambda_k |g_k| / |g_seg|, both norms over all parameters of the student.
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from topokd.distillation import Losses, NetworkOutput
from topokd.training.distributed import Ranks
from topokd.training.history import rounded

log = logging.getLogger(__name__)

WEAK, STRONG = 0.01, 0.9  # shares outside of which a term is named in a warning ...
PATIENCE = 100  # ... when it has stayed there for this many steps
BALANCED = 0.3  # the share of the weight that a warning suggests


def gradient_norms(
    losses: Mapping[str, Tensor], parameters: Sequence[Tensor], output: NetworkOutput, ranks: Ranks | None = None
) -> dict[str, dict[str, Any]]:
    """|g_k| of each loss in the parameters, the logits and the features of each tap; the graph is kept.

    Each loss costs one backward pass.

    Args:
        losses: scalars in one graph, before their weights.
        parameters: parameters of the student.
        output: the student's output, in that graph.
        ranks: processes that share the batch: norms are then those of the gradient of the mean of their losses.

    Returns:
        By loss: ``parameters`` and ``logits``, each a norm, and ``taps``, a norm per stage.

    Examples:
        >>> weight = torch.ones(2, 2, requires_grad=True)
        >>> logits = torch.tensor([[3.0, 4.0]]) @ weight
        >>> gradient_norms({"seg": logits.sum()}, [weight], NetworkOutput(logits, ()))["seg"]["parameters"]
        7.07107
    """
    inputs = [*parameters, output.logits, *(tap.feat for tap in output.taps)]
    by_term: dict[str, dict[str, Any]] = {}
    for name, loss in losses.items():
        grads = torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True) if loss.requires_grad else ()
        norms = [loss.new_zeros(()) if grad is None else grad.norm().to(loss.dtype) for grad in grads]
        norms += [loss.new_zeros(())] * (len(inputs) - len(norms))
        if ranks is not None and ranks.size > 1:
            norms = _over_ranks(ranks, inputs, grads, norms, len(parameters))
        of_parameters = torch.stack(norms[: len(parameters)]).norm()
        values = torch.stack([of_parameters, *norms[len(parameters) :]]).detach().double().tolist()
        whole, logits, *taps = map(rounded, values)
        by_term[name] = {"parameters": whole, "logits": logits, "taps": taps}
    return by_term


def _over_ranks(
    ranks: Ranks, inputs: Sequence[Tensor], grads: Sequence[Tensor | None], norms: list[Tensor], parameters: int
) -> list[Tensor]:
    """|mean_r g_r| of each of the parameters, which all ranks have, and |g_1, ..., g_R| / R of the outputs."""
    given = grads or [None] * len(inputs)
    filled = [torch.zeros_like(x) if g is None else g for x, g in zip(inputs[:parameters], given, strict=False)]
    mean = ranks.mean(torch.cat([gradient.flatten() for gradient in filled]))
    of_parameters = [part.norm() for part in mean.split([gradient.numel() for gradient in filled])]
    of_outputs = ranks.sum(torch.stack(norms[parameters:]).square()).sqrt() / ranks.size
    return [*of_parameters, *of_outputs]


def balanced_weights(norms: Mapping[str, Mapping[str, Any]], shares: Mapping[str, float]) -> dict[str, float]:
    """lambda_k = share_k |g_seg| / |g_k|, for every term with a stated share and a gradient.

    Args:
        norms: norms from `gradient_norms`; ``seg`` is the segmentation loss.
        shares: wanted lambda_k |g_k| / |g_seg| by term.

    Examples:
        >>> norms = {"seg": {"parameters": 2.0}, "kd": {"parameters": 4.0}}
        >>> balanced_weights(norms, {"kd": 1.0})
        {'kd': 0.5}
    """
    seg = norms["seg"]["parameters"]
    return {
        name: rounded(share * seg / norms[name]["parameters"])
        for name, share in shares.items()
        if norms[name]["parameters"] > 0 and seg > 0
    }


def gradient_share(terms: Mapping[str, Mapping[str, Sequence[float]]], name: str) -> list[float]:
    """lambda_k |g_k| / |g_seg| of the term ``name`` at each measurement, both norms over the parameters.

    Args:
        terms: ``history["gradients"]["terms"]`` of a run record.
        name: name of the term.

    Examples:
        >>> seg, kd = {"parameters": [2.0, 0.0]}, {"parameters": [3.0, 3.0], "weight": [0.5, 0.5]}
        >>> gradient_share({"seg": seg, "kd": kd}, "kd")
        [0.75, 0.0]
    """
    seg, curves = terms["seg"]["parameters"], terms[name]
    rows = zip(curves["weight"], curves["parameters"], seg, strict=True)
    return [weight * norm / whole if whole > 0 else 0.0 for weight, norm, whole in rows]


class GradientWatch:
    """Measure every ``every`` steps, keep the curves in a history, warn of terms without force or with too much.

    Args:
        every: steps between measurements, each of which costs one backward pass per loss; 0: never.
        shares: shares that ``balance: gradnorm`` sets, by term; empty: weights stay as they are.
        name: name of the run, in warnings.
    """

    def __init__(self, every: int, shares: Mapping[str, float], name: str) -> None:
        self.every, self.shares, self.name = every, dict(shares), name

    def is_due(self, step: int) -> bool:
        """Whether step number ``step``, from 0, is measured."""
        return self.every > 0 and step % self.every == 0

    def measure(
        self,
        step: int,
        losses: Losses,
        model: nn.Module,
        output: NetworkOutput,
        weights: Mapping[str, float],
        history: dict[str, Any],
        ranks: Ranks | None = None,
    ) -> dict[str, float]:
        """Record the norms of one step, and return the weights from this step on.

        Args:
            step: its number, from 0.
            losses: losses of the step.
            model: the student.
            output: its output.
            weights: lambda of each term so far.
            history: ``gradients`` of the run's history, extended in place.
            ranks: see `gradient_norms`.
        """
        norms = gradient_norms(losses.terms, [p for p in model.parameters() if p.requires_grad], output, ranks)
        weights = {**weights, **balanced_weights(norms, {k: s for k, s in self.shares.items() if k in norms})}
        history.setdefault("step", []).append(step)
        for name, measured in norms.items():
            curves = history.setdefault("terms", {}).setdefault(name, {key: [] for key in (*measured, "weight")})
            for key, value in (measured | {"weight": weights.get(name, 1.0)}).items():
                curves[key].append(value)
        self._warn(history)
        return weights

    def _warn(self, history: dict[str, Any]) -> None:
        """Name each term whose share has been outside of the limits for `PATIENCE` steps, once per run and side.

        Terms whose shares were asked for are left out. ``balance`` is the weight of a share of 1 at this step.
        """
        steps, seg = history["step"], history["terms"]["seg"]["parameters"]
        named = history.setdefault("warnings", [])
        for name, curves in history["terms"].items():
            if name == "seg" or name in self.shares:
                continue
            share = gradient_share(history["terms"], name)
            for side, outside in (("under", [x < WEAK for x in share]), ("above", [x > STRONG for x in share])):
                first = len(outside) - next((k for k, x in enumerate(reversed(outside)) if not x), len(outside))
                stays = first < len(outside) and steps[-1] - steps[first] >= PATIENCE
                if not stays or any(w["term"] == name and w["side"] == side for w in named):
                    continue
                gradient = curves["parameters"][-1]
                balance = rounded(seg[-1] / gradient) if gradient > 0 else None
                named.append(
                    {"term": name, "side": side, "step": steps[-1], "share": rounded(share[-1]), "balance": balance}
                )
                window = [curves["weight"][k] / share[k] for k in range(first, len(share)) if share[k] > 0]
                advice = (
                    f"terms.{name}.weight {rounded(BALANCED * statistics.median(window)):.2g} would make it "
                    f"{100 * BALANCED:g} %"
                    if window
                    else "its gradient is zero"
                )
                log.warning(
                    "%s: the gradient of the term %s has stayed %s %g %% of the segmentation loss's for %d steps "
                    "(now %.3g %%, weight %g); %s",
                    self.name, name, side, 100 * (WEAK if side == "under" else STRONG), PATIENCE,
                    100 * share[-1], curves["weight"][-1], advice,
                )  # fmt: skip
