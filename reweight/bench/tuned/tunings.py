"""The compared tunings, each resumable, and tables by ranking, which are not tuned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...models.loading import LoadedModel
from ...patching.blocks import target_blocks
from ...probing.importance_probe import probe
from ...schedule import ImportanceTable, weights
from ...scoring.toy_scorer import ToyScorer
from ...tuning.loop import TuneSnapshot, tune
from ...tuning.tuning_settings import Tuning
from ...weight_table import WeightTable
from .captions import CaptionSets

WAYS = {
    "dynamic": {},
    "static": {"static": True},
    "one number": {"one_number": True},
    "dynamic, other seed": {"seed": 1},
    "dynamic, CMA-ES": {"by": "cma"},
}
RANGE = (0.95, 1.15)  # the rankings' best range in `bench importance`
Progress = Callable[[str, float], None]


def settings_of(way: str, **named: object) -> Tuning:
    """The settings of one of WAYS. With one step the static and dynamic ways are the same."""
    return Tuning(**(dict(rate=0.03, floor=0.9, validate_every=5, patience=3, checkpointing=False) | named | WAYS[way]))


def tuned(
    loaded: LoadedModel, sets: CaptionSets, scorer: ToyScorer, way: str, folder: Path, *, steps: int, guidance: float,
    on_progress: Progress, captions: int | None = None, **named: object,
) -> WeightTable:  # fmt: skip
    """The table of one of WAYS: from the folder if it is done, else tuned, resuming if it was interrupted.

    captions: tune on the first ones only; None for all.
    """
    name = f"{way.replace(', ', '-').replace(' ', '-')}-{steps}" + ("" if captions is None else f"-of-{captions}")
    done = folder / f"{name}.json"
    if done.is_file():
        return WeightTable.load(done)

    def say(snapshot: TuneSnapshot) -> None:
        on_progress(f"{way} {snapshot.iteration}, {snapshot.validation_gain:+.4f}", snapshot.done)

    table = tune(
        loaded.pipe, sets.tuning[:captions], scorer, steps=steps, validation=sets.validation, guidance_scale=guidance,
        settings=settings_of(way, **named), model=loaded.source, revision=loaded.revision, on_progress=say,
        resume=folder / f"{name}.state.json",
    )  # fmt: skip
    table.save(done)
    return table


def ranked(
    loaded: LoadedModel, prompts: Sequence[str], preset: str, folder: Path, *, steps: int, guidance: float
) -> np.ndarray:
    """Weights (T, m) in RANGE by the mean scores of a preset over prompts, each of which is probed."""
    scores = []
    for i, prompt in enumerate(prompts):
        file = folder / f"{preset}-{steps}-{i}.json"
        if file.is_file():
            table = ImportanceTable.load(file)
        else:
            table = probe(
                loaded.pipe, prompt, steps=steps, preset=preset, guidance_scale=guidance, model=loaded.source,
                revision=loaded.revision, surrogate=True if preset == "paper-code" else None,
            )  # fmt: skip
            table.save(file)
        scores.append(table.scores)
    return weights(np.mean(scores, axis=0), *RANGE)


def resampled(w: np.ndarray, steps: int) -> np.ndarray:
    """Weights (T, m) for another number of steps, by linear interpolation from the first step to the last."""
    here, there = (np.linspace(0, 1, n) if n > 1 else np.array([0.5]) for n in (len(w), steps))
    return np.stack([np.interp(there, here, column) for column in w.T], 1) if len(w) > 1 else np.repeat(w, steps, 0)


def block_labels(loaded: LoadedModel) -> tuple[str, ...]:
    return tuple(block.label for block in target_blocks(loaded.pipe.unet))
