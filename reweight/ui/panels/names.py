"""Names of blocks for people, and the plain arrays about a model that the drawings and the page's scripts share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...patching.blocks import TargetBlock

STAGES = {"down": "Encoder", "mid": "Middle", "up": "Decoder"}


def block_name(block: TargetBlock, side: int) -> str:
    """A block by stage and side of its feature map, for latents `side` wide: "Encoder 16×16"."""
    size = max(1, side >> block.level)
    return f"{STAGES[block.stage]} {size}×{size}"


def block_facts(blocks: Sequence[TargetBlock], side: int) -> list[dict[str, Any]]:
    """What the page knows of each block, as JSON."""
    return [
        {
            "name": block_name(block, side), "label": block.label, "stage": block.stage, "level": block.level,
            "side": max(1, side >> block.level), "transformers": len(block.transformers), "path": block.name,
        }
        for block in blocks
    ]  # fmt: skip
