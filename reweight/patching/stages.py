"""U-Net stages that can return stored outputs, and U-Net calls that compute several denoising steps in one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .blocks import UNet
from .clock import Clock, others_go_by_step
from .stand_in import StandIn, rows_repeated, rows_taken, standing_in

RESIDUALS = (
    "down_block_additional_residuals", "mid_block_additional_residual", "down_intrablock_additional_residuals",
)  # fmt: skip


class Reuse:
    """State shared by the stand-ins of one context.

    active: whether modules return their stored outputs. copies: how many copies of the samples a batch has, which
    differ only in their timesteps.
    """

    active = False
    copies = 1


class Kept(StandIn):
    """Stands in for a module's forward: computes and stores its output, or returns the stored one.

    With several copies it computes the first and repeats the result. An output stored for another batch size is
    recomputed, so a pipeline may change its batch size between steps.
    """

    def __init__(self, forward: Callable[..., Any], reuse: Reuse) -> None:
        super().__init__(forward)
        self.reuse = reuse
        self.kept: Any = None
        self.batch = 0
        self.reused = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.active:
            return self.forward(*args, **kwargs)
        given = (args[0] if args else kwargs["hidden_states"]).shape[0]
        batch = given // self.reuse.copies
        if self.reuse.active and batch == self.batch:
            self.reused += 1
        else:
            first = slice(0, batch)
            if self.reuse.copies > 1:
                args, kwargs = rows_taken(args, first, given), rows_taken(kwargs, first, given)
            self.kept, self.batch = self.forward(*args, **kwargs), batch
        return rows_repeated(self.kept, self.reuse.copies, batch)


class Together(StandIn):
    """Stands in for a U-Net's forward: computes a call and the following ones that reuse the encoder in one batch.

    group: gives the schedule positions that a call may compute, its own first. Results are stored by position, for one
    picture and batch. Calls are computed one by one if another hook depends on the step, or if a ControlNet adds
    residuals, which differ from call to call.
    """

    def __init__(self, forward: Callable[..., Any], unet: UNet, clock: Clock, reuse: Reuse,
                 group: Callable[[], list[int]]) -> None:  # fmt: skip
        super().__init__(forward)
        self.unet, self.clock, self.reuse, self.group = unet, clock, reuse, group
        self.answers: dict[int, Any] = {}
        self.batch = 0
        self.answered = 0

    def __call__(self, sample: Tensor, timestep: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.active:
            return self.forward(sample, timestep, *args, **kwargs)
        if self.clock.begins or self.clock.batch != self.batch:
            self.answers, self.batch = {}, self.clock.batch
        if self.clock.position in self.answers:
            self.answered += 1
            return self.answers.pop(self.clock.position)
        positions = self.group()
        alone = others_go_by_step(self.unet, self.clock) or any(kwargs.get(name) is not None for name in RESIDUALS)
        if alone or len(positions) < 2:
            return self.forward(sample, timestep, *args, **kwargs)
        n, batch = len(positions), sample.shape[0]
        timesteps = self.clock.scheduler().timesteps[positions].to(sample.device).repeat_interleave(batch)
        args, kwargs = rows_repeated(args, n, batch), rows_repeated(kwargs, n, batch)
        self.reuse.copies = n
        try:
            output = self.forward(torch.cat([sample] * n), timesteps, *args, **kwargs)
        finally:
            self.reuse.copies = 1
        for i, position in enumerate(positions):
            self.answers[position] = rows_taken(output, slice(i * batch, (i + 1) * batch), n * batch)
        return self.answers.pop(self.clock.position)


@contextmanager
def kept(modules: Sequence[nn.Module], reuse: Reuse) -> Iterator[list[Kept]]:
    """Make modules store their outputs, and return them while `reuse` is active."""
    with ExitStack() as undo:
        yield [undo.enter_context(standing_in(module, Kept(module.forward, reuse))) for module in modules]


def encoder(unet: UNet) -> list[nn.Module]:
    """The modules of a U-Net before its up path, in order. ValueError for a U-Net without a mid block."""
    if getattr(unet, "mid_block", None) is None:
        raise ValueError("This U-Net has no mid block, so its encoder cannot be reused: choose another model.")
    return [unet.conv_in, *unet.down_blocks, unet.mid_block]


def deep_part(unet: UNet, branch: int) -> list[nn.Module]:
    """The largest modules deeper than skip number `branch`, where skip 0 is that of the first convolution.

    Not included: the first `branch` layers of the down path, counting downsamplers, and the last `branch + 1` of the up
    path. ValueError for a U-Net without a mid block or with too few skips.
    """
    encoder(unet)
    skips = 1 + sum(len(_layers(stage)) for stage in unet.down_blocks)
    if not 0 <= branch < skips - 1:
        raise ValueError(f"The branch must be from 0 to {skips - 2} for this U-Net, not {branch}.")
    found: list[nn.Module] = []
    fresh = branch
    for stage in unet.down_blocks:
        layers = _layers(stage)
        found += _deeper(stage, layers[fresh:], len(layers))
        fresh = max(0, fresh - len(layers))
    found.append(unet.mid_block)
    above: list[nn.Module] = []
    fresh = branch + 1
    for stage in reversed(unet.up_blocks):
        count = len(stage.resnets)
        layers = [_layer(stage, i) for i in range(count)]
        above = _deeper(stage, layers[: max(0, count - fresh)], count) + above
        fresh = max(0, fresh - count)
    return found + above


def _deeper(stage: UNet, layers: list[list[nn.Module]], count: int) -> list[nn.Module]:
    return [stage] if len(layers) == count else [module for layer in layers for module in layer]


def _layers(stage: UNet) -> list[list[nn.Module]]:
    """The layers of a down stage, each of which produces a skip."""
    layers = [_layer(stage, i) for i in range(len(stage.resnets))]
    return layers + [[sampler] for sampler in stage.downsamplers or ()]


def _layer(stage: UNet, i: int) -> list[nn.Module]:
    attentions = getattr(stage, "attentions", None)
    return [stage.resnets[i], *([] if attentions is None else [attentions[i]])]
