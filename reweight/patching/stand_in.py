"""Objects that replace a method of another object, such as a module's `forward`, within a context."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor


class StandIn:
    """Replacement of a method; forward: the original method. A subclass implements `__call__`.

    It is an object rather than a closure, so that a deep copy of a U-Net calls the copy's own forward.
    """

    def __init__(self, forward: Callable[..., Any]) -> None:
        self.forward = forward
        self.active = True


S = TypeVar("S", bound=StandIn)


@contextmanager
def standing_in(owner: Any, stand_in: S, name: str = "forward") -> Iterator[S]:
    """Replace the instance's method; on exit exactly what was there is restored, including an offload hook."""
    before = vars(owner).get(name)
    setattr(owner, name, stand_in)
    try:
        yield stand_in
    finally:
        stand_in.active = False
        if vars(owner).get("_old_forward") is stand_in:  # an offload hook was wrapped around ours in the meantime
            owner._old_forward = stand_in.forward
        elif vars(owner).get(name) is stand_in:
            if before is None:
                delattr(owner, name)
            else:
                setattr(owner, name, before)


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Value with every tensor changed, at any depth of tuples, lists, dicts and diffusers' outputs."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict) and type(value) is not dict:
        return type(value)(**{key: mapped(item, change) for key, item in value.items()})
    if isinstance(value, dict):
        return {key: mapped(item, change) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(mapped(item, change) for item in value)
    return value


def rows_taken(value: Any, rows: slice, batch: int) -> Any:
    """Some rows of every tensor whose first dimension is the batch; other tensors unchanged."""
    return mapped(value, lambda tensor: tensor[rows] if tensor.ndim and tensor.shape[0] == batch else tensor)


def rows_repeated(value: Any, copies: int, batch: int) -> Any:
    """Every tensor whose first dimension is the batch, concatenated `copies` times; other tensors unchanged."""

    def repeat(tensor: Tensor) -> Tensor:
        return torch.cat([tensor] * copies) if tensor.ndim and tensor.shape[0] == batch else tensor

    return value if copies == 1 else mapped(value, repeat)
