"""The contents of a target block: its ResNets and Transformers in execution order, with their widths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from .blocks import TargetBlock, UNet, concatenations

Kind = Literal["resnet", "transformer", "smaller", "larger"]


@dataclass(frozen=True)
class Attention:
    """One attention of a Transformer: the number of heads, their width, and the width of the keys' input."""

    heads: int
    head_width: int
    looks_at_width: int


@dataclass(frozen=True)
class Part:
    """A part of a block.

    path: module path. channels: in and out; skip: how many of a ResNet's input channels are the skip tensor's.
    layers, attention, text, hidden: of a Transformer, its number of layers, the self-attention and cross-attention of
    each, and the inner width of its feed-forward network; None or 0 if there is none.
    parameters: the number of learned parameters.
    """

    kind: Kind
    path: str
    channels: tuple[int, int]
    parameters: int
    skip: int = 0
    layers: int = 0
    attention: Attention | None = None
    text: Attention | None = None
    hidden: int = 0


def inside(unet: UNet, block: TargetBlock) -> tuple[Part, ...]:
    """The parts of a target block in execution order.

    Each Transformer follows a ResNet, and in the mid block another ResNet follows each; then come the down- or
    upsamplers. If the stage's modules have other names, only its Transformers are listed.
    """
    stage = unet.get_submodule(block.name)
    resnets, transformers = [list(getattr(stage, name, None) or ()) for name in ("resnets", "attentions")]
    if len(resnets) < len(transformers) or len(transformers) != len(block.transformers):
        return tuple(_transformer(unet.get_submodule(path), path) for path in block.transformers)
    skips = {place.path: place.h_channels for place in concatenations(unet)} if block.stage == "up" else {}
    parts: list[Part] = []
    first = len(resnets) - len(transformers)  # the mid block starts with an extra ResNet
    for i, resnet in enumerate(resnets):
        path = f"{block.name}.resnets.{i}"
        if i >= first and first:
            parts.append(_transformer(transformers[i - first], block.transformers[i - first]))
        parts.append(_resnet(resnet, path, skips.get(path)))
        if not first:
            parts.append(_transformer(transformers[i], block.transformers[i]))
    for name, kind in (("downsamplers", "smaller"), ("upsamplers", "larger")):
        for i, module in enumerate(getattr(stage, name, None) or ()):
            width = getattr(module, "channels", parts[-1].channels[1])
            parts.append(Part(kind, f"{block.name}.{name}.{i}", (width, width), _learnt(module)))  # type: ignore[arg-type]
    return tuple(parts)


def _resnet(module: Any, path: str, h_channels: int | None) -> Part:
    skip = module.in_channels - h_channels if h_channels is not None else 0
    return Part("resnet", path, (module.in_channels, module.out_channels), _learnt(module), skip=skip)


def _transformer(module: Any, path: str) -> Part:
    layers = list(module.transformer_blocks)
    first = layers[0]
    width = module.proj_out.out_features if isinstance(module.proj_out, nn.Linear) else module.proj_out.out_channels
    return Part(
        "transformer", path, (width, width), _learnt(module), layers=len(layers), attention=_attention(first.attn1),
        text=_attention(getattr(first, "attn2", None)), hidden=_hidden(getattr(first, "ff", None)),
    )  # fmt: skip


def _attention(module: Any) -> Attention | None:
    if module is None:
        return None
    return Attention(module.heads, module.to_q.out_features // module.heads, module.to_k.in_features)


def _hidden(feed_forward: Any) -> int:
    """The input width of the last linear layer of a feed-forward network."""
    linear = [] if feed_forward is None else [one for one in feed_forward.modules() if isinstance(one, nn.Linear)]
    return linear[-1].in_features if linear else 0


def _learnt(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
