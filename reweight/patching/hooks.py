"""What our hooks do when a module is called. patch.py puts them in place and takes them away."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from torch import Tensor, nn

from .blocks import Concatenation
from .rows import RowFinder
from .source import Source

RETURN_DICT = 8  # position of `return_dict` among the arguments of Transformer2DModel.forward
EditConcatenation = Callable[[Concatenation, Tensor, Tensor], tuple[Tensor, Tensor]]


class Rows:
    """Weights and skip mask of the next U-Net call, (n, m): what the hooks of one context share.

    uniform: of each block the weight that all samples share, None where they differ; 1 where it is skipped. skipping: of
    each block, whether any sample skips it. factors: the weights as a float tensor (n, m); those that were given, where
    they require a gradient. batch: the samples of the U-Net call, n times the parts of guidance; a U-Net for videos
    calls its blocks with a multiple of it, the frames of a sample one after the other.
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
        """What holds from the next call on. differentiable: the weights again, (n, m), with their gradient."""
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
        """Weights of a block, one per sample of the batch: 1 where it is skipped."""
        return self._spread(np.where(self.skip[:, index], 1.0, self.weights[:, index]), batch)

    def skipped(self, index: int, batch: int) -> np.ndarray:
        """Which samples of the batch skip a block, bool."""
        return self._spread(self.skip[:, index], batch)

    def factor(self, index: int, h: Tensor) -> Tensor:
        """`effective` of a block as a tensor that broadcasts with its output h, in at least float32."""
        wide = torch.promote_types(h.dtype, torch.float32)
        w = self.factors[:, index].to(wide).to(h.device)
        if len(w) > 1:
            w = w.repeat(self.batch // len(w)).repeat_interleave(h.shape[0] // self.batch)
        return w.view(-1, *[1] * (h.ndim - 1))

    def _spread(self, values: np.ndarray, batch: int) -> np.ndarray:
        """(n,) -> (batch,): the rows in order, for each part of guidance; frames share their sample's."""
        return np.repeat(np.tile(values, self.batch // len(values)), batch // self.batch)


class CheckBatch:
    """U-Net pre-hook: the batch must be the rows' samples, in as many parts as guidance has; a single row serves any.

    Also the mark of a controlled U-Net.
    """

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
    """U-Net pre-hook: chooses the row of a call from w and skip, (m,), (T, m) or (n, T, m).

    differentiable: w as the tensor that was given, where it requires a gradient.
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
    """Forward hook of a Transformer2DModel: multiplies its output, in its own dtype and on its own device.

    By a tensor where the weights require a gradient, and in compiled code, which a Python number would specialise.
    """

    def __init__(self, rows: Rows, index: int) -> None:
        self.rows, self.index = rows, index

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        h = output[0]
        if self.rows.factors.requires_grad or torch.compiler.is_compiling():
            return _replaced(output, (h * self.rows.factor(self.index, h)).to(h.dtype))
        w = self.rows.uniform[self.index]
        if w == 1:
            return None
        return _replaced(output, h * w if w is not None else (h * self.rows.factor(self.index, h)).to(h.dtype))


class Bypass:
    """Stands in for a Transformer2DModel's `forward`, and computes only the samples that do not skip it.

    An object rather than a closure, so that a deep copy of the U-Net calls the copy's own forward.
    """

    def __init__(self, rows: Rows, index: int, forward: Callable[..., Any]) -> None:
        self.rows, self.index, self.forward = rows, index, forward
        self.active = True

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
        return _replaced(output, h.index_copy(0, kept, output[0].to(h.dtype)))


@dataclass(frozen=True)
class UNetCall:
    """One recorded U-Net call: its arguments as given, and the predicted sample; tensors are detached copies."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Tensor

    @property
    def sample(self) -> Tensor:
        """The noisy latents, (batch, channels, height, width), both halves under guidance."""
        return self._argument(0, "sample")

    @property
    def timestep(self) -> Any:
        """The timestep, as the U-Net received it."""
        return self._argument(1, "timestep")

    @property
    def encoder_hidden_states(self) -> Any:
        """The text embeddings, (batch, tokens, width)."""
        return self._argument(2, "encoder_hidden_states")

    def _argument(self, position: int, name: str) -> Any:
        return self.args[position] if len(self.args) > position else self.kwargs[name]


class Record:
    """U-Net forward hook: copies a call into a list."""

    def __init__(self, calls: list[UNetCall]) -> None:
        self.calls = calls

    @torch.compiler.disable
    def __call__(self, unet: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        self.calls.append(UNetCall(_mapped(args, _copy), _mapped(kwargs, _copy), _copy(output[0])))


class NoteNotFinite:
    """Forward hook of a Transformer2DModel: notes its block if the output holds a NaN or an infinity."""

    def __init__(self, label: str, noted: list[str]) -> None:
        self.label, self.noted = label, noted

    @torch.compiler.disable
    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not torch.isfinite(output[0]).all():
            self.noted.append(self.label)


class Edit:
    """Pre-hook of an up-path resnet: splits its input into h and skip, and joins them again when they are changed."""

    def __init__(self, place: Concatenation, edit: EditConcatenation, method: str) -> None:
        self.place, self.edit, self.method = place, edit, method

    def __call__(
        self, resnet: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        joined = argument(resnet, args, kwargs, 0)
        h, skip = joined.split([self.place.h_channels, joined.shape[1] - self.place.h_channels], dim=1)
        new_h, new_skip = self.edit(self.place, h, skip)
        if new_h is h and new_skip is skip:
            return None
        joined = torch.cat([new_h, new_skip], dim=1)
        return ((joined, *args[1:]), kwargs) if args else (args, kwargs | {_name(resnet, 0): joined})


def argument(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], position: int) -> Any:
    """An argument of a module's call by its position in the class's `forward`, whether it came by position or name."""
    return args[position] if len(args) > position else kwargs[_name(module, position)]


def _name(module: nn.Module, position: int) -> str:
    return list(inspect.signature(type(module).forward).parameters)[position + 1]  # after self


def _replaced(output: Any, first: Tensor) -> Any:
    """The output of a Transformer2DModel, a tuple or a Transformer2DModelOutput, with another tensor in it."""
    if isinstance(output, Transformer2DModelOutput):
        return Transformer2DModelOutput(sample=first)
    return (first, *output[1:])


def _taken(value: Any, kept: Tensor, batch: int) -> Any:
    """Rows `kept` of every tensor whose first dimension is the batch."""

    def take(tensor: Tensor) -> Tensor:
        return tensor[kept.to(tensor.device)] if tensor.ndim and tensor.shape[0] == batch else tensor

    return _mapped(value, take)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Value with every tensor changed, however deep in tuples, lists and dicts."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_mapped(item, change) for item in value)
    return value
