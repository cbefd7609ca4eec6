"""Draws every test caption with every table from the same noise, and records the scorer's and judge's results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ...engine.drawing import draw
from ...engine.request import validate
from ...methods.base import Drawing
from ...models.loading import LoadedModel
from ...scoring.similarity import distance
from ...scoring.toy_scorer import ToyScorer
from ...storage.rowfile import Row, RowFile, check_settings, key_of, read_rows
from ...toy.judges.classifier import Judge, obeyed

VANILLA = "vanilla"


def draw_rows(
    loaded: LoadedModel, captions: Sequence[tuple[str, str]], seeds: Sequence[int], steps: int, guidance: float,
    tables: Mapping[str, np.ndarray], folder: Path, scorer: ToyScorer, judge: Judge,
    on_progress: Callable[[str, float], None],
) -> list[Row]:  # fmt: skip
    """Rows of (set, caption) x seed x (vanilla and each table (T, m)); existing rows are read from the folder.

    A row: score; match, the scorer's cosine with the caption; obeyed, prompt adherence by the judge; ssim with vanilla;
    saturation, HSV mean; features (128,) of the judge; cpu_seconds to draw.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_settings(folder, {
        "model": loaded.source, "revision": loaded.revision, "guidance": guidance, "scorer": scorer.version,
        "judge": judge.digest[:12],
    })  # fmt: skip
    file, done = RowFile(folder), read_rows(folder)
    names = [VANILLA, *tables]
    wanted = []
    jobs = [(seed, kind, prompt) for seed in seeds for kind, prompt in captions]
    for number, (seed, kind, prompt) in enumerate(jobs):
        rows = {
            name: {"category": kind, "prompt": prompt, "seed": seed, "steps": steps, "variant": name} for name in names
        }
        wanted += [key_of(row) for row in rows.values()]
        missing = [name for name in tables if key_of(rows[name]) not in done]
        if not missing and key_of(rows[VANILLA]) in done:
            continue
        on_progress(f"{steps} steps, {prompt}", number / len(jobs))
        request = validate(loaded.card, model=loaded.card.key, prompt=prompt, seed=seed, steps=steps, guidance=guidance)
        drawing = Drawing(steps, guidance, loaded.card.family)
        clock = time.process_time()
        pictures = draw(loaded, request, VANILLA, drawing).images
        seconds = [time.process_time() - clock]
        if missing:
            clock = time.process_time()
            weights = np.stack([tables[name] for name in missing])
            drawing = Drawing(steps, guidance, loaded.card.family, weights=weights)
            pictures += draw(loaded, request, "reweighted", drawing).images
            seconds += [(time.process_time() - clock) / len(missing)] * len(missing)
        for name, seen, took in zip([VANILLA, *missing], _seen(pictures, prompt, scorer, judge), seconds, strict=True):
            if key_of(rows[name]) not in done:
                file.append(rows[name] | seen | {"cpu_seconds": round(took, 4)})
    there = read_rows(folder)
    return [there[key] for key in wanted]


def _seen(pictures: list[Image.Image], prompt: str, scorer: ToyScorer, judge: Judge) -> list[Row]:
    prompts = [prompt] * len(pictures)
    match = (scorer.features(pictures) * scorer.text_features(prompts)).sum(1)
    scores = match + scorer.quality(pictures)
    answers, features = judge.read(np.stack([np.asarray(picture) for picture in pictures]))
    return [
        {
            "score": float(score), "match": float(cosine), "obeyed": float(share),
            "ssim": distance(picture, pictures[0]).ssim,
            "saturation": float(np.asarray(picture.convert("HSV"))[..., 1].mean() / 255),
            "features": [round(float(value), 4) for value in feature],
        }
        for picture, score, cosine, share, feature in zip(
            pictures, scores, match, obeyed(prompts, answers), features, strict=True
        )
    ]  # fmt: skip
