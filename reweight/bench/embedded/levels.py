"""Whether a U-Net uses its lower resolutions: how much its output changes without them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ...models.loading import LoadedModel
from ...patching.blocks import target_blocks
from ...probing.probe_request import Trajectory
from ...probing.teacher import Teacher, record_teacher
from ..stats.figure import Figure
from ..stats.intervals import bootstrap

GOAL = 0.01  # share of the output's power; a level that changes it less has learned almost nothing
STEPS = 4


def levels_in_use(loaded: LoadedModel, prompts: Sequence[str]) -> list[Figure]:
    """For each resolution but the first: the mean squared change of the output without it, as a share of its power.

    "Without it" means that the up block at that resolution outputs zeros. Means over the steps of each prompt's
    deterministic trajectory; intervals over the prompts.
    """
    unet = loaded.pipe.unet
    lower = list(unet.up_blocks)[:-1]
    shares = []  # (prompts, levels)
    for prompt in prompts:
        teacher = record_teacher(
            loaded.pipe, Trajectory(prompt=prompt, steps=STEPS, seed=42, guidance_scale=loaded.card.guidance)
        )
        shares.append([_without(block, teacher) for block in lower])
    figures = []
    for i, column in enumerate(np.array(shares).T):
        side = unet.config.sample_size >> len(lower) - i
        found = float(column.mean()), *bootstrap(np.mean, column)
        figures.append(Figure(f"change without the {side}x{side} level", *found, goal=GOAL))
    return figures


def _without(block: torch.nn.Module, teacher: Teacher) -> float:
    silenced = block.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    try:
        w = np.ones((teacher.steps, len(target_blocks(teacher.unet))))
        return float((teacher.losses(np.arange(teacher.steps), w) / teacher.power).mean())
    finally:
        silenced.remove()
