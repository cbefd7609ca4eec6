"""Finds the target blocks and the skip concatenations of a U-Net. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import nn

Stage = Literal["down", "mid", "up"]
Per = Literal["stage", "transformer"]
UNet = Any  # a UNet2DConditionModel or similar; torch's type stubs do not know a module's attributes


@dataclass(frozen=True)
class TargetBlock:
    """A U-Net stage that contains Transformer2DModels: the paper's *block* (Sec. III-B).

    index: 0..m-1 in execution order. label: the paper's number. name: module path of the stage.
    level: 0 is the latent's resolution, and each further level halves it.
    transformers: module paths of the stage's Transformer2DModels.
    """

    index: int
    label: str
    name: str
    stage: Stage
    level: int
    transformers: tuple[str, ...]


@dataclass(frozen=True)
class Concatenation:
    """A ResNet of the up path, whose input is [h, skip] concatenated along the channels.

    path: module path of the ResNet, `up_blocks[stage].resnets[resnet]`. level: the level that h comes from; for a
    stage's first ResNet, one deeper than the stage's own. h_channels: the channels of h; the rest are the skip tensor's.
    """

    path: str
    stage: int
    resnet: int
    level: int
    h_channels: int


def as_unet(pipe_or_unet: Any) -> UNet:
    """The U-Net of a pipeline, or the U-Net itself; a compiled U-Net is unwrapped. ValueError if there is none."""
    unet = getattr(pipe_or_unet, "unet", pipe_or_unet)
    unet = getattr(unet, "_orig_mod", unet)
    if not (isinstance(unet, nn.Module) and hasattr(unet, "down_blocks") and hasattr(unet, "up_blocks")):
        raise ValueError(
            f"{type(pipe_or_unet).__name__} has no U-Net to work on: give a pipeline with a `unet`, or a U-Net itself."
        )
    return unet


def target_blocks(unet: UNet) -> tuple[TargetBlock, ...]:
    """Target blocks of a U-Net in execution order: down, mid, up (METHOD: m = 7 for Stable Diffusion, 5 for SDXL).

    Labels start at 1 if the first down stage has no attention, as in SDXL, so that the mid block is 3 in both
    families. ValueError for a U-Net without a Transformer2DModel.
    """
    found = [(name, stage, level, paths) for name, stage, level, paths in _stages(unet) if paths]
    if not found:
        raise ValueError("This U-Net has no Transformer blocks to re-weight: choose a text-conditioned U-Net.")
    first = 0 if any(name == "down_blocks.0" for name, *_ in found) else 1
    return tuple(TargetBlock(i, str(first + i), *place) for i, place in enumerate(found))


def places_of(blocks: Sequence[TargetBlock]) -> list[tuple[str, int]]:
    """The (stage, level) of each block."""
    return [(block.stage, block.level) for block in blocks]


def stage_of(blocks: Sequence[TargetBlock]) -> list[int]:
    """The block index of each Transformer2DModel, in execution order."""
    return [block.index for block in blocks for _ in block.transformers]


def columns(blocks: Sequence[TargetBlock], per: Per = "stage") -> tuple[tuple[str, ...], tuple[tuple[str, int], ...]]:
    """Labels of a weight table's columns, and (module path, column) of every Transformer2DModel, in execution order.

    per: "stage" for a column per target block, as in the paper; "transformer" for one per Transformer2DModel, labelled
    by its block and its position in it: "5.1".
    """
    if per == "stage":
        return tuple(b.label for b in blocks), tuple((path, b.index) for b in blocks for path in b.transformers)
    named = [(f"{b.label}.{i}", path) for b in blocks for i, path in enumerate(b.transformers)]
    return tuple(label for label, _ in named), tuple((path, column) for column, (_, path) in enumerate(named))


def concatenations(unet: UNet) -> tuple[Concatenation, ...]:
    """Every concatenation of h and a skip tensor in the up path, in execution order."""
    if getattr(unet, "mid_block", None) is None:
        raise ValueError("This U-Net has no mid block, so the width of what reaches its up path is unknown.")
    level = len(unet.down_blocks) - 1
    h_channels = unet.mid_block.resnets[-1].out_channels
    places = []
    for j, stage in enumerate(unet.up_blocks):
        for i, resnet in enumerate(stage.resnets):
            places.append(Concatenation(f"up_blocks.{j}.resnets.{i}", j, i, level, h_channels))
            level, h_channels = len(unet.up_blocks) - 1 - j, resnet.out_channels
    return tuple(places)


def _stages(unet: UNet) -> Iterator[tuple[str, Stage, int, tuple[str, ...]]]:
    deepest = len(unet.down_blocks) - 1
    for i, stage in enumerate(unet.down_blocks):
        yield f"down_blocks.{i}", "down", i, _transformers(stage, f"down_blocks.{i}")
    if getattr(unet, "mid_block", None) is not None:
        yield "mid_block", "mid", deepest, _transformers(unet.mid_block, "mid_block")
    for j, stage in enumerate(unet.up_blocks):
        yield f"up_blocks.{j}", "up", deepest - j, _transformers(stage, f"up_blocks.{j}")


def _transformers(module: nn.Module, path: str) -> tuple[str, ...]:
    """Paths of the outermost Transformer2DModels inside a module."""
    if isinstance(module, Transformer2DModel):
        return (path,)
    return tuple(found for name, child in module.named_children() for found in _transformers(child, f"{path}.{name}"))
