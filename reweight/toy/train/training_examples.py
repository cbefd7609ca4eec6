"""Training examples of the U-Net and its students: latents, several captions of each as token ids, and batches."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPTokenizer

from ..world.dataset import scene_at
from ..world.scenes import draw_caption
from .memmap import fill
from .text import tokens
from .tokenizer import LENGTH

VARIANTS = 8
DROPOUT = 0.1
HELD = 512  # the last examples, kept for validation
CHUNK = 1000


@dataclass(frozen=True)
class Examples:
    """Latents (n, c, h, w) float16, ids (n, VARIANTS, 24) int64 of their captions, blank (24,) of the empty caption.

    singles, pairs: the indices of the examples with one and with two subjects, (k,) int64.
    """

    latents: torch.Tensor
    ids: torch.Tensor
    blank: torch.Tensor
    singles: torch.Tensor
    pairs: torch.Tensor

    def split(self) -> tuple[Examples, Examples]:
        """The training examples, and the last HELD for validation."""
        kept = len(self.ids) - HELD
        return self._part(slice(0, kept)), self._part(slice(kept, None))

    def to(self, device: str) -> Examples:
        return Examples(*(part.to(device) for part in vars(self).values()))

    def draw(self, n: int, pairs: float) -> tuple[torch.Tensor, torch.Tensor]:
        """A batch of latents (n, c, h, w) float32 and ids (n, 24), sampled on the device; pairs: the share with two subjects."""
        device = self.ids.device
        rows = _any(self.singles, n)
        if pairs:
            rows = torch.where(torch.rand(n, device=device) < pairs, _any(self.pairs, n), rows)
        ids = self.ids[rows, torch.randint(VARIANTS, (n,), device=device)]
        unsaid = torch.rand(n, 1, device=device) < DROPOUT
        return self.latents[rows].float(), torch.where(unsaid, self.blank, ids)

    def _part(self, rows: slice) -> Examples:
        start, stop, _ = rows.indices(len(self.ids))
        singles, pairs = (of[(of >= start) & (of < stop)] - start for of in (self.singles, self.pairs))
        return replace(self, latents=self.latents[rows], ids=self.ids[rows], singles=singles, pairs=pairs)


def _any(rows: torch.Tensor, n: int) -> torch.Tensor:
    return rows[torch.randint(len(rows), (n,), device=rows.device)]


def read_examples(work: Path, latents: np.ndarray, tokenizer: CLIPTokenizer, *, seed: int, workers: int) -> Examples:
    """The examples of the first len(latents) scenes of a seed; captions are sampled once and stored in `work`."""
    count = len(latents)
    write = partial(_captions, tokenizer=tokenizer, seed=seed)

    def made(start: int):
        starts = range(start, count, CHUNK)
        with ProcessPoolExecutor(workers) as pool:
            yield from pool.map(write, starts, [min(s + CHUNK, count) for s in starts])

    ids = fill(work / "captions.npy", (count, VARIANTS, LENGTH), np.int16, made)[:count]
    two = torch.tensor([len(scene_at(seed, i).things) == 2 for i in range(count)])
    return Examples(
        torch.from_numpy(latents), torch.from_numpy(ids).long(), tokens(tokenizer, [""])[0],
        torch.nonzero(~two)[:, 0], torch.nonzero(two)[:, 0],
    )  # fmt: skip


def _captions(start: int, stop: int, *, tokenizer: CLIPTokenizer, seed: int) -> np.ndarray:
    """Token ids (stop - start, VARIANTS, 24) of scenes."""
    rngs = [np.random.default_rng([seed, i, 2]) for i in range(start, stop)]
    captions = [
        draw_caption(scene_at(seed, i), rng)
        for i, rng in zip(range(start, stop), rngs, strict=True)
        for _ in range(VARIANTS)
    ]
    return tokens(tokenizer, captions).reshape(stop - start, VARIANTS, -1).numpy().astype(np.int16)
