"""A scorer for the embedded models' pictures that works offline. It does not model human preference."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from ..models.folder import ModelError, check_sums, sha256
from ..models.registry import ASSETS
from .convnet import FEATURES, SIDE, ConvNet, as_batch
from .scorer import Look, check_lengths

FOLDER = ASSETS / "toy-scorer"
LENGTH, WIDTH = 24, 96
PAD, UNKNOWN = 0, 1
BATCH = 32


class TwoTowers(nn.Module):
    """Embeds pictures and captions in 96 dimensions, and estimates a picture's quality.

    words: the vocabulary; other words map to the unknown token.
    """

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__()
        self.words = {word: i for i, word in enumerate(words, UNKNOWN + 1)}
        self.eyes = ConvNet()
        self.picture_head = nn.Linear(FEATURES, WIDTH)
        self.quality_head = nn.Linear(FEATURES, 1)
        self.embedding = nn.Embedding(len(words) + 2, WIDTH, padding_idx=PAD)
        self.places = nn.Parameter(0.02 * torch.randn(LENGTH, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.reader = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.caption_head = nn.Linear(WIDTH, WIDTH)
        self.scale = nn.Parameter(torch.tensor(2.7))

    def tokens(self, captions: Sequence[str]) -> torch.Tensor:
        """Word indices, (n, 24), truncated or padded."""
        rows = torch.full((len(captions), LENGTH), PAD)
        for row, caption in zip(rows, captions, strict=True):
            words = re.findall(r"[a-z]+", caption.lower())[:LENGTH] or [""]
            row[: len(words)] = torch.tensor([self.words.get(word, UNKNOWN) for word in words])
        return rows.to(self.places.device)

    def pictures(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised embeddings (n, 96) and quality logits (n,) of pictures (n, 3, 128, 128)."""
        seen = self.eyes(x)
        return F.normalize(self.picture_head(seen).float(), dim=1), self.quality_head(seen)[:, 0].float()

    def captions(self, tokens: torch.Tensor) -> torch.Tensor:
        """Normalised embeddings, (n, 96)."""
        empty = tokens == PAD
        read = self.reader(self.embedding(tokens) + self.places, src_key_padding_mask=empty)
        present = (~empty)[..., None]
        return F.normalize(self.caption_head((read * present).sum(1) / present.sum(1)).float(), dim=1)


class ToyScorer:
    """Rates how well a picture fits its prompt, and how free of artefacts it is; see `score`."""

    name = "toy scorer"

    def __init__(self, towers: TwoTowers, version: str, *, device: str = "cpu") -> None:
        self.towers, self.version, self.device = towers.to(device).eval(), version, device

    def score(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> np.ndarray:
        """The cosine of a picture and its prompt, in [-1, 1], plus the picture's quality, in [0, 1]; (n,)."""
        check_lengths(images, prompts)
        features, quality = self._looked_at(images)
        return (features * self.text_features(prompts)).sum(1) + quality

    def look(self, pictures: torch.Tensor, prompts: Sequence[str]) -> Look:
        """The same with gradients, for pictures (n, 3, h, w) in [0, 1]; other sizes are resampled bicubically."""
        check_lengths(pictures, prompts)
        x = pictures.to(self.device).float()
        if x.shape[-2:] != (SIDE, SIDE):
            x = F.interpolate(x, (SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        features, quality = self.towers.pictures((x * 2 - 1).contiguous(memory_format=torch.channels_last))
        match = (features * torch.tensor(self.text_features(prompts), device=features.device)).sum(1)
        return Look(match + quality.sigmoid(), match, features)

    def features(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Normalised picture embeddings, (n, 96)."""
        return self._looked_at(images)[0]

    def quality(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Quality, (n,): 1 for an undamaged picture, 0 for a completely damaged one."""
        return self._looked_at(images)[1]

    @torch.inference_mode()
    def text_features(self, prompts: Sequence[str]) -> np.ndarray:
        """Normalised prompt embeddings, (n, 96)."""
        parts = [prompts[i : i + BATCH] for i in range(0, len(prompts), BATCH)]
        read = [self.towers.captions(self.towers.tokens(part)).cpu().numpy() for part in parts]
        return np.concatenate(read) if read else np.empty((0, WIDTH), np.float32)

    @torch.inference_mode()
    def _looked_at(self, images: Sequence[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
        parts = [as_batch(list(images[i : i + BATCH]), self.device) for i in range(0, len(images), BATCH)]
        seen = [self.towers.pictures(part) for part in parts]
        if not seen:
            return np.empty((0, WIDTH), np.float32), np.empty(0, np.float32)
        embeddings, qualities = (torch.cat(column).cpu() for column in zip(*seen, strict=True))
        return embeddings.numpy(), torch.sigmoid(qualities).numpy()


def load_toy_scorer(folder: Path = FOLDER, *, device: str = "cpu") -> ToyScorer:
    """Load the scorer from a folder, verifying the checksum of its weights. ModelError of one sentence otherwise."""
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ModelError("The toy scorer is missing: make it with `python -m reweight.toy scorer`.")
    check_sums(folder, "The toy scorer")
    towers = TwoTowers(json.loads((folder / "config.json").read_text(encoding="utf-8"))["words"])
    towers.load_state_dict({name: t.float() for name, t in load_file(weights).items()})
    return ToyScorer(towers.requires_grad_(False), sha256(weights)[:8], device=device)
