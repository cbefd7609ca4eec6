"""Tunes a weight table for a score over prompts, with early stopping on held-out prompts."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch

from .. import __version__
from ..models.folder import out_of_memory
from ..patching.blocks import as_unet, columns, target_blocks
from ..scoring.scorer import DifferentiableScorer, Scorer
from ..weight_table import WeightTable
from .differentiable_sampling import Pair, Sampling, prepared
from .objective import NotFinite, Objective, Worth
from .state import read_state, write_state
from .steppers import Evolution, Gradient, Stepper
from .tuning_settings import HIGH, LOW, Tuning

NOISE, VALIDATION_NOISE = 10_000_000, 20_000_000  # first seeds of the tuning and validation noises


class TuningStopped(ValueError):
    """The tuning had to stop; the message is one sentence. table: the best weights so far."""

    def __init__(self, message: str, table: WeightTable) -> None:
        super().__init__(message)
        self.table = table


@dataclass(frozen=True)
class TuneSnapshot:
    """A tuning's results after an iteration, counted from 1.

    done: share of the iterations, 1 at the end, also after early stopping. gain: mean paired difference in score from
    vanilla, on the iteration's own few pictures. weights: (T, k), the current ones. validation_gain, validation_low,
    validation_high: the best table's gain on the validation set with its 95% interval; 0 before the first validation.
    best: the best table.
    """

    iteration: int
    iterations: int
    done: float
    gain: float
    weights: np.ndarray
    best: WeightTable

    @property
    def validation_gain(self) -> float:
        return self.best.diagnostics["validation_gain"]


def tune(
    pipe: Any,
    prompts: Sequence[str],
    scorer: Scorer | None,
    *,
    steps: int,
    on_progress: Callable[[TuneSnapshot], object] | None = None,
    **options: Any,
) -> WeightTable:
    """Tune the weights of every block at every step for a score; returns the table that is best on the validation set.

    pipe: a diffusers text-to-image pipeline with a `unet`; unchanged on return. prompts: to tune on. scorer: gives the
    score; for by="gradient" a `DifferentiableScorer`. steps: T. on_progress: called with a `TuneSnapshot` after each
    iteration. options: the other arguments of `iter_tune`. Errors: as in `iter_tune`.
    """
    for snapshot in iter_tune(pipe, prompts, scorer, steps=steps, **options):
        if on_progress is not None:
            on_progress(snapshot)
    return snapshot.best


def iter_tune(
    pipe: Any,
    prompts: Sequence[str],
    scorer: Scorer | None,
    *,
    steps: int,
    validation: Sequence[str] | None = None,
    guidance_scale: float | None = None,
    negative_prompt: str | None = None,
    height: int | None = None,
    width: int | None = None,
    start: Any = None,
    settings: Tuning | None = None,
    model: str = "",
    revision: str | None = None,
    resume: str | os.PathLike[str] | None = None,
    check: Callable[[], object] = lambda: None,
    **named: Any,
) -> Iterator[TuneSnapshot]:
    """The tuning as a generator: one snapshot after each iteration. It can be closed at any time; the last snapshot has
    the best table, which is all ones until another is better on the validation set.

    validation: held-out prompts; by default every fourth of `prompts`, or, with fewer than four prompts, the same
    prompts with other noises. start: initial weights (T, k). settings: a `Tuning`, or its fields by name. resume: a
    file for the state, from which a stopped tuning resumes exactly. check: called at every step of every picture; an
    exception that it raises stops the tuning. The other arguments are the pipeline's.

    ValueError of one sentence for invalid arguments; TuningStopped, which carries the best table, for a score that is
    not finite or if memory runs out. OSError if the state cannot be written.
    """
    settings = settings or Tuning(**named)
    _check(pipe, prompts, scorer, steps, settings, validation)
    labels, _ = columns(target_blocks(as_unet(pipe)), settings.per)
    size = steps, len(labels)
    tuning, validating = _pairs(list(prompts), validation, settings)
    sampling = Sampling(steps, guidance_scale, negative_prompt, height, width)
    about = {
        "settings": settings.as_json(), "steps": steps, "guidance": guidance_scale, "negative_prompt": negative_prompt,
        "size": [height, width], "model": model, "revision": revision, "scorer": f"{scorer.name} {scorer.version}",
        "prompts": _digest(tuning), "validation_prompts": _digest(validating),
        "start": None if start is None else np.asarray(start).tolist(),
    }  # fmt: skip
    path = None if resume is None else Path(resume)
    kept = read_state(path, about) or {
        "iteration": 0, "seconds": 0.0, "cpu_seconds": 0.0, "drawn": 0, "stepper": None, "best": None, "curve": [], "ended": "",
    }  # fmt: skip
    kind = Gradient if settings.by == "gradient" else Evolution
    stepper: Stepper = kind(_start(start, size, settings), *size, settings, kept["stepper"])
    objective = Objective(pipe, scorer, sampling, settings, check)
    clock = time.monotonic() - kept["seconds"]
    cpu_clock = time.process_time() - kept.get("cpu_seconds", 0.0)

    def table() -> WeightTable:
        best = kept["best"] or {"free": [[1.0]], "value": 0.0, "gain": 0.0, "low": 0.0, "high": 0.0, "iteration": 0}
        scheduler = getattr(pipe, "scheduler", None)
        return WeightTable(
            weights=np.broadcast_to(np.array(best["free"]), size), blocks=labels, per=settings.per, model=model,
            revision=revision, method=f"tuned:{settings.by}", scheduler=type(scheduler).__name__, steps=steps,
            guidance_scale=float(getattr(pipe, "guidance_scale", guidance_scale or 0.0) or 0.0),
            scorer=about["scorer"], settings=settings.as_json(),
            versions={"reweight": __version__, "torch": torch.__version__, "diffusers": diffusers.__version__},
            provenance={
                "prompts": len({p for p, _ in tuning}), "pairs": len(tuning), "prompts_sha256": about["prompts"],
                "validation_prompts": len({p for p, _ in validating}),
                "validation_sha256": about["validation_prompts"], "first_prompts": [p for p, _ in tuning[:4]],
            },
            diagnostics={
                "validation_gain": best["gain"], "validation_interval": [best["low"], best["high"]],
                **{name: best[name] for name in ("match", "likeness") if name in best},
                "best_iteration": best["iteration"], "iterations": kept["iteration"], "ended": kept["ended"],
                "pictures": kept["drawn"], "seconds": round(kept["seconds"], 1),
                "cpu_seconds": round(kept.get("cpu_seconds", 0.0), 1), "curve": kept["curve"],
            },
        )  # fmt: skip

    drawn_before = kept["drawn"]
    if kept["ended"]:
        weights = np.broadcast_to(stepper.free, size)
        yield TuneSnapshot(kept["iteration"], settings.iterations, 1.0, 0.0, weights, table())
        return
    for iteration in range(kept["iteration"] + 1, settings.iterations + 1):
        try:
            with prepared(pipe, checkpointing=settings.checkpointing and settings.by == "gradient"):
                gain = stepper.step(objective, _batch(tuning, settings, iteration))
                if iteration % settings.validate_every == 0 or iteration == settings.iterations:
                    _validate(objective, stepper.free, size, validating, settings, iteration, kept)
        except NotFinite as error:
            raise TuningStopped(f"{error} The best table up to iteration {iteration - 1} is kept.", table()) from error
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            message = (
                "There is not enough memory to tune: draw fewer pictures together, tune at a smaller size, or by CMA-ES. "
                f"The best table up to iteration {iteration - 1} is kept."
            )
            raise TuningStopped(message, table()) from error.with_traceback(None)
        kept |= {
            "iteration": iteration, "seconds": time.monotonic() - clock,
            "cpu_seconds": time.process_time() - cpu_clock, "stepper": stepper.state(),
            "drawn": drawn_before + objective.drawn,
        }  # fmt: skip
        if iteration == settings.iterations:
            kept["ended"] = "all iterations"
        elif _stale(kept["curve"], settings):
            kept["ended"] = "no better on the validation set"
        write_state(path, about, kept)
        done = 1.0 if kept["ended"] else iteration / settings.iterations
        yield TuneSnapshot(
            iteration, settings.iterations, done, gain, np.broadcast_to(stepper.free, size).copy(), table()
        )
        if kept["ended"]:
            return


def _check(
    pipe: Any, prompts: Sequence[str], scorer: Scorer | None, steps: int, settings: Tuning,
    validation: Sequence[str] | None,
) -> None:  # fmt: skip
    if scorer is None:
        raise ValueError("There is no scorer to tune for: name one, such as toy or hps-v2.1.")
    if settings.by == "gradient" and not isinstance(scorer, DifferentiableScorer):
        raise ValueError(f"No gradient flows through {scorer.name}: tune by CMA-ES (by='cma').")
    if isinstance(prompts, str) or isinstance(validation, str):
        raise ValueError("The prompts are a list of texts, not one text.")
    for what, given in (
        ("prompts to tune on", prompts),
        ("validation prompts", [""] if validation is None else validation),
    ):
        if not given:
            raise ValueError(f"There are no {what}: give at least one.")
    if any(not isinstance(p, str) or not p.strip() for p in [*prompts, *(validation or [])]):
        raise ValueError("A prompt is blank: leave it out.")
    if validation is not None and set(validation) & set(prompts):
        raise ValueError("A validation prompt is also a tuning prompt: give others.")
    if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= 50:
        raise ValueError(f"steps must be a whole number from 1 to 50, not {steps!r}.")
    if not hasattr(pipe, "vae"):
        raise ValueError("Tuning needs the whole pipeline: it draws pictures to score them.")


def _start(start: Any, size: tuple[int, int], settings: Tuning) -> np.ndarray:
    """The initial free weights: `start`, averaged over the steps or blocks that share a weight."""
    w = np.ones(size) if start is None else np.asarray(start, dtype=np.float64)
    if w.shape != size or not np.isfinite(w).all() or w.min() < LOW or w.max() > HIGH:
        raise ValueError(f"The weights to start from are numbers from 0 to 2 of shape {size}.")
    if settings.one_number:
        return w.mean(keepdims=True)
    return w.mean(0, keepdims=True) if settings.static else w.copy()


def _pairs(prompts: list[str], validation: Sequence[str] | None, settings: Tuning) -> tuple[list[Pair], list[Pair]]:
    """(prompt, noise) pairs for tuning and for validation; no noise is in both."""
    prompts = list(dict.fromkeys(prompts))
    if validation is None:
        validation = prompts[3::4] or prompts
        prompts = [p for p in prompts if p not in validation] or prompts

    def spread(texts: Sequence[str], first: int) -> list[Pair]:
        first += settings.seed * 1000
        return [(p, first + j * len(texts) + i) for j in range(settings.noises) for i, p in enumerate(texts)]

    return spread(prompts, NOISE), spread(list(dict.fromkeys(validation)), VALIDATION_NOISE)


def _batch(pairs: list[Pair], settings: Tuning, iteration: int) -> list[Pair]:
    """The pairs of an iteration: in random order, every pair once before any repeats."""
    size = min(settings.batch, len(pairs))
    first = (iteration - 1) * size
    found = []
    for number in range(first, first + size):
        epoch, place = divmod(number, len(pairs))
        found.append(pairs[np.random.default_rng([settings.seed, epoch]).permutation(len(pairs))[place]])
    return found


def _validate(
    objective: Objective, free: np.ndarray, size: tuple[int, int], pairs: list[Pair], settings: Tuning, iteration: int,
    kept: dict[str, Any],
) -> None:  # fmt: skip
    """Evaluate the weights on the validation set, and keep them if they beat all earlier ones and vanilla."""
    weights = torch.tensor(np.broadcast_to(free, size).copy())
    together = settings.together
    with torch.no_grad():
        parts = [objective.worth(weights, pairs[i : i + together]) for i in range(0, len(pairs), together)]
        worth = Worth(*(torch.cat([getattr(p, name) for p in parts]) for name in ("gain", "match", "likeness")))
        value = float(worth.value(weights.to(worth.gain), settings))
    gains = worth.gain.double().cpu().numpy()
    gain, half = float(gains.mean()), float(1.96 * gains.std() / max(1, len(gains) - 1) ** 0.5)
    match, likeness = float(worth.match.mean()), float(worth.likeness.mean())
    kept["curve"] = [*kept["curve"], [iteration, value, gain, match, likeness]]
    if value > (kept["best"] or {"value": 0.0})["value"]:
        kept["best"] = {
            "free": np.asarray(free).tolist(), "value": value, "gain": gain, "low": gain - half, "high": gain + half,
            "match": match, "likeness": likeness, "iteration": iteration,
        }  # fmt: skip


def _stale(curve: list[list[float]], settings: Tuning) -> bool:
    values = [0.0, *(look[1] for look in curve)]
    return len(values) - 1 - int(np.argmax(values)) >= settings.patience


def _digest(pairs: Sequence[Pair]) -> str:
    return hashlib.sha256(json.dumps(list(pairs), ensure_ascii=False).encode()).hexdigest()
