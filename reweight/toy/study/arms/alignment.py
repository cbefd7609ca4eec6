"""Alignment of a middle feature (REPA; Yu et al. 2024): the U-Net's 8x8 stage is to see what the scorer sees there."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ..arm import Batch
from ..material import GRID
from .plain import Plain

WEIGHT, WIDTH = 0.5, 256


class Alignment(Plain):
    key, title, paper = "repa", "alignment with the scorer's features", "REPA, Yu et al. 2024"

    def __init__(self, unet, material, device):
        super().__init__(unet, material, device)
        self._seen: list[torch.Tensor] = []
        stage = unet.down_blocks[1]
        stage.attentions[-1].register_forward_hook(self._see)
        self.helpers["projector"] = nn.Sequential(
            nn.Conv2d(unet.config.block_out_channels[1], WIDTH, 1), nn.SiLU(), nn.Conv2d(WIDTH, WIDTH, 1), nn.SiLU(),
            nn.Conv2d(WIDTH, GRID[0], 1),
        ).to(device)  # fmt: skip

    def _see(self, module, inputs, output) -> None:
        self._seen.append(output[0])

    def loss(self, batch: Batch) -> torch.Tensor:
        self._seen.clear()
        plain = super().loss(batch)
        told = self.material.known.grid[batch.rows.cpu()].float().to(self.device)
        return plain - WEIGHT * alignment(self.helpers["projector"](self._seen.pop()).float(), told)


def alignment(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """The mean cosine of features (n, d, h, w) place by place; where the places differ in number, theirs are averaged."""
    if theirs.shape[2:] != ours.shape[2:]:
        theirs = F.adaptive_avg_pool2d(theirs, ours.shape[2:])
    return F.cosine_similarity(ours, theirs, dim=1).mean()
