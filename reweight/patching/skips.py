"""Scales skip tensors before the up path concatenates them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from .blocks import as_unet


class ScaleSkips:
    """Pre-hook of an up stage: multiplies each skip tensor by its factor, in the order of the concatenations."""

    def __init__(self, factors: Sequence[float]) -> None:
        self.factors = tuple(factors)

    def __call__(self, stage: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        skips = kwargs["res_hidden_states_tuple"] if "res_hidden_states_tuple" in kwargs else args[1]
        # the stage takes them from the end
        scaled = tuple(skip * rho for skip, rho in zip(skips, reversed(self.factors), strict=True))
        if "res_hidden_states_tuple" in kwargs:
            return args, kwargs | {"res_hidden_states_tuple": scaled}
        return (args[0], scaled, *args[2:]), kwargs


@contextmanager
def scaled_skips(pipe_or_unet: Any, factors: Sequence[float]) -> Iterator[int]:
    """Multiply each skip tensor by its factor, deepest first; yields the number of hooked stages.

    RuntimeError if skips are scaled already; ValueError if the number of factors is not the number of skips.
    """
    unet = as_unet(pipe_or_unet)
    if any(isinstance(hook, ScaleSkips) for stage in unet.up_blocks for hook in stage._forward_pre_hooks.values()):
        raise RuntimeError("Skip-Tuning is applied to this U-Net already: leave the other context first.")
    counts = [len(stage.resnets) for stage in unet.up_blocks]
    if sum(counts) != len(factors):
        raise ValueError(f"There are {len(factors)} factors but this U-Net has {sum(counts)} skips.")
    with ExitStack() as undo:
        start = 0
        for stage, count in zip(unet.up_blocks, counts, strict=True):
            hook = ScaleSkips(factors[start : start + count])
            undo.callback(stage.register_forward_pre_hook(hook, with_kwargs=True).remove)
            start += count
        yield len(counts)
