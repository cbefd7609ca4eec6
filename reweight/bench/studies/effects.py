"""Does re-weighting by importance help? Every ranking and its controls, drawn from the same noise and judged in pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...models.loading import LoadedModel
from ...patching.blocks import target_blocks
from ...patching.patch import reweighted
from ...probing.ablation import sensitivity
from ...probing.importance_probe import probe
from ...schedule import CONTROLS, empirical, weights
from ...scoring import Scorer, distance
from ...storage.rowfile import Row, RowFile, check_settings, key_of, read_rows
from ...toy.judges.classifier import Judge, obeyed
from ..stats.intervals import paired_difference

RANGES = ((0.98, 1.1), (0.95, 1.15), (1.1, 1.1))  # the paper's for SD-Turbo and for SDXL-Turbo, and no range at all
RANKINGS = ("paper", "calibrated", "sensitivity", "empirical")
VANILLA, EQUAL = "vanilla", "equal"
CONTROLS_OF_SCORES = ("inverted", "reversed", "flat", "random")
SEED = 42  # of the probes, not of the pictures


@dataclass(frozen=True)
class Effect:
    """A row of the result over n prompts, each the mean of its seeds.

    score: mean, NaN without a scorer. over_vanilla, over_flat: mean difference from the vanilla picture's score and
    from that of all blocks at the same mean weight, (value, low, high) with the 95% bootstrap interval over prompts;
    over_flat is None where there is no such row. ssim: mean structural similarity with vanilla. obeyed: mean share of
    what the prompt asks for that the judge sees, NaN without one; obeyed_over_vanilla likewise.
    """

    variant: str
    prompts: int
    score: float
    over_vanilla: tuple[float, float, float]
    over_flat: tuple[float, float, float] | None
    ssim: float
    obeyed: float
    obeyed_over_vanilla: tuple[float, float, float]


def draw_all(
    loaded: LoadedModel,
    prompts: Sequence[str],
    folder: Path,
    *,
    seeds: Sequence[int],
    steps: int,
    guidance: float,
    ranges: Sequence[tuple[float, float]] = RANGES,
    scorer: Scorer | None = None,
    judge: Judge | None = None,
    batch: int = 8,
    on_progress: Callable[[str, float], None] = lambda *_: None,
) -> list[Row]:
    """Draw every prompt with every seed in every way, into rows in a folder; goes on where it stopped.

    batch: pictures drawn together. ValueError where there is nothing to draw, or the folder holds rows that were made
    otherwise.
    """
    if not prompts or not seeds or not ranges:
        raise ValueError("There is nothing to draw: give at least one prompt, one seed and one range.")
    folder.mkdir(parents=True, exist_ok=True)
    check_settings(folder, {
        "model": loaded.source, "revision": loaded.revision, "dtype": loaded.dtype, "guidance": guidance,
        "scorer": f"{scorer.name} {scorer.version}" if scorer else "none",
        "judge": judge.digest[:12] if judge else "none",
    })  # fmt: skip
    file, done = RowFile(folder), read_rows(folder)
    names = [VANILLA, *variants(ranges)]
    for number, prompt in enumerate(prompts):
        on_progress(prompt, number / len(prompts))
        due = [
            seed for seed in seeds
            if not all(key_of(_row(prompt, seed, steps, name)) in done for name in names)
        ]  # fmt: skip
        if not due:
            continue
        tables = _weights(rankings(loaded, prompt, steps=steps, guidance=guidance), ranges)
        for seed in due:
            pictures = _draw(loaded.pipe, prompt, seed, steps, guidance, tables, batch)
            scores = scorer.score(pictures, [prompt] * len(pictures)) if scorer else [None] * len(pictures)
            seen = _obeyed(judge, prompt, pictures) if judge else [None] * len(pictures)
            for name, picture, score, share in zip(names, pictures, scores, seen, strict=True):
                row = _row(prompt, seed, steps, name) | {
                    "score": None if score is None else float(score),
                    "obeyed": None if share is None else float(share),
                    "ssim": distance(picture, pictures[0]).ssim,
                }
                if key_of(row) not in done:
                    file.append(row)
    wanted = {key_of(_row(prompt, seed, steps, name)) for prompt in prompts for seed in seeds for name in names}
    return [row for key, row in read_rows(folder).items() if key in wanted]


def rankings(loaded: LoadedModel, prompt: str, *, steps: int, guidance: float) -> dict[str, np.ndarray]:
    """The scores (T, m) of each of RANKINGS and, of the paper's, of the controls flat, inverted, reversed, random."""
    blocks = target_blocks(loaded.pipe.unet)
    options = {"steps": steps, "seed": SEED, "guidance_scale": guidance}
    damage = sensitivity(loaded.pipe, prompt, bypass=True, **options)
    paper = probe(loaded.pipe, prompt, preset="paper-code", surrogate=True, **options).scores
    return {
        "paper": paper,
        "calibrated": probe(loaded.pipe, prompt, preset="calibrated", **options).scores,
        "sensitivity": (damage.argsort(1).argsort(1) + 1) / len(blocks),
        "empirical": empirical([(block.stage, block.level) for block in blocks], steps),
    } | {name: CONTROLS[name].apply(paper, (), SEED) for name in CONTROLS_OF_SCORES}


def variants(ranges: Sequence[tuple[float, float]]) -> list[str]:
    """The names of the re-weighted rows; at low = high every ranking gives the same weights, and there is one row."""
    ways = (*RANKINGS, *CONTROLS_OF_SCORES)
    return [
        named(way, low, high) for low, high in ranges for way in ((EQUAL,) if low == high else ways)
    ]  # fmt: skip


def named(way: str, low: float, high: float) -> str:
    """The name of a ranking's row at a range."""
    return f"{way} [{low:g}, {high:g}]"


def effects(rows: Sequence[Row]) -> list[Effect]:
    """What each variant does to the score, in pairs: the same prompt and the same noise."""
    by_variant: dict[str, dict[tuple[str, int], Row]] = {}
    for row in rows:
        by_variant.setdefault(row["variant"], {})[row["prompt"], row["seed"]] = row
    return [
        Effect(
            variant=name,
            prompts=len({prompt for prompt, _ in found}),
            score=_mean(found, "score"),
            over_vanilla=_difference(found, by_variant[VANILLA], "score"),
            over_flat=_difference(found, by_variant[flat], "score") if (flat := _flat(name)) in by_variant else None,
            ssim=_mean(found, "ssim"),
            obeyed=_mean(found, "obeyed"),
            obeyed_over_vanilla=_difference(found, by_variant[VANILLA], "obeyed"),
        )
        for name, found in by_variant.items()
    ]


def _flat(name: str) -> str:
    return "flat " + name.partition(" ")[2]


def _row(prompt: str, seed: int, steps: int, variant: str) -> Row:
    return {"category": "held out", "prompt": prompt, "seed": seed, "steps": steps, "variant": variant}


def _weights(scores: dict[str, np.ndarray], ranges: Sequence[tuple[float, float]]) -> np.ndarray:
    """(variants, T, m), in the order of `variants`."""
    return np.stack([
        weights(table, low, high) for low, high in ranges
        for table in ([scores["paper"]] if low == high else scores.values())
    ])  # fmt: skip


def _draw(
    pipe: Any, prompt: str, seed: int, steps: int, guidance: float, tables: np.ndarray, batch: int
) -> list[Image.Image]:
    """The vanilla picture, without any patch, and one for each table, all from the same noise."""

    def draw(count: int) -> list[Image.Image]:
        noise = [torch.Generator().manual_seed(seed) for _ in range(count)]
        with torch.inference_mode():
            return pipe(
                prompt, num_inference_steps=steps, guidance_scale=guidance, num_images_per_prompt=count, generator=noise
            ).images  # fmt: skip

    pictures = draw(1)
    for part in np.array_split(tables, -(-len(tables) // batch)):
        with reweighted(pipe, part):
            pictures += draw(len(part))
    return pictures


def _obeyed(judge: Judge, prompt: str, pictures: Sequence[Image.Image]) -> np.ndarray:
    answers, _ = judge.read(np.stack([np.asarray(picture) for picture in pictures]))
    return obeyed([prompt] * len(pictures), answers)


def _values(found: dict[tuple[str, int], Row], name: str) -> dict[tuple[str, int], float]:
    return {place: np.nan if row[name] is None else row[name] for place, row in found.items()}


def _mean(found: dict[tuple[str, int], Row], name: str) -> float:
    return float(np.mean(list(_values(found, name).values())))


def _difference(
    found: dict[tuple[str, int], Row], base: dict[tuple[str, int], Row], name: str
) -> tuple[float, float, float]:
    return paired_difference(_values(found, name), _values(base, name))
