"""Hooks that record or edit a module's inputs. patch.py registers and removes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .blocks import Concatenation
from .stand_in import mapped

EditConcatenation = Callable[[Concatenation, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class UNetCall:
    """A recorded U-Net call: its arguments and the predicted sample; tensors are detached copies."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Tensor

    @property
    def sample(self) -> Tensor:
        """The noisy latents, (batch, channels, height, width), both halves under guidance."""
        return self._argument(0, "sample")

    @property
    def timestep(self) -> Any:
        """The U-Net's timestep argument."""
        return self._argument(1, "timestep")

    @property
    def encoder_hidden_states(self) -> Any:
        """The text embeddings, (batch, tokens, width)."""
        return self._argument(2, "encoder_hidden_states")

    def _argument(self, position: int, name: str) -> Any:
        return self.args[position] if len(self.args) > position else self.kwargs[name]


class Record:
    """U-Net forward hook: appends a copy of the call to a list."""

    def __init__(self, calls: list[UNetCall]) -> None:
        self.calls = calls

    @torch.compiler.disable
    def __call__(self, unet: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        self.calls.append(UNetCall(mapped(args, _copy), mapped(kwargs, _copy), _copy(output[0])))


class NoteNotFinite:
    """Forward hook of a Transformer2DModel: records its block if the output has a NaN or an infinity."""

    def __init__(self, label: str, noted: list[str]) -> None:
        self.label, self.noted = label, noted

    @torch.compiler.disable
    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not torch.isfinite(output[0]).all():
            self.noted.append(self.label)


class Edit:
    """Pre-hook of an up-path ResNet: splits its input into h and skip, edits them, and concatenates them again."""

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
    """An argument of a module's call, passed by position or by keyword; position: in the class's `forward`."""
    return args[position] if len(args) > position else kwargs[_name(module, position)]


def _name(module: nn.Module, position: int) -> str:
    return list(inspect.signature(type(module).forward).parameters)[position + 1]  # after self


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()
