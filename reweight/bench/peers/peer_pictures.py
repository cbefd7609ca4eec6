"""Draws every variant from the same noise, interleaved, and appends rows; resumable."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...engine.drawing import Drawn, draw
from ...engine.request import Request, validate
from ...methods import columns
from ...methods.base import Drawing
from ...models.loading import LoadedModel
from ...scoring import Scorer
from ...scoring.similarity import ssims
from ...storage.rowfile import Row, RowFile, check_settings, read_rows
from ...toy.judges.classifier import Judge, obeyed
from .flops import flops
from .variants import VANILLA, Variant, variants

CATEGORY = "peers"
SEED = 42  # of the first prompt's noise; each prompt has its own
DECIMALS = 4


def request_for(loaded: LoadedModel, variant: Variant, steps: int, prompt: str) -> Request:
    """A variant's request. ValueError for invalid settings."""
    return validate(
        loaded.card, model=loaded.card.key, prompt=prompt, steps=steps, columns=(variant.column,), methods=variant.settings
    )  # fmt: skip


def why_not(loaded: LoadedModel, variant: Variant, steps: int) -> str:
    """Why a variant is not drawn at a number of steps; empty if it is."""
    request = request_for(loaded, variant, steps, "a cat")
    if variant.column == VANILLA:
        return ""
    return columns.inert(variant.column, request.methods, _drawing(loaded, request))


def cost_in_flops(loaded: LoadedModel, variant: Variant, steps: int, prompt: str) -> int:
    """FLOPs of one picture, including text encoding and decoding."""
    request = request_for(loaded, variant, steps, prompt)
    return flops(lambda: draw(loaded, request, variant.column, beside=variant.beside))


def draw_all(
    loaded: LoadedModel, prompts: Sequence[str], folder: Path, *, steps: Sequence[int], judge: Judge, scorer: Scorer,
    batch: int = 4, minutes: float | None = None, on_progress: Callable[[str, float], None] = lambda *_: None,
) -> bool:  # fmt: skip
    """Draw each prompt at each number of steps with each variant; returns whether all are done.

    batch: prompts per batch; vanilla and the variants are interleaved, and each batch starts with another one. minutes:
    stop between two batches after this time. ValueError if the folder has rows with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_settings(folder, {
        "model": loaded.source, "revision": loaded.revision, "batch": batch, "judge": judge.digest[:12],
        "scorer": f"{scorer.name} {scorer.version}",
    })  # fmt: skip
    file, done = RowFile(folder), read_rows(folder)
    end = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    warm = False
    groups = [(first, number) for first in range(0, len(prompts), batch) for number in steps]
    for count, (first, number) in enumerate(groups):
        chosen = [variant for variant in variants(loaded.card.key, number) if not why_not(loaded, variant, number)]
        some = prompts[first : first + batch]
        seeds = [SEED + first + i for i in range(len(some))]
        missing = {
            variant.label for variant in chosen for prompt, seed in zip(some, seeds, strict=True)
            if (CATEGORY, prompt, seed, number, variant.label) not in done
        }  # fmt: skip
        if not missing:
            continue
        if time.monotonic() > end:
            return False
        on_progress(f"{number} steps", count / len(groups))
        turn = first // batch % len(chosen)
        drawn: dict[str, tuple[Drawn, float, float]] = {}
        for variant in chosen[turn:] + chosen[:turn]:
            request = request_for(loaded, variant, number, some[0])
            if not warm:  # the first drawing includes setup
                warm = True
                draw(loaded, request, variant.column, beside=variant.beside, prompts=some, seeds=seeds)
            start, busy = time.perf_counter(), time.process_time()
            found = draw(loaded, request, variant.column, beside=variant.beside, prompts=some, seeds=seeds)
            drawn[variant.label] = found, time.perf_counter() - start, time.process_time() - busy
        for row in _rows(drawn, some, seeds, number, judge, scorer):
            file.append(row)
    return True


def _rows(
    drawn: dict[str, tuple[Drawn, float, float]], prompts: Sequence[str], seeds: Sequence[int], steps: int, judge: Judge,
    scorer: Scorer,
) -> list[Row]:  # fmt: skip
    rows = []
    vanilla = drawn[VANILLA][0].images
    for label, (found, seconds, busy) in drawn.items():
        answers, features = judge.read(np.stack([np.asarray(image) for image in found.images]))
        scores, seen = scorer.score(found.images, prompts), obeyed(prompts, answers)
        said = {key: report.sentence() for key, report in found.reports.items() if report.sentence()}
        for i, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
            rows.append({
                "category": CATEGORY, "prompt": prompt, "seed": seed, "steps": steps, "variant": label,
                "seconds": seconds / len(prompts), "cpu": busy / len(prompts), "score": float(scores[i]), "obeyed": float(seen[i]),
                "ssim": float(ssims([found.images[i]], vanilla[i])[0]), "report": said,
                "features": np.round(features[i], DECIMALS).tolist(),
            })  # fmt: skip
    return rows


def _drawing(loaded: LoadedModel, request: Request) -> Drawing:
    return Drawing(request.steps, request.guidance, loaded.card.family)
