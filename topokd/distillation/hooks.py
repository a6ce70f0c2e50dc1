"""Features of any network by module path: forward hooks give a network of your own the taps that terms need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from topokd.checks import first_nonfinite_row, require_finite
from topokd.clouds import Offsets, as_rows, is_per_cloud, shape_of
from topokd.distillation.term import NetworkOutput
from topokd.errors import ParameterError

_LOGITS = "logits"  # what the network returns, among the names of modules


@dataclass(frozen=True)
class TappedRows:
    """Output of one module as rows: a tap of any network.

    Attributes:
        feat: (n, c), in the graph of the rest of the network.
        grid_coord: (n, 3), the number of each row in its own cloud or image, and two zeros.
        offsets: (b,) cumulative numbers of rows.
        shape: of the points or pixels, (b, n) or (b, h, w); empty for rows.
    """

    feat: Tensor
    grid_coord: Tensor
    offsets: Tensor
    shape: tuple[int, ...] = ()


class TappedNetwork(nn.Module):
    """Wraps any network so that a call returns logits and one tap per named module, as the terms need them.

    A forward hook turns the output of each named module into rows (`topokd.clouds.as_rows`) and passes the same
    numbers, reshaped from those rows, to the rest of the network. So the rows are part of the graph, and the loss has
    gradients with respect to them, which the term ``grad`` needs. Row i of a tap is point or pixel i of the batch;
    teacher and student must have the same points or pixels there, but their widths may differ. Weights, state dict and
    outputs of the network do not change. Stage s of a term is the s-th path.

    Args:
        network: called with the arguments of `forward`; returns logits in a layout of `as_rows`.
        paths: names of modules, as in ``network.named_modules()``; each must run once per call and return a tensor.
        channels: axis of the channels in outputs of three axes: 2 for (b, n, c), 1 for (b, c, n); or a mapping of
            paths, and of "logits" for what the network returns, to this number, 2 where it has no entry.

    Raises:
        ParameterError: when the network has no module of that name, which lists the first ones; or ``channels`` is
            something else.

    Examples:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))
        >>> output = TappedNetwork(network, ["1"])(torch.zeros(4, 3, 5, 5))
        >>> output.logits.shape, output.taps[0].feat.shape, output.taps[0].offsets.tolist()
        (torch.Size([100, 2]), torch.Size([100, 8]), [25, 50, 75, 100])
    """

    def __init__(self, network: nn.Module, paths: Sequence[str], *, channels: int | Mapping[str, int] = 2) -> None:
        super().__init__()
        self.network, self.paths, self.channels = network, tuple(paths), channels
        self._axes = _channel_axes(channels, (*self.paths, _LOGITS))
        modules = dict(network.named_modules())
        for path in self.paths:
            if not path or path not in modules:
                names = ", ".join(list(modules)[1:13])
                raise ParameterError(f"the network has no module {path!r}; its first ones are {names}")

    def forward(self, *inputs: Any, offsets: Offsets = None, **named: Any) -> NetworkOutput:
        """Run the network.

        Args:
            inputs: arguments of the network.
            offsets: where clouds end, if the network works on (n, c) rows of several clouds; else their layout says it.
                Logits with one row per cloud, of a classifier, are one cloud.
            named: keyword arguments of the network.

        Returns:
            Logits as rows, and one tap per path.

        Raises:
            ParameterError: when a module did not run, ran twice, ran without gradients although they are enabled, or
                did not return a tensor.
            DataError: when an output has a layout without rows, or logits are not finite because an input or a weight
                is not.
        """
        rows: dict[str, TappedRows] = {}
        graph = torch.is_grad_enabled()
        handles = [
            self.network.get_submodule(path).register_forward_hook(partial(self._tap, rows, path, offsets, graph))
            for path in self.paths
        ]
        try:
            output = self.network(*inputs, **named)
        finally:
            for handle in handles:
                handle.remove()
        for path in self.paths:
            if path not in rows:
                raise ParameterError(f"the module {path!r} did not run: name one that the network calls")
        if not isinstance(output, Tensor):
            raise ParameterError(f"the network returned a {type(output).__name__}: wrap it so that it returns logits")
        if output.dim() == 2 and is_per_cloud(len(output), offsets):
            offsets = None
        logits = as_rows(self._channels_last(output, _LOGITS), offsets, "logits")
        if first_nonfinite_row(logits.rows) is not None:
            self._require_finite_input(inputs, named)
        return NetworkOutput(logits.rows, [rows[path] for path in self.paths], logits.ends)

    def _tap(
        self,
        taps: dict[str, TappedRows],
        path: str,
        offsets: Offsets,
        graph: bool,
        module: nn.Module,
        args: Any,
        output: Any,
    ) -> Tensor:
        """Store the rows of ``output``, and return the same numbers computed from them."""
        if not isinstance(output, Tensor):
            raise ParameterError(f"the module {path!r} returned a {type(output).__name__}: name one with a tensor")
        if path in taps:
            raise ParameterError(f"the module {path!r} ran twice in one call: name one that runs once")
        if graph and not torch.is_grad_enabled():
            raise ParameterError(
                f"module {path!r} ran without gradients (a reentrant checkpoint, or no_grad): use checkpoint(..., "
                "use_reentrant=False), or name another module"
            )
        if output.is_nested:
            raise ParameterError(
                f"the module {path!r} returned a nested tensor: nn.TransformerEncoder makes them of padded batches; "
                "build it with enable_nested_tensor=False"
            )
        last = self._channels_last(output, path)
        rows = as_rows(last, offsets if last.dim() == 2 else None, f"outputs of {path!r}")
        feat = rows.rows if rows.rows.requires_grad else rows.rows.detach()
        if torch.is_grad_enabled() and not feat.requires_grad:
            feat.requires_grad_(True)  # of a frozen network whose input has no gradient
        ends = torch.tensor(rows.ends, dtype=torch.int64, device=output.device)
        counts = torch.diff(ends, prepend=ends.new_zeros(1))
        starts = torch.repeat_interleave(ends - counts, counts, output_size=len(rows.rows))
        index = torch.arange(len(rows.rows), device=output.device) - starts  # from 0 in each cloud
        grid = torch.stack([index, torch.zeros_like(index), torch.zeros_like(index)], dim=1)
        taps[path] = TappedRows(feat, grid, ends, shape_of(rows.ends))
        shaped = feat.reshape(last.shape if output.dim() <= 3 else last.movedim(1, -1).shape)
        shaped = shaped.movedim(-1, 1) if output.dim() > 3 else self._channels_last(shaped, path)
        return shaped.clone(memory_format=torch.contiguous_format)  # the network may modify it in place

    def _require_finite_input(self, inputs: Sequence[Any], named: Mapping[str, Any]) -> None:
        """Find what made logits NaN before a loss says that training diverged."""
        for name, value in [*((f"input {k}", x) for k, x in enumerate(inputs)), *named.items()]:
            if isinstance(value, Tensor) and value.is_floating_point() and value.dim():
                require_finite(value, f"{name} of the network", "leave it out of the batch, or replace such values")
        for name, value in self.network.named_parameters():
            if value.dim():
                require_finite(value, f"the network's weight {name}", "its training diverged; use an earlier state")

    def _channels_last(self, output: Tensor, name: str) -> Tensor:
        """(b, c, n) as (b, n, c), and back."""
        return output.transpose(1, 2) if output.dim() == 3 and self._axes[name] == 1 else output


def _channel_axes(channels: int | Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    """The axis of the channels by path, and of the logits."""
    given = dict(channels) if isinstance(channels, Mapping) else dict.fromkeys(names, channels)
    for name, axis in given.items():
        if name not in names:
            raise ParameterError(f"channels names {name!r}, which is not tapped; name one of {', '.join(names)}")
        if axis not in (1, 2):
            raise ParameterError(f"channels is {channels}; it must be 2 for (b, n, c) or 1 for (b, c, n)")
    return {**dict.fromkeys(names, 2), **given}
