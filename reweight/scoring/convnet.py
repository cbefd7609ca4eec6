"""A small convolutional network for 128x128 pictures, used by the toy judge and the toy scorer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

SIDE = 128
FEATURES = 128
WIDTHS = (24, 48, 80, 128)


class _Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.first = _conv(width, width)
        self.second = _conv(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class ConvNet(nn.Module):
    """Pictures (n, 3, 128, 128) in [-1, 1] to features (n, 128), which distinguish the four quadrants."""

    def __init__(self) -> None:
        super().__init__()
        stages: list[nn.Module] = [nn.PixelUnshuffle(2)]
        before = 12
        for number, width in enumerate(WIDTHS):
            stages += [_conv(before, width, stride=2 if number else 1), nn.ReLU(), _Block(width)]
            before = width
        self.stages = nn.Sequential(*stages)
        self.features = nn.Linear(4 * before, FEATURES)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        x = self.stages(pictures)  # (n, 128, 8, 8)
        return F.relu(self.features(F.adaptive_avg_pool2d(x, 2).flatten(1)))


def as_batch(pictures: np.ndarray | Sequence[Image.Image], device: str = "cpu") -> torch.Tensor:
    """uint8 pictures (n, h, w, 3), or images, as the network's input, (n, 3, 128, 128) in [-1, 1].

    Pictures of another size are resized to 128x128.
    """
    if not isinstance(pictures, np.ndarray):
        small = [image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS) for image in pictures]
        pictures = np.stack([np.asarray(image) for image in small])
    x = torch.from_numpy(np.array(pictures)).to(device).permute(0, 3, 1, 2)
    return (x.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def _conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after))
