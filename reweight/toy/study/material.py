"""The study's data, computed once into the work folder: latents, text states, features."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ...models.loading import LoadedModel
from ...scoring.convnet import as_batch
from ...scoring.toy_scorer import ToyScorer
from ..train.autoencoder import to_tensor
from ..train.memmap import fill
from ..train.text import tokens
from ..world.dataset import render, scene_at
from ..world.scenes import Scene, draw_caption

SEED, HELD_SEED = 1, 303  # of the scenes: the included model's training set; held-out combinations
CAPTIONS = 2  # per picture
CHUNK = 64
GRID = (128, 8, 8)  # of the scorer's last convolution


@dataclass(frozen=True)
class Pictures:
    """Arrays of n pictures, float16 except `memory`.

    latents: (n, c, h, w). states: (n, CAPTIONS, tokens, width) of their captions. grid: (n, 128, 8, 8), the scorer's
    last convolution. memory: (n, 96), the scorer's embedding. said: (n, CAPTIONS, 96), its embedding of the captions.
    """

    latents: torch.Tensor
    states: torch.Tensor
    grid: torch.Tensor
    memory: torch.Tensor
    said: torch.Tensor

    def __len__(self) -> int:
        return len(self.latents)


@dataclass(frozen=True)
class Material:
    """known: for training. held: held-out combinations, for the validation loss. blank: (tokens, width), states of the empty
    caption."""

    known: Pictures
    held: Pictures
    blank: torch.Tensor

    def remembered(self, said: torch.Tensor) -> torch.Tensor:
        """For each caption's embedding (n, 96), the embedding of the nearest training picture, (n, 96)."""
        return self.known.memory[(said @ self.known.memory.T).argmax(1)]


def prepare(
    work: Path, art: Path, base: LoadedModel, scorer: ToyScorer, *, known: int, held: int, workers: int, on_progress
) -> Material:
    """Read the data from `work`, computing what is missing; a complete array with at least as many rows is reused."""
    work.mkdir(parents=True, exist_ok=True)
    sets = []
    for name, count, seed, unseen in (("known", known, SEED, False), ("held", held, HELD_SEED, True)):
        pictures = render(
            work / f"{name}-pictures.npy", count, art=art, seed=seed, workers=workers, held_out=unseen,
            on_progress=partial(_rendered, on_progress, name),
        )[:count]  # fmt: skip
        scenes = [scene_at(seed, i, held_out=unseen) for i in range(count)]
        sets.append(read(work, name, pictures, captions(scenes, seed), base, scorer, on_progress))
    blank = base.pipe.text_encoder(tokens(base.pipe.tokenizer, [""]).to(base.device)).last_hidden_state[0]
    return Material(*sets, blank.detach().cpu().float())


def captions(scenes: list[Scene], seed: int) -> list[list[str]]:
    """CAPTIONS per scene, determined by its number."""
    rngs = [np.random.default_rng([seed, i, 2]) for i in range(len(scenes))]
    return [[draw_caption(scene, rng) for _ in range(CAPTIONS)] for scene, rng in zip(scenes, rngs, strict=True)]


@torch.inference_mode()
def read(
    work: Path,
    name: str,
    pictures: np.ndarray,
    said: list[list[str]],
    base: LoadedModel,
    scorer: ToyScorer,
    on_progress,
) -> Pictures:
    """Encode pictures, uint8 (n, 128, 128, 3), and their captions; cached in `work` as NAME-*.npy."""
    pipe, device, n = base.pipe, base.device, len(pictures)

    def latents(rows: slice) -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16):
            return pipe.vae.encode(to_tensor(pictures[rows], device)).latent_dist.mode()

    def states(rows: slice) -> torch.Tensor:
        ids = tokens(pipe.tokenizer, [text for texts in said[rows] for text in texts]).to(device)
        return pipe.text_encoder(ids).last_hidden_state.unflatten(0, (-1, CAPTIONS))

    def grid(rows: slice) -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16):
            return scorer.towers.eyes.stages(as_batch(pictures[rows], device))

    def memory(rows: slice) -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16):
            return scorer.towers.pictures(as_batch(pictures[rows], device))[0]

    def spoken(rows: slice) -> torch.Tensor:
        found = scorer.text_features([text for texts in said[rows] for text in texts])
        return torch.from_numpy(found).unflatten(0, (-1, CAPTIONS))

    config = pipe.unet.config
    shapes = {
        "latents": (latents, (config.in_channels, config.sample_size, config.sample_size)),
        "states": (states, (CAPTIONS, *pipe.text_encoder(tokens(pipe.tokenizer, [""]).to(device)).last_hidden_state[0].shape)),
        "grid": (grid, GRID), "memory": (memory, (96,)), "said": (spoken, (CAPTIONS, 96)),
    }  # fmt: skip
    made = {}
    for part, (make, shape) in shapes.items():
        parts = partial(
            _parts, make, n, lambda done, part=part: on_progress(f"{name} {part}", done / n, f"{done} of {n}")
        )
        array = fill(work / f"{name}-{part}.npy", (n, *shape), np.float16, parts)[:n]
        made[part] = torch.from_numpy(np.array(array))
    return Pictures(**{**made, "memory": made["memory"].float(), "said": made["said"].float()})


def _parts(
    make: Callable[[slice], torch.Tensor], n: int, done: Callable[[int], object], start: int
) -> Iterable[np.ndarray]:
    for i in range(start, n, CHUNK):
        yield make(slice(i, min(i + CHUNK, n))).float().cpu().numpy()
        done(min(i + CHUNK, n))


def _rendered(on_progress, name: str, done: int, count: int) -> None:
    on_progress(f"{name} pictures", done / count, f"{done} of {count}")
