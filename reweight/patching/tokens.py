"""Finds the Transformer layers of a U-Net; hooks that change a module's input or output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

from .blocks import TargetBlock, as_unet, target_blocks


@dataclass(frozen=True)
class Place:
    """A Transformer2DModel: its target block, its number among the `of` ones of the stage, and its layers in order."""

    block: TargetBlock
    number: int
    of: int
    module: nn.Module
    layers: tuple[Any, ...]  # BasicTransformerBlocks


def places(pipe_or_unet: Any) -> tuple[Place, ...]:
    """Every Transformer2DModel of a U-Net, in execution order. ValueError for layers that the hooks do not support."""
    unet = as_unet(pipe_or_unet)
    found = []
    for block in target_blocks(unet):
        for number, path in enumerate(block.transformers):
            module = unet.get_submodule(path)
            layers = tuple(module.transformer_blocks)
            for layer in layers:
                attention = layer.attn1
                if not isinstance(layer, BasicTransformerBlock) or layer.only_cross_attention:
                    raise ValueError("This U-Net has Transformer layers without self-attention: choose another model.")
                if getattr(attention, "fused_projections", False):
                    raise ValueError("This U-Net's projections are fused: call its unfuse_qkv_projections() first.")
            found.append(Place(block, number, len(block.transformers), module, layers))
    return tuple(found)


def check_blocks(blocks: Iterable[int], found: Sequence[Place]) -> None:
    """ValueError if one of the block indices is none of the U-Net's."""
    last = found[-1].block.index
    if wrong := [block for block in blocks if block > last]:
        raise ValueError(f"There is no block {max(wrong)}: this model has 0 to {last}.")


class Hooks:
    """Registers hooks, which are removed together. modules: the hooked modules."""

    def __init__(self, undo: ExitStack) -> None:
        self.undo = undo
        self.modules: set[nn.Module] = set()

    def before(self, module: nn.Module, change: Callable[[Tensor], Tensor | None]) -> None:
        """Change a module's first argument; change returns None to keep it."""
        self._add(module, module.register_forward_pre_hook(_Before(change)))

    def after(self, module: nn.Module, change: Callable[[Tensor], Tensor | None]) -> None:
        """Change a module's output; change returns None to keep it."""
        self._add(module, module.register_forward_hook(_After(change)))

    def _add(self, module: nn.Module, handle: Any) -> None:
        self.undo.callback(handle.remove)
        self.modules.add(module)


class _Before:
    def __init__(self, change: Callable[[Tensor], Tensor | None]) -> None:
        self.change = change

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        changed = self.change(args[0])
        return None if changed is None else (changed, *args[1:])


class _After:
    def __init__(self, change: Callable[[Tensor], Tensor | None]) -> None:
        self.change = change

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        return self.change(output)


@contextmanager
def hooking() -> Iterator[Hooks]:
    """`Hooks` that are removed on exit."""
    with ExitStack() as undo:
        yield Hooks(undo)
