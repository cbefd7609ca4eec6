"""Explicit memory (GMem; Tang et al. 2024): the scorer's embedding of a picture as one more token beside the caption.

In training it is the picture's own; in sampling and validation it is that of the known picture nearest to the caption.
"""

from __future__ import annotations

import torch
from torch import nn

from ..arm import Batch, Net
from .plain import Plain


class Memory(Plain):
    key, title, paper = "memory", "memory of the scorer's embeddings", "GMem, Tang et al. 2024"

    def network(self, unet) -> nn.Module:
        return Remembering(unet)

    def loss(self, batch: Batch) -> torch.Tensor:
        return super().loss(_forgetful(batch))


class Remembering(Net):
    """A U-Net told the memory as a 25th token. All zeros stand for no memory."""

    def __init__(self, unet):
        super().__init__(unet)
        self.token = nn.Linear(96, unet.config.cross_attention_dim)

    def forward(self, x_t, t, states, memory):
        token = self.token(memory * memory.shape[1] ** 0.5)[:, None]
        return super().forward(x_t, t, torch.cat([states, token.to(states.dtype)], 1), memory)


def _forgetful(batch: Batch) -> Batch:
    """The batch without memories where the caption is blank, so that guidance has something to lead away from."""
    return Batch(**{**vars(batch), "memory": batch.memory * batch.told[:, None]})
