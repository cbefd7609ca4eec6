"""Weights as torch tensors with gradients, for tuning. `reweighted` is for everything else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .blocks import Per, as_unet, columns, target_blocks
from .clock import RowFinder
from .rows import CheckBatch, replaced


@contextmanager
def weighted(pipe_or_unet: Any, weights: Tensor, *, per: Per = "stage", scheduler: Any = None) -> Iterator[None]:
    """Multiply every Transformer2DModel's output by an element of `weights`, through which gradients flow.

    weights: (T, k), or (n, T, k) with a table per sample, applied in each guidance part of a U-Net call; k is the
    number of `columns`. A call's row is found as in `reweighted`. ValueError for another number of columns, on entry;
    for another number of steps or samples, at the first U-Net call. RuntimeError if the U-Net is re-weighted already.
    """
    unet = as_unet(pipe_or_unet)
    labels, places = columns(target_blocks(unet), per)
    if weights.ndim not in (2, 3) or weights.shape[-1] != len(labels):
        raise ValueError(
            f"The weights have shape {tuple(weights.shape)}: give (steps, {len(labels)}) or (samples, steps, "
            f"{len(labels)}) for this U-Net."
        )
    if any(isinstance(hook, (CheckBatch, _Row)) for hook in unet._forward_pre_hooks.values()):
        raise RuntimeError("This U-Net is re-weighted already: leave the other context first.")
    row = _Row(weights, pipe_or_unet, scheduler)
    with ExitStack() as undo:
        undo.callback(unet.register_forward_pre_hook(row, with_kwargs=True).remove)
        for path, column in places:
            undo.callback(unet.get_submodule(path).register_forward_hook(_Multiply(row, column)).remove)
        yield


class _Row:
    """U-Net pre-hook: sets the weights of the call, (n, k)."""

    def __init__(self, weights: Tensor, pipe: Any, scheduler: Any) -> None:
        self.weights = weights if weights.ndim == 3 else weights[None]
        self.pipe, self.scheduler = pipe, scheduler
        self.finder = RowFinder(self.weights.shape[1])
        self.current = self.weights[:, 0]

    def __call__(self, unet: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        batch, n = (args[0] if args else kwargs["sample"]).shape[0], len(self.weights)
        if batch % n:
            raise ValueError(f"There are weights for {n} samples but the U-Net was called with a batch of {batch}.")
        timestep = args[1] if len(args) > 1 else kwargs["timestep"]
        scheduler = self.scheduler if self.scheduler is not None else getattr(self.pipe, "scheduler", None)
        self.current = self.weights[:, 0 if scheduler is None else self.finder.row(timestep, scheduler)]


class _Multiply:
    """Forward hook of a Transformer2DModel: multiplies its output by its weight."""

    def __init__(self, row: _Row, column: int) -> None:
        self.row, self.column = row, column

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        h, w = output[0], self.row.current[:, self.column]
        wide = torch.promote_types(h.dtype, torch.float32)
        factors = w.to(h.device, wide).repeat(h.shape[0] // len(w)).view(-1, *[1] * (h.ndim - 1))
        return replaced(output, (h * factors).to(h.dtype))
