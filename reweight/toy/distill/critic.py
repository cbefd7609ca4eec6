"""The critic of distribution matching: a U-Net trained on the student's latents, with heads that classify real ones."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from torch import nn

WIDTH = 96


class Critic(nn.Module):
    """A U-Net with a classification head on the features of every down stage and the mid block."""

    def __init__(self, unet: UNet2DConditionModel):
        super().__init__()
        self.unet = unet.requires_grad_(True)
        groups = unet.config.norm_num_groups
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(groups, width), nn.Conv2d(width, WIDTH, 3, padding=1), nn.SiLU(),
                nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.SiLU(), nn.Conv2d(WIDTH, 1, 1),
            )
            for width in unet.config.block_out_channels
        )  # fmt: skip
        self.register_buffer("steps", torch.zeros(()))
        self.to(unet.device)

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The velocity, of x_t's shape (n, c, h, w), and the logits (n,) of being real."""
        seen: list[torch.Tensor] = []

        def keep(block, given, made) -> None:
            seen.append(made if isinstance(made, torch.Tensor) else made[0])

        looked_at = (*self.unet.down_blocks[:-1], self.unet.mid_block)
        hooks = [block.register_forward_hook(keep) for block in looked_at]
        try:
            v = self.unet(x_t, t, states, return_dict=False)[0].float()
        finally:
            for hook in hooks:
                hook.remove()
        logits = [head(made).float().mean((1, 2, 3)) for head, made in zip(self.heads, seen, strict=True)]
        return v, torch.stack(logits).mean(0)
