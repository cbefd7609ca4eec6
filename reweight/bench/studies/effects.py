"""Whether re-weighting by importance helps: rankings and their controls, in paired comparisons with the same noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ... import schedule
from ...engine.drawing import draw
from ...engine.request import validate
from ...methods.base import Drawing
from ...models.loading import LoadedModel
from ...patching.blocks import target_blocks
from ...probing.ablation import sensitivity
from ...probing.importance_probe import probe
from ...schedule import empirical
from ...scoring import Scorer
from ...scoring.similarity import ssims
from ...storage.rowfile import Row, RowFile, check_settings, key_of, read_rows
from ...toy.judges.classifier import Judge, obeyed
from ..stats.intervals import paired_difference
from ..stats.random_order import DRAWS, order_seed
from .ways import CONTROLS, EQUAL, FLAT, RANDOM, RANGES, RANKINGS, VANILLA, drawn, drawn_variants, flat_of, parts

SEED = 42  # of the probes, not of the pictures


Interval = tuple[float, float, float]
Measured = dict[str, dict[tuple[str, int], float]]


@dataclass(frozen=True)
class Effect:
    """One way of weighting, over n prompts, each averaged over its seeds (and the draws of a random order).

    score: mean, NaN without a scorer. minus_vanilla: mean paired difference in score from vanilla, (value, low, high)
    with the 95% bootstrap interval over the prompts. minus_flat: the same from the flat counterpart, whose blocks all
    have this ranking's mean score of the step; None if there is no such row. ssim: mean structural similarity with
    vanilla. adherence: mean prompt adherence by the judge, NaN without one; adherence_minus_vanilla: its paired
    difference. mean_weight: over steps, blocks and pictures.
    """

    variant: str
    prompts: int
    score: float
    minus_vanilla: Interval
    minus_flat: Interval | None
    ssim: float
    adherence: float
    adherence_minus_vanilla: Interval
    mean_weight: float


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
    draws: int = DRAWS,
    on_progress: Callable[[str, float], None] = lambda *_: None,
) -> list[Row]:
    """Draw every prompt and seed with every way of weighting, into rows in a folder; resumable.

    batch: pictures per batch. draws: random orders for each prompt and seed. ValueError if there is nothing to draw, or
    the folder has rows with other settings.
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
    names = [VANILLA, *drawn_variants(ranges, draws)]
    for number, prompt in enumerate(prompts):
        on_progress(prompt, number / len(prompts))
        missing = [
            seed for seed in seeds
            if not all(key_of(_row(prompt, seed, steps, name)) in done for name in names)
        ]  # fmt: skip
        if not missing:
            continue
        scores = rankings(loaded, prompt, steps=steps, guidance=guidance)
        for seed in missing:
            tables = _weights(scores, ranges, [order_seed(prompt, seed, draw) for draw in range(draws)])
            pictures = _draw(loaded, prompt, seed, steps, guidance, tables, batch)
            marks = scorer.score(pictures, [prompt] * len(pictures)) if scorer else [None] * len(pictures)
            seen = _adherence(judge, prompt, pictures) if judge else [None] * len(pictures)
            means = [1.0, *tables.mean((1, 2))]
            alike = ssims(pictures, pictures[0])
            for name, near, mark, share, mean in zip(names, alike, marks, seen, means, strict=True):
                row = _row(prompt, seed, steps, name) | {
                    "score": None if mark is None else float(mark),
                    "adherence": None if share is None else float(share),
                    "ssim": float(near),
                    "mean_weight": float(mean),
                }
                if key_of(row) not in done:
                    file.append(row)
    wanted = {key_of(_row(prompt, seed, steps, name)) for prompt in prompts for seed in seeds for name in names}
    return [row for key, row in read_rows(folder).items() if key in wanted]


def rankings(loaded: LoadedModel, prompt: str, *, steps: int, guidance: float) -> dict[str, np.ndarray]:
    """The scores (T, m) of each of RANKINGS."""
    blocks = target_blocks(loaded.pipe.unet)
    options = {"steps": steps, "seed": SEED, "guidance_scale": guidance}
    damage = sensitivity(loaded.pipe, prompt, bypass=True, **options)
    return {
        "paper": probe(loaded.pipe, prompt, preset="paper-code", surrogate=True, **options).scores,
        "calibrated": probe(loaded.pipe, prompt, preset="calibrated", **options).scores,
        "sensitivity": (damage.argsort(1).argsort(1) + 1) / len(blocks),
        "empirical": empirical([(block.stage, block.level) for block in blocks], steps),
    }


def controls(scores: dict[str, np.ndarray], seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """The scores (T, m) of the controls: those of the paper's ranking, and the flat counterpart of every other ranking.

    seeds: of the random orders. A ranking and its flat counterpart (see `flat_of`) have the same mean at each step.
    """
    paper = scores["paper"]
    every = scores | {"inverted": schedule.inverted(paper), "reversed": schedule.reversed_(paper)}
    flats = {flat: schedule.flat(every[way]) for way, flat in FLAT.items()}
    orders = {drawn(RANDOM, draw): schedule.permuted(paper, seed) for draw, seed in enumerate(seeds)}
    made = {"inverted": every["inverted"], "reversed": every["reversed"], "flat": schedule.flat(paper)}
    return made | flats | orders


def effects(rows: Sequence[Row]) -> list[Effect]:
    """The effect of each way of weighting, as paired differences with the same prompt and noise."""
    found = by_way(rows)
    base = found[VANILLA]
    made = []
    for name, own in found.items():
        way, bounds = parts(name)
        flat = found.get(f"{flat_of(way)} {bounds}") if bounds and way != EQUAL else None
        made.append(
            Effect(
                variant=name,
                prompts=len({prompt for prompt, _ in own["score"]}),
                score=_mean(own, "score"),
                minus_vanilla=_difference(own, base, "score"),
                minus_flat=None if flat is None else _difference(own, flat, "score"),
                ssim=_mean(own, "ssim"),
                adherence=_mean(own, "adherence"),
                adherence_minus_vanilla=_difference(own, base, "adherence"),
                mean_weight=_mean(own, "mean_weight"),
            )
        )
    return made


def between(rows: Sequence[Row]) -> dict[str, dict[str, Interval]]:
    """Paired differences in score of every two ways with the same range, and with the ways without a range.

    {variant: {other: (value, low, high)}}, variant minus other; each pair once.
    """
    found = by_way(rows)
    names = [name for name in found if name != VANILLA]
    return {
        first: {
            other: _difference(found[first], found[other], "score")
            for other in names[number + 1 :]
            if parts(first)[1] == parts(other)[1] or EQUAL in (parts(first)[0], parts(other)[0])
        }
        for number, first in enumerate(names)
    }


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """`effects` and `between` as JSON."""
    return {
        "prompts": len({row["prompt"] for row in rows}),
        "vanilla_sd_between_prompts": round(spread(rows), 6),
        "effects": [{name: _rounded(value) for name, value in vars(effect).items()} for effect in effects(rows)],
        "differences": {
            first: {other: _rounded(value) for other, value in others.items()}
            for first, others in between(rows).items()
            if others
        },
    }


def by_way(rows: Sequence[Row]) -> dict[str, Measured]:
    """{variant: {measure: {(prompt, seed): value}}}, NaN if not measured, with the draws of a random order averaged; in
    the order of `variants`, vanilla first."""
    gathered: dict[str, dict[tuple[str, int], list[Row]]] = {}
    for row in rows:
        name = " ".join(filter(None, parts(row["variant"])))
        gathered.setdefault(name, {}).setdefault((row["prompt"], row["seed"]), []).append(row)
    order = [VANILLA, *RANKINGS, *CONTROLS, EQUAL]
    return {
        name: {
            measure: {
                place: float(np.mean([np.nan if row[measure] is None else row[measure] for row in drawn]))
                for place, drawn in gathered[name].items()
            }
            for measure in ("score", "ssim", "adherence", "mean_weight")
        }
        for name in sorted(gathered, key=lambda name: (parts(name)[1], order.index(parts(name)[0])))
    }


def spread(rows: Sequence[Row]) -> float:
    """The standard deviation of vanilla's score between prompts, each averaged over its seeds."""
    by_prompt: dict[str, list[float]] = {}
    for (prompt, _), score in by_way(rows)[VANILLA]["score"].items():
        by_prompt.setdefault(prompt, []).append(score)
    return float(np.std([np.mean(scores) for scores in by_prompt.values()], ddof=1)) if len(by_prompt) > 1 else 0.0


def _row(prompt: str, seed: int, steps: int, variant: str) -> Row:
    return {"category": "held out", "prompt": prompt, "seed": seed, "steps": steps, "variant": variant}


def _weights(scores: dict[str, np.ndarray], ranges: Sequence[tuple[float, float]], seeds: Sequence[int]) -> np.ndarray:
    """(variants, T, m), in the order of `drawn_variants`. seeds: of the random orders."""
    every = scores | controls(scores, seeds)
    return np.stack([
        schedule.weights(table, low, high) for low, high in ranges
        for table in ([scores["paper"]] if low == high else every.values())
    ])  # fmt: skip


def _draw(
    loaded: LoadedModel, prompt: str, seed: int, steps: int, guidance: float, tables: np.ndarray, batch: int
) -> list[Image.Image]:
    """The vanilla picture, unpatched, and one for each table, all from the same noise."""
    card = loaded.card
    request = validate(card, prompt=prompt, model=card.key, seed=seed, steps=steps, guidance=guidance)
    plain = Drawing(steps, guidance, card.family)
    pictures = draw(loaded, request, "vanilla", plain).images
    for part in np.array_split(tables, -(-len(tables) // batch)):
        pictures += draw(loaded, request, "reweighted", replace(plain, weights=part)).images
    return pictures


def _adherence(judge: Judge, prompt: str, pictures: Sequence[Image.Image]) -> np.ndarray:
    answers, _ = judge.read(np.stack([np.asarray(picture) for picture in pictures]))
    return obeyed([prompt] * len(pictures), answers)


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_rounded(part) for part in value]
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 6)
    return value


def _mean(found: Measured, name: str) -> float:
    return float(np.mean(list(found[name].values())))


def _difference(found: Measured, base: Measured, name: str) -> Interval:
    return paired_difference(found[name], base[name])
