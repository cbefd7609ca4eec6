"""The rows of a weight table: validated, selected for each U-Net call, and applied. patch.py registers the hooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from torch import Tensor, nn

from .clock import RowFinder
from .hooks import argument
from .source import Source
from .stand_in import StandIn, mapped

RETURN_DICT = 8  # position of `return_dict` among the arguments of Transformer2DModel.forward


def as_weights(values: Any, m: int, what: str = "weight table", *, k: int = 0) -> np.ndarray:
    """Values as a float64 table, see `as_table`; ValueError for values that are not finite."""
    array = as_table(values, m, what, k=k).astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"The {what} has a value that is not a finite number.")
    return array


def as_mask(values: Any, m: int, what: str, *, k: int = 0) -> np.ndarray:
    """Values as a bool table, see `as_table`; ValueError for anything but True and False."""
    array = as_table(values, m, what, k=k)
    if array.dtype != bool:
        raise ValueError(f"The {what} has values other than True and False: give booleans.")
    return array


def with_gradient(weights: Any) -> Tensor | None:
    """The weights if they are a tensor that requires a gradient, else None."""
    return weights if isinstance(weights, Tensor) and weights.requires_grad else None


def as_table(values: Any, m: int, what: str, *, k: int = 0) -> np.ndarray:
    """A copy of values as an array of shape (m,), (T, m) or (n, T, m); ValueError otherwise.

    k: another accepted number of columns, that of the Transformer2DModels.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.double() if values.is_floating_point() else values).numpy()
    try:
        array = np.array(values)
        numeric = array.dtype.kind in "biuf"
    except ValueError:
        numeric = False
    if not numeric:
        raise ValueError(f"The {what} is not an array of numbers with rows of one length.")
    if array.ndim not in (1, 2, 3) or array.size == 0:
        raise ValueError(f"The {what} has shape {array.shape}: give (steps, blocks) or (samples, steps, blocks).")
    if array.shape[-1] not in (m, k):
        finer = f", with {k} Transformers" if k > m else ""
        raise ValueError(f"The {what} has {array.shape[-1]} blocks but this U-Net has {m}{finer}.")
    return array


class Rows:
    """Weights and skip mask of the next U-Net call, (n, m), shared by the hooks of one context.

    uniform: for each block, the weight common to all samples (1 if it is skipped), None if they differ. skipping: for
    each block, whether any sample skips it. factors: the weights as a float tensor (n, m), the caller's own if it
    requires a gradient. batch: the call's batch size, n times the guidance parts; a video U-Net calls its blocks with a
    multiple of it, with a sample's frames in sequence.
    """

    weights: np.ndarray
    skip: np.ndarray
    uniform: list[float | None]
    skipping: list[bool]
    factors: Tensor
    batch: int

    def __init__(self, weights: np.ndarray, skip: np.ndarray) -> None:
        self.set(weights, skip)

    def set(self, weights: np.ndarray, skip: np.ndarray, differentiable: Tensor | None = None) -> None:
        """Set the weights and skip mask of the following calls. differentiable: the weights as a tensor (n, m) that
        requires a gradient, if there is one."""
        self.weights, self.skip, self.batch = weights, skip, len(weights)
        w = np.where(skip, 1.0, weights)
        same = (w == w[0]).all(0).tolist()
        self.uniform = [value if alike else None for value, alike in zip(w[0].tolist(), same, strict=True)]
        self.skipping = np.logical_or.reduce(skip, axis=0).tolist()
        if differentiable is not None:
            mask = torch.as_tensor(skip, device=differentiable.device)
            self.factors = differentiable.masked_fill(mask, 1.0)
        else:
            with torch.inference_mode(False):
                self.factors = torch.from_numpy(w)

    def effective(self, index: int, batch: int) -> np.ndarray:
        """A block's weight for each sample of the batch; 1 where it is skipped."""
        return self._spread(np.where(self.skip[:, index], 1.0, self.weights[:, index]), batch)

    def skipped(self, index: int, batch: int) -> np.ndarray:
        """Which samples of the batch skip a block, bool."""
        return self._spread(self.skip[:, index], batch)

    def factor(self, index: int, h: Tensor) -> Tensor:
        """A block's `effective` weights as a tensor that broadcasts with its output h, in at least float32."""
        wide = torch.promote_types(h.dtype, torch.float32)
        w = self.factors[:, index].to(wide).to(h.device)
        if len(w) > 1:
            w = w.repeat(self.batch // len(w)).repeat_interleave(h.shape[0] // self.batch)
        return w.view(-1, *[1] * (h.ndim - 1))

    def _spread(self, values: np.ndarray, batch: int) -> np.ndarray:
        """(n,) -> (batch,): repeated for each guidance part, and for each frame of a sample."""
        return np.repeat(np.tile(values, self.batch // len(values)), batch // self.batch)


class CheckBatch:
    """U-Net pre-hook: the batch size must be the number of rows times the guidance parts; a single row fits any batch.

    It also marks a re-weighted U-Net. by_step: its weights depend on the step, see `others_go_by_step`.
    """

    by_step = True

    def __init__(self, rows: Rows, source: Source) -> None:
        self.rows, self.source = rows, source

    @torch.compiler.disable
    def __call__(self, unet: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        batch, n = argument(unet, args, kwargs, 0).shape[0], len(self.rows.weights)
        parts = self.source.guidance_parts
        if n > 1 and batch != n * parts:
            given = "" if batch % parts else f", which is {batch // parts} in {parts} parts of guidance"
            raise ValueError(
                f"There are weights for {n} samples but the U-Net was called with a batch of {batch}"
                f"{given if parts > 1 else ''}: give each sample its weights, and guidance_parts= where the pipeline "
                "does not say how often it repeats them."
            )
        self.rows.batch = batch


class SetRow:
    """U-Net pre-hook: selects a call's row of w and skip, (m,), (T, m) or (n, T, m).

    differentiable: w as the caller's tensor, if it requires a gradient.
    """

    def __init__(
        self, rows: Rows, w: np.ndarray, skip: np.ndarray, source: Source, differentiable: Tensor | None = None
    ) -> None:
        self.rows, self.source = rows, source
        self.w, self.skip = (a.reshape(-1, *a.shape[-2:]) if a.ndim > 1 else a[None] for a in (w, skip))
        self.differentiable = differentiable
        self.finder = RowFinder(self.w.shape[1]) if self.w.ndim == 3 else None

    @torch.compiler.disable
    def __call__(self, unet: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        row: int | None = None
        if self.finder is not None:
            scheduler = self.source.scheduler
            row = 0 if scheduler is None else self.finder.row(argument(unet, args, kwargs, 1), scheduler)
        given = self.differentiable
        if given is not None:
            given = given.reshape(-1, *given.shape[-2:])[:, row] if row is not None else given[None]
        if row is None:
            self.rows.set(self.w, self.skip, given)
        else:
            self.rows.set(self.w[:, row], self.skip[:, row], given)


class Scale:
    """Forward hook of a Transformer2DModel: multiplies its output, keeping dtype and device.

    It multiplies by a tensor if the weights require a gradient, and in compiled code, which a Python number would
    specialise.
    """

    def __init__(self, rows: Rows, index: int) -> None:
        self.rows, self.index = rows, index

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        h = output[0]
        if self.rows.factors.requires_grad or torch.compiler.is_compiling():
            return replaced(output, (h * self.rows.factor(self.index, h)).to(h.dtype))
        w = self.rows.uniform[self.index]
        if w == 1:
            return None
        return replaced(output, h * w if w is not None else (h * self.rows.factor(self.index, h)).to(h.dtype))


class Bypass(StandIn):
    """Stands in for a Transformer2DModel's `forward`: computes only the samples that do not skip it."""

    def __init__(self, rows: Rows, index: int, forward: Callable[..., Any]) -> None:
        super().__init__(forward)
        self.rows, self.index = rows, index

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.active or not self.rows.skipping[self.index]:
            return self.forward(*args, **kwargs)
        return self._without_skipped(args, kwargs)

    @torch.compiler.disable
    def _without_skipped(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        h = args[0] if args else kwargs["hidden_states"]
        skipped = self.rows.skipped(self.index, h.shape[0])
        if skipped.all():
            as_dict = args[RETURN_DICT] if len(args) > RETURN_DICT else kwargs.get("return_dict", True)
            return Transformer2DModelOutput(sample=h) if as_dict else (h,)
        kept = torch.as_tensor(np.flatnonzero(~skipped), device=h.device)
        output = self.forward(*_taken(args, kept, h.shape[0]), **_taken(kwargs, kept, h.shape[0]))
        return replaced(output, h.index_copy(0, kept, output[0].to(h.dtype)))


def replaced(output: Any, first: Tensor) -> Any:
    """A Transformer2DModel's output, a tuple or a Transformer2DModelOutput, with its tensor replaced."""
    if isinstance(output, Transformer2DModelOutput):
        return Transformer2DModelOutput(sample=first)
    return (first, *output[1:])


def _taken(value: Any, kept: Tensor, batch: int) -> Any:
    """Rows `kept` of every tensor whose first dimension is the batch."""

    def take(tensor: Tensor) -> Tensor:
        return tensor[kept.to(tensor.device)] if tensor.ndim and tensor.shape[0] == batch else tensor

    return mapped(value, take)
