"""Context managers that hook a U-Net: re-weighting, bypassing, recording, and editing skip concatenations.

All of them restore the U-Net bitwise on exit, also after an exception.

Compiled U-Nets (tried with torch 2.13): contexts may be entered before or after the first compiled call. A U-Net that
was compiled whole, by `unet.compile()` or `torch.compile(unet)`, is compiled again in each new context, once for all
its steps and weights, and runs uncompiled after `torch._dynamo.config.recompile_limit` (8) of them; samples that are
bypassed run uncompiled, and `fullgraph=True` fails. `unet.compile_repeated_blocks()` has none of these limits, because
it compiles modules inside the hooked ones. A U-Net wrapped by `torch.compile(unet)` is unwrapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..schedule import SKIP_EPS
from .blocks import Concatenation, Per, as_unet, columns, target_blocks
from .hooks import Edit, EditConcatenation, NoteNotFinite, Record, UNetCall
from .rows import Bypass, CheckBatch, Rows, Scale, SetRow, as_mask, as_weights, with_gradient
from .source import Source
from .stand_in import standing_in

__all__ = [
    "BlockControl", "UNetCall", "bypassed", "captured", "edited_concatenations", "not_finite_blocks", "reweighted",
]  # fmt: skip


class BlockControl:
    """Context manager that scales or bypasses the target blocks of one U-Net, per sample.

    `set(weights, skip)` applies to the following U-Net calls, until the next `set`; before the first one nothing is
    changed. A weight multiplies the whole output of every Transformer2DModel of its block (METHOD sec. 1); where skip
    is true the Transformer2DModel's input is returned unscaled and nothing is computed for that sample.

    A single row of weights applies to every sample. With n rows a U-Net call must have n * guidance_parts samples, and
    row i applies to sample i of each part. guidance_parts: by default read from the pipeline at each call (see
    `source.guidance_parts`), 1 for a bare U-Net. scheduler: gives the steps; by default the pipeline's. per: "stage"
    for a weight per block, "transformer" for one per Transformer2DModel; m is their number.
    RuntimeError on entry if the U-Net is re-weighted already.
    """

    def __init__(
        self, pipe_or_unet: Any, *, scheduler: Any = None, guidance_parts: int | None = None, per: Per = "stage"
    ) -> None:
        self.unet = as_unet(pipe_or_unet)
        self.blocks = target_blocks(self.unet)
        labels, self._places = columns(self.blocks, per)
        self.source = Source(pipe_or_unet, scheduler, guidance_parts)
        self.rows = Rows(np.ones((1, len(labels))), np.zeros((1, len(labels)), dtype=bool))
        self._undo = ExitStack()

    def set(self, weights: Any = None, skip: Any = None) -> None:
        """Set weights (m,) or (n, m), any finite numbers, and skip, bool of the same shape. None: all ones, none skipped.

        If weights is a tensor that requires a gradient, the U-Net's output can be differentiated with respect to it.
        ValueError, naming both numbers, if the shapes do not fit the U-Net or each other.
        """
        m = self.rows.weights.shape[1]
        w = np.ones(m) if weights is None else as_weights(weights, m)
        s = np.zeros(m, dtype=bool) if skip is None else as_mask(skip, m, "skip mask")
        if w.ndim > 2 or s.ndim > 2:
            raise ValueError(f"Weights and skip mask for one U-Net call have shape ({m},) or (samples, {m}).")
        w, s = np.atleast_2d(w), np.atleast_2d(s)
        if len({len(w), len(s)} - {1}) > 1:
            raise ValueError(
                f"There are weights for {len(w)} samples but a skip mask for {len(s)}: make them the same."
            )
        given = with_gradient(weights)
        w, s = np.broadcast_arrays(w, s)
        self.rows.set(w, s, None if given is None else given.expand(w.shape))

    def __enter__(self) -> BlockControl:
        if any(isinstance(hook, CheckBatch) for hook in self.unet._forward_pre_hooks.values()):
            raise RuntimeError(
                "This U-Net is re-weighted already: leave the other context first, "
                "or give weights and thresholds to one `reweighted`."
            )
        with ExitStack() as undo:
            undo.callback(
                self.unet.register_forward_pre_hook(CheckBatch(self.rows, self.source), with_kwargs=True).remove
            )
            for path, column in self._places:
                module = self.unet.get_submodule(path)
                undo.enter_context(standing_in(module, Bypass(self.rows, column, module.forward)))
                undo.callback(module.register_forward_hook(Scale(self.rows, column)).remove)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._undo.close()


@contextmanager
def reweighted(
    pipe_or_unet: Any,
    weights: Any,
    *,
    thresholds: Any = None,
    bypass: Any = None,
    scheduler: Any = None,
    guidance_parts: int | None = None,
) -> Iterator[BlockControl]:
    """Scale every target block by its weight at each step, h <- w * Transformer2DModel(h) (paper Fig. 2, Sec. III-B).

    weights: (T, m); (n, T, m), where table i applies to sample i in every guidance part; or (m,), the same weights at
    every step. T is the pipeline's `num_inference_steps`, m the number of target blocks, or of Transformer2DModels for
    a weight for each (`WeightTable.per`), n the prompts times the pictures of each, or 1 for a common table. Any finite
    weight is allowed. If it is a tensor that requires a gradient, the U-Net's output can be differentiated by it.
    thresholds: the same shape; a block is bypassed where w + 1e-6 < q: nothing is computed, h is returned unscaled.
    bypass: bool, (m,), (T, m) or (n, T, m); a block is also bypassed where this is true.
    scheduler: gives the steps; by default the pipeline's, read at each call, so that it may be replaced inside the
    context. A bare U-Net needs it if T > 1.
    guidance_parts: how often a U-Net call repeats its n samples; by default read from the pipeline at each call, 1 for
    a bare U-Net. Used only if n > 1.

    A U-Net call uses row `position in scheduler.timesteps // scheduler.order`, counted in the full schedule, so
    image-to-image starts at a later row; a timestep that PNDM repeats has one row. The pipeline can be called several
    times inside the context. A deep copy of the pipeline made inside stays re-weighted, independent of the original.

    ValueError on entry for a wrong number of blocks, non-finite weights or shapes that do not fit; at the first U-Net
    call for a wrong number of steps or samples. RuntimeError if the U-Net is re-weighted already.
    """
    blocks = target_blocks(as_unet(pipe_or_unet))
    m, k = len(blocks), sum(len(block.transformers) for block in blocks)
    w = as_weights(weights, m, k=k)
    skip = np.zeros(w.shape, dtype=bool)
    if thresholds is not None:
        q = as_weights(thresholds, m, "threshold table", k=k)
        if q.shape != w.shape:
            raise ValueError(f"The weights have shape {w.shape} but the thresholds {q.shape}: make them the same.")
        skip = w + SKIP_EPS < q
    if bypass is not None:
        w, skip = _with_mask(w, skip, as_mask(bypass, m, "bypass mask", k=k))
    given = with_gradient(weights)
    per: Per = "stage" if w.shape[-1] == m else "transformer"
    control = BlockControl(pipe_or_unet, scheduler=scheduler, guidance_parts=guidance_parts, per=per)
    with _scheduled(control, w, skip, None if given is None else given.expand(w.shape)):
        yield control


@contextmanager
def bypassed(
    pipe_or_unet: Any, mask: Any, *, scheduler: Any = None, guidance_parts: int | None = None
) -> Iterator[BlockControl]:
    """Bypass target blocks where mask is true: nothing is computed, the input is returned (METHOD sec. 1, 6).

    mask: bool, (T, m), (n, T, m), or (m,) for the same blocks at every step. Otherwise as `reweighted`, with which it
    cannot be nested: give the mask to `reweighted` as its `bypass` instead.
    """
    skip = as_mask(mask, len(target_blocks(as_unet(pipe_or_unet))), "mask")
    control = BlockControl(pipe_or_unet, scheduler=scheduler, guidance_parts=guidance_parts)
    with _scheduled(control, np.ones(skip.shape), skip):
        yield control


@contextmanager
def captured(pipe_or_unet: Any, check: Callable[[], object] | None = None) -> Iterator[list[UNetCall]]:
    """Record every U-Net call made inside the context, in order, in the list it yields.

    check: called before every U-Net call; an exception that it raises stops the call.
    """
    unet = as_unet(pipe_or_unet)
    calls: list[UNetCall] = []

    @torch.compiler.disable
    def before(*_: Any) -> None:
        if check is not None:
            check()

    with ExitStack() as undo:
        undo.callback(unet.register_forward_pre_hook(before).remove)
        undo.callback(unet.register_forward_hook(Record(calls), with_kwargs=True).remove)
        yield calls


@contextmanager
def not_finite_blocks(pipe_or_unet: Any) -> Iterator[list[str]]:
    """Record, in the list it yields, the label of every target block whose output has a NaN or an infinity, in order."""
    unet = as_unet(pipe_or_unet)
    noted: list[str] = []
    with ExitStack() as undo:
        for block in target_blocks(unet):
            for path in block.transformers:
                hook = NoteNotFinite(block.label, noted)
                undo.callback(unet.get_submodule(path).register_forward_hook(hook).remove)
        yield noted


@contextmanager
def edited_concatenations(
    pipe_or_unet: Any, places: Sequence[Concatenation], edit: EditConcatenation, *, method: str
) -> Iterator[None]:
    """Edit h and the skip tensor before each of the given concatenations.

    edit(place, h, skip) gets both as (batch, channels, height, width) and returns both; it must not modify them in
    place. method: the method's title; RuntimeError if it edits this U-Net already.
    """
    unet = as_unet(pipe_or_unet)
    hooks = (hook for module in unet.up_blocks.modules() for hook in module._forward_pre_hooks.values())
    if any(isinstance(hook, Edit) and hook.method == method for hook in hooks):
        raise RuntimeError(f"{method} is applied to this U-Net already: leave the other context first.")
    with ExitStack() as undo:
        for place in places:
            resnet = unet.get_submodule(place.path)
            undo.callback(resnet.register_forward_pre_hook(Edit(place, edit, method), with_kwargs=True).remove)
        yield


@contextmanager
def _scheduled(
    control: BlockControl, w: np.ndarray, skip: np.ndarray, differentiable: Tensor | None = None
) -> Iterator[None]:
    """Enter the control, and set it to the call's row of w and skip before each U-Net call."""
    if w.ndim > 1 and w.shape[-2] > 1 and not control.source.knows_steps:
        raise ValueError(f"A bare U-Net does not say which of {w.shape[-2]} steps it is at: give a scheduler too.")
    with control:
        # before the batch check, which needs the row's number of samples
        hook = SetRow(control.rows, w, skip, control.source, differentiable)
        handle = control.unet.register_forward_pre_hook(hook, prepend=True, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()


def _with_mask(w: np.ndarray, skip: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights and skip mask combined with another mask, broadcast to one shape; ValueError if they do not fit."""
    ndim = min(w.ndim, mask.ndim)
    if w.shape[-ndim:] != mask.shape[-ndim:]:
        raise ValueError(f"The weights have shape {w.shape} but the bypass mask {mask.shape}: make them the same.")
    skip = skip | mask
    return np.broadcast_to(w, skip.shape), skip
