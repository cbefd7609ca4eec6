"""Cross-attention that hands back what it gave before, and a U-Net that computes one half of guidance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .stand_in import StandIn, mapped, rows_taken


class Gate:
    """What the stand-ins of one context share.

    keeping: whether what cross-attention gives is kept, the mean of the two halves under guidance. closed: whether it
    hands that back. guided: whether the batch holds two halves.
    """

    keeping = closed = guided = False


class KeptAttention(StandIn):
    """Stands in for an attention's forward; what does not fit what was kept is computed."""

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
    """Stands in for a U-Net's forward: behind a closed gate computes the half with the prompt, and gives it for both.

    The pipeline's guidance then adds nothing: uncond + scale * (cond - uncond) is cond.
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
