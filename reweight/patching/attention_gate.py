"""Cross-attention that can return a stored output, and a U-Net that can compute one half of a guided batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .stand_in import StandIn, mapped, rows_taken


class Gate:
    """State shared by the stand-ins of one context.

    keeping: whether cross-attention outputs are stored; under guidance, the mean of the two halves. closed: whether
    the stored outputs are returned. guided: whether the batch has two halves.
    """

    keeping = closed = guided = False


class KeptAttention(StandIn):
    """Stands in for an attention's forward; returns the stored output if its shape fits the call."""

    def __init__(self, forward: Callable[..., Any], gate: Gate) -> None:
        super().__init__(forward)
        self.gate = gate
        self.kept: Tensor | None = None
        self.reused = 0

    def __call__(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        gate = self.gate
        if self.active and gate.closed and self.kept is not None and self.kept.shape[:-1] == hidden_states.shape[:-1]:
            self.reused += 1
            return self.kept
        output = self.forward(hidden_states, *args, **kwargs)
        if self.active and gate.keeping:
            self.kept = _mean_of_halves(output) if gate.guided else output
        return output


def _mean_of_halves(output: Tensor) -> Tensor:
    first, second = output.chunk(2)
    return torch.lerp(first, second, 0.5)


class OneHalf(StandIn):
    """Stands in for a U-Net's forward: after the gate has closed, computes the conditional half and returns it twice.

    The pipeline's guidance then has no effect: uncond + scale * (cond - uncond) equals cond.
    """

    def __init__(self, forward: Callable[..., Any], gate: Gate) -> None:
        super().__init__(forward)
        self.gate = gate
        self.halved = 0

    def __call__(self, sample: Tensor, *args: Any, **kwargs: Any) -> Any:
        if not (self.active and self.gate.closed and self.gate.guided):
            return self.forward(sample, *args, **kwargs)
        batch = sample.shape[0]
        half = slice(batch // 2, batch)
        args, kwargs = rows_taken(args, half, batch), rows_taken(kwargs, half, batch)
        self.halved += 1
        return mapped(self.forward(sample[half], *args, **kwargs), lambda t: torch.cat([t, t]))
