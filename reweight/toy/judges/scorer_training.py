"""Trains the toy scorer: contrastive learning of captions and pictures, and quality from graded damage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from ...models.folder import SUMS, sha256
from ...scoring.convnet import as_batch
from ...scoring.toy_scorer import TwoTowers
from ..train import checkpoint
from ..world.scenes import COLOURS, SETTINGS, STYLES, SUBJECTS, Scene, draw_caption, parse, words
from .classifier import varied
from .damage import DAMAGES, damaged

BATCH, SPOILT = 64, 16
PEAK = 2e-3
HOTTEST = 4.6  # log of the largest logit scale, 100


def train_scorer(
    work: Path, pictures: np.ndarray, scenes: list[Scene], *, minutes: float, device: str, seed: int, on_progress
) -> TwoTowers:
    """Train for `minutes` in total, including earlier runs, with a checkpoint every minute; up to 512 pictures are held out."""
    torch.manual_seed(seed)
    towers = TwoTowers(words()).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(towers.parameters(), lr=PEAK, weight_decay=1e-2)
    training = checkpoint.Training(work / "scorer.pt", optimizer, minutes=minutes, every=60, hold=0.3, model=towers)
    apart = min(512, len(scenes) // 4)
    count = len(scenes) - apart
    whole = np.array([i for i in range(count) if not scenes[i].damage])
    rng = np.random.default_rng([seed, 17, training.step])
    generator = torch.Generator().manual_seed(seed * 1_000_003 + training.step)
    for step in training:
        rows = rng.choice(count, BATCH, replace=False)
        spoilt = rng.choice(whole, SPOILT, replace=False)
        levels, batch = graded(as_batch(pictures[spoilt], device), rng, generator)
        x = torch.cat([varied(as_batch(pictures[rows], device), rng), batch])
        captions = [draw_caption(scenes[i], rng) for i in rows] + [other_caption(scenes[i], rng) for i in rows]
        with torch.autocast(device, torch.bfloat16):
            seen, quality = towers.pictures(x.contiguous(memory_format=torch.channels_last))
            read = towers.captions(towers.tokens(captions))
        contrast = contrastive_loss(seen[:BATCH], read[:BATCH], read[BATCH:], towers.scale.clamp(max=HOTTEST).exp())
        loss = contrast + quality_loss(quality[BATCH:].view(len(levels), -1), levels)
        training.learn(loss)
        if step % 50 == 0:
            on_progress(
                "scorer", training.fraction, f"step {step}, loss {loss.item():.3f}, contrast {contrast.item():.3f}"
            )
        if training.due:
            training.save()
            found = _retrieved(towers, pictures[-apart:], scenes[-apart:])
            on_progress("scorer", training.fraction, f"step {step}, {found:.1%} retrieved")
    return towers.eval()


def contrastive_loss(seen: torch.Tensor, read: torch.Tensor, other: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Symmetric contrastive loss of pictures (n, d) and captions (n, d), with one altered caption per picture as a hard
    negative."""
    logits = scale * seen @ read.T
    altered = scale * (seen * other).sum(1, keepdim=True)
    right = torch.arange(len(seen), device=seen.device)
    return (F.cross_entropy(torch.cat([logits, altered], 1), right) + F.cross_entropy(logits.T, right)) / 2


def graded(x: torch.Tensor, rng: np.random.Generator, generator: torch.Generator) -> tuple[list[float], torch.Tensor]:
    """Three levels of one kind of damage, the first 0, and the pictures (n, …) at each level, (3 n, …)."""
    kind = str(rng.choice(list(DAMAGES)))
    levels = [0.0, *sorted(rng.uniform(0, 1, 2).tolist())]
    return levels, torch.cat([damaged(x, kind, level, generator) for level in levels])


def quality_loss(quality: torch.Tensor, levels: list[float]) -> torch.Tensor:
    """The loss of quality logits (levels, n): the target is 1 - level, decreasing from each level to the next."""
    target = 1 - torch.tensor(levels, device=quality.device)[:, None].expand_as(quality)
    return F.binary_cross_entropy_with_logits(quality, target) + F.softplus(quality[1:] - quality[:-1]).mean()


def other_caption(scene: Scene, rng: np.random.Generator) -> str:
    """A caption of the scene with one change: the main subject, its colour, the setting, the style or the positions."""
    main, rest = scene.things[0], scene.things[1:]

    def other(options: dict, now: str) -> str:
        return str(rng.choice([option for option in options if option != now]))

    altered = [
        replace(scene, things=(replace(main, subject=other(SUBJECTS, main.subject)), *rest)),
        replace(scene, things=(replace(main, colour=other(COLOURS, main.colour)), *rest)),
        replace(scene, setting=other(SETTINGS, scene.setting)),
        replace(scene, style=other(STYLES, scene.style)),
    ]
    if scene.relation not in ("", "next to"):
        altered.append(replace(scene, things=scene.things[::-1]))
    chosen = altered[rng.integers(len(altered))]
    while parse(caption := draw_caption(chosen, rng)) != chosen:
        pass
    return caption


def export_scorer(work: Path, folder: Path) -> None:
    """Write the weights in half precision, the vocabulary and the checksums."""
    saved = checkpoint.load(work / "scorer.pt")
    if saved is None:
        raise ValueError("There is no scorer's checkpoint to export yet: train first.")
    weights = {name: (t.half() if t.is_floating_point() else t).contiguous() for name, t in saved["model"].items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"words": words()}, indent=1) + "\n", encoding="utf-8")
    sums = {"model.safetensors": sha256(folder / "model.safetensors")}
    (folder / SUMS).write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")


@torch.inference_mode()
def _retrieved(towers: TwoTowers, pictures: np.ndarray, scenes: list[Scene]) -> float:
    """The share of pictures whose caption is ranked first among 64."""
    towers.eval()
    device, rng, right = towers.scale.device.type, np.random.default_rng(3), []
    for i in range(0, len(scenes), BATCH):
        seen, _ = towers.pictures(as_batch(pictures[i : i + BATCH], device))
        read = towers.captions(towers.tokens([draw_caption(scene, rng) for scene in scenes[i : i + BATCH]]))
        right.append((seen @ read.T).argmax(1).cpu() == torch.arange(len(seen)))
    towers.train()
    return torch.cat(right).float().mean().item()
