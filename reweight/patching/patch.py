"""The only place that hooks a U-Net: re-weighting, bypassing, recording, and editing what the up path joins.

Everything here is undone exactly on leaving its context, also after an exception. Enter a context *before* the first
call of a `torch.compile`d U-Net: hooks added later are ignored by code that is compiled already. Better, compile
`unet.compile_repeated_blocks()`, which lies inside the hooked modules: contexts may then come and go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from torch import nn

from ..schedule import SKIP_EPS
from .blocks import Concatenation, as_unet, target_blocks
from .hooks import (
    Bypass,
    CheckBatch,
    Edit,
    EditConcatenation,
    NoteNotFinite,
    Record,
    Rows,
    Scale,
    SetRow,
    UNetCall,
)
from .rows import as_table, as_weights

__all__ = [
    "BlockControl", "UNetCall", "bypassed", "captured", "edited_concatenations", "not_finite_blocks", "reweighted",
]  # fmt: skip


class BlockControl:
    """Context manager that scales or bypasses the target blocks of one U-Net, per sample.

    `set(weights, skip)` holds for the U-Net calls that follow, until the next `set`; before the first one nothing is
    changed. A weight multiplies the whole output of every Transformer2DModel of its block (METHOD sec. 1); where skip
    is true the Transformer2DModel's input passes on unscaled and nothing is computed for that sample.

    With n rows of weights a U-Net call must have a batch of n * k samples: row i serves sample i of each of the k
    parts, which is how pipelines lay out guidance. RuntimeError on entry if the U-Net is controlled already.
    """

    def __init__(self, pipe_or_unet: Any) -> None:
        self.unet = as_unet(pipe_or_unet)
        self.blocks = target_blocks(self.unet)
        self.rows = Rows(np.ones((1, len(self.blocks))), np.zeros((1, len(self.blocks)), dtype=bool))
        self._undo = ExitStack()

    def set(self, weights: Any = None, skip: Any = None) -> None:
        """Weights (m,) or (n, m), any finite number; skip the same shapes, bool. None: all ones, none skipped.

        ValueError, naming both numbers, when the shapes do not fit the U-Net or each other.
        """
        m = len(self.blocks)
        w = np.ones(m) if weights is None else as_weights(weights, m)
        s = np.zeros(m, dtype=bool) if skip is None else as_table(skip, m, "skip mask").astype(bool)
        if w.ndim > 2 or s.ndim > 2:
            raise ValueError(f"Weights and skip mask for one U-Net call have shape ({m},) or (samples, {m}).")
        w, s = np.atleast_2d(w), np.atleast_2d(s)
        if len({len(w), len(s)} - {1}) > 1:
            raise ValueError(
                f"There are weights for {len(w)} samples but a skip mask for {len(s)}: make them the same."
            )
        self.rows.set(*np.broadcast_arrays(w, s))

    def __enter__(self) -> BlockControl:
        if any(isinstance(hook, CheckBatch) for hook in self.unet._forward_pre_hooks.values()):
            raise RuntimeError(
                "This U-Net is re-weighted already: leave the other context first, "
                "or give weights and thresholds to one `reweighted`."
            )
        with ExitStack() as undo:
            undo.callback(self.unet.register_forward_pre_hook(CheckBatch(self.rows), with_kwargs=True).remove)
            for block in self.blocks:
                for path in block.transformers:
                    module = self.unet.get_submodule(path)
                    undo.enter_context(_standing_in(module, Bypass(self.rows, block.index, module.forward)))
                    undo.callback(module.register_forward_hook(Scale(self.rows, block.index)).remove)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._undo.close()


@contextmanager
def reweighted(
    pipe_or_unet: Any, weights: Any, *, thresholds: Any = None, bypass: Any = None, scheduler: Any = None
) -> Iterator[BlockControl]:
    """Scale every target block by its weight at each step, h <- w * Transformer2DModel(h) (paper Fig. 2, Sec. III-B).

    weights: (T, m); or (n, T, m), a row per sample, where row i serves sample i in both halves of guidance; or (m,)
    for the same weights at every step. T is the pipeline's `num_inference_steps`, m the number of target blocks. Any
    finite weight is allowed.
    thresholds: the same shape; a block is bypassed where w + 1e-6 < q: nothing is computed, h passes on unscaled.
    bypass: the same shape, bool; a block is bypassed where it is true, whatever its weight.
    scheduler: where the steps are read from; by default the pipeline's, at each call, so that it may be changed
    inside. A bare U-Net needs it when T > 1.

    Which row: a U-Net call belongs to row `position in scheduler.timesteps // scheduler.order`, counted in the full
    schedule, so image-to-image starts late; a timestep that PNDM repeats shares its row. The context can be entered
    once and the pipeline called several times. Enter it before the first call of a `torch.compile`d U-Net.

    ValueError for another number of blocks, a weight that is not finite or shapes that do not fit, on entry; for
    another number of steps or samples, at the first U-Net call. RuntimeError when the U-Net is re-weighted already.
    """
    m = len(target_blocks(as_unet(pipe_or_unet)))
    w = as_weights(weights, m)
    skip = np.zeros(w.shape, dtype=bool)
    if thresholds is not None:
        q = as_weights(thresholds, m, "threshold table")
        if q.shape != w.shape:
            raise ValueError(f"The weights have shape {w.shape} but the thresholds {q.shape}: make them the same.")
        skip = w + SKIP_EPS < q
    if bypass is not None:
        off = as_table(bypass, m, "bypass mask").astype(bool)
        if off.shape != w.shape:
            raise ValueError(f"The weights have shape {w.shape} but the bypass mask {off.shape}: make them the same.")
        skip = skip | off
    with _scheduled(pipe_or_unet, w, skip, scheduler) as control:
        yield control


@contextmanager
def bypassed(pipe_or_unet: Any, mask: Any, *, scheduler: Any = None) -> Iterator[BlockControl]:
    """Skip target blocks where mask is true: nothing is computed and the block's input passes on (METHOD sec. 1, 6).

    mask: bool, (T, m), (n, T, m), or (m,) for the same blocks at every step. Otherwise as `reweighted`, with which it
    cannot be nested: give `reweighted` thresholds instead.
    """
    skip = as_table(mask, len(target_blocks(as_unet(pipe_or_unet))), "mask")
    if skip.dtype != bool:
        raise ValueError("The mask holds something other than True and False: give booleans.")
    with _scheduled(pipe_or_unet, np.ones(skip.shape), skip, scheduler) as control:
        yield control


@contextmanager
def captured(pipe_or_unet: Any, check: Callable[[], object] | None = None) -> Iterator[list[UNetCall]]:
    """Record every U-Net call of the context, in order, in the list it yields.

    check: called before every U-Net call; what it raises stops the call.
    """
    unet = as_unet(pipe_or_unet)
    calls: list[UNetCall] = []

    def before(*_: Any) -> None:
        if check is not None:
            check()

    with ExitStack() as undo:
        undo.callback(unet.register_forward_pre_hook(before).remove)
        undo.callback(unet.register_forward_hook(Record(calls), with_kwargs=True).remove)
        yield calls


@contextmanager
def not_finite_blocks(pipe_or_unet: Any) -> Iterator[list[str]]:
    """Note, in the list it yields, the label of every target block whose output holds a NaN or an infinity, in order."""
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
    """Change h and the skip tensor just before each of the given places joins them.

    edit(place, h, skip) gets both as (batch, channels, height, width) and returns both; it must not write into them.
    method names who edits: RuntimeError when the same method edits this U-Net already.
    """
    unet = as_unet(pipe_or_unet)
    hooks = (hook for module in unet.up_blocks.modules() for hook in module._forward_pre_hooks.values())
    if any(isinstance(hook, Edit) and hook.method == method for hook in hooks):
        raise RuntimeError(f"{method} is applied to this U-Net already: leave the other context first.")
    with ExitStack() as undo:
        for place in places:
            resnet = unet.get_submodule(place.path)
            undo.callback(resnet.register_forward_pre_hook(Edit(place, edit, method)).remove)
        yield


@contextmanager
def _scheduled(pipe_or_unet: Any, w: np.ndarray, skip: np.ndarray, scheduler: Any) -> Iterator[BlockControl]:
    """A BlockControl that is set to the right row of w and skip before each U-Net call."""
    has_scheduler = scheduler is not None or hasattr(pipe_or_unet, "scheduler")
    if w.ndim > 1 and w.shape[-2] > 1 and not has_scheduler:
        raise ValueError(f"A U-Net alone does not say which of {w.shape[-2]} steps it is at: give a scheduler too.")

    def current() -> Any:
        return scheduler if scheduler is not None else getattr(pipe_or_unet, "scheduler", None)

    with BlockControl(pipe_or_unet) as control:
        # ahead of the batch check, which must see the row's number of samples
        hook = SetRow(control.rows, w, skip, current)
        handle = control.unet.register_forward_pre_hook(hook, prepend=True, with_kwargs=True)
        try:
            yield control
        finally:
            handle.remove()


@contextmanager
def _standing_in(module: nn.Module, bypass: Bypass) -> Iterator[None]:
    """Put bypass in the place of the instance's forward; put back exactly what was there, an offload hook included."""
    before = module.__dict__.get("forward")
    module.forward = bypass
    try:
        yield
    finally:
        bypass.active = False
        if module.__dict__.get("_old_forward") is bypass:  # an offload hook was put around ours in the meantime
            module._old_forward = bypass.forward
        elif module.__dict__.get("forward") is bypass:
            if before is None:
                del module.forward
            else:
                module.forward = before
