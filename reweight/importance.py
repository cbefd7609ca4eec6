"""The Importance Probe (paper, Sec. III-C): which Transformer block can be weakened at which step, by random search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import diffusers
import numpy as np
import torch

from .blocks import as_unet, target_blocks
from .schedule import ImportanceTable, importance_scores, vote
from .search import PRESETS, Candidates, ProbeSettings, Runs, bootstrap_spread
from .teacher import Teacher, check_batch_size, check_request, record_teacher


@dataclass(frozen=True)
class ProbeSnapshot:
    """What a probe knows after an iteration.

    Attributes:
        run: 0-based number of the run under way (the first of those that advance together).
        iteration: 0-based iteration that has just ended.
        done: share of the whole probe, in (0, 1].
        runs_completed: runs that have finished.
        thresholds: (runs counted in the table, T, m) their thresholds q.
        table: the importance of the finished runs; while none has finished, of the partial ones.
    """

    run: int
    iteration: int
    done: float
    runs_completed: int
    thresholds: np.ndarray
    table: ImportanceTable


def probe(
    pipe: Any,
    prompt: str,
    *,
    steps: int,
    on_progress: Callable[[ProbeSnapshot], object] | None = None,
    **options: Any,
) -> ImportanceTable:
    """Run the Importance Probe to its end (paper, Sec. III-C and III-D).

    Args:
        pipe: a diffusers text-to-image pipeline with a `unet`; left as it was.
        prompt: the prompt to probe.
        steps: T.
        on_progress: called with a `ProbeSnapshot` after each iteration.
        **options: the other arguments of `iter_probe`.

    Returns:
        The table of scores, (T, m). Its diagnostics: acceptance_rate, over all iterations and steps, and
        acceptance_rate_per_step, (T,); bypasses_fired, how often an evaluated candidate bypassed a block;
        runs_completed; vote_spread, (T, m), the bootstrap standard deviation of the scores over the runs; unet_samples,
        all U-Net samples evaluated, the teacher's included.

    Raises:
        ValueError: as `iter_probe`.
        FloatingPointError: as `iter_probe`.
    """
    for snapshot in iter_probe(pipe, prompt, steps=steps, **options):
        if on_progress is not None:
            on_progress(snapshot)
    return snapshot.table


def iter_probe(
    pipe: Any,
    prompt: str,
    *,
    steps: int,
    preset: str | ProbeSettings = "paper-code",
    runs: int | None = None,
    iterations: int | None = None,
    seed: int = 42,
    guidance_scale: float | None = None,
    negative_prompt: str | None = None,
    height: int | None = None,
    width: int | None = None,
    batch_size: int | None = None,
    model: str = "",
    revision: str | None = None,
) -> Iterator[ProbeSnapshot]:
    """The Importance Probe as a generator: one snapshot after each iteration.

    Between two snapshots the pipeline carries no patch and its own scheduler, so the generator can be closed, or left,
    at any time; the last snapshot's table is what a stopped probe knows. A partial run counts in it only while no run
    has finished. Teacher and student are the same U-Net, and the teacher is evaluated once a step. A candidate that
    must improve on the best fitness and does not is rejected unevaluated, which changes no result.

    Args:
        pipe: a diffusers text-to-image pipeline with a `unet`.
        prompt: the prompt to probe.
        steps: T, 1 to 50.
        preset: a name in `PRESETS`, or settings of your own.
        runs: replaces the preset's runs.
        iterations: replaces the preset's iterations.
        seed: of the initial noise, of every run's own random stream, and of the vote.
        guidance_scale: None leaves the pipeline's default.
        negative_prompt: used only under guidance.
        height: pixels; None leaves the pipeline's default.
        width: pixels; None leaves the pipeline's default.
        batch_size: the most U-Net samples in one call (default: the T steps of one run). Runs whose candidates fit in
            one batch together advance together. The finished table does not depend on it, unless an error meets its
            tolerance to the last bits.
        model: recorded in the table.
        revision: recorded in the table.

    Raises:
        ValueError: at once, for a blank prompt, steps out of range, an unknown preset, runs, iterations or batch_size
            below 1, or a pipeline without a U-Net.
        FloatingPointError: while running, if the model's output or a student's error is NaN or infinite.
    """
    settings = _settings(preset, runs, iterations)
    check_request(pipe, prompt, steps, seed)
    check_batch_size(batch_size)
    blocks = target_blocks(as_unet(pipe))

    def snapshots() -> Iterator[ProbeSnapshot]:
        teacher = record_teacher(
            pipe, prompt, steps=steps, seed=seed, guidance_scale=guidance_scale, negative_prompt=negative_prompt,
            height=height, width=width,
        )  # fmt: skip
        about = {
            "blocks": tuple(block.label for block in blocks),
            "model": model,
            "revision": revision,
            "scheduler": "DDIMScheduler",
            "steps": steps,
            "seed": seed,
            "prompt": prompt,
            "negative_prompt": negative_prompt or "",
            "guidance_scale": teacher.guidance_scale,
            "method": f"probe:{settings.name}",
            "settings": asdict(settings)
            | {"latent": list(teacher.eps[0].shape[1:]), "dtype": str(teacher.eps[0].dtype).removeprefix("torch.")},
            "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__, "numpy": np.__version__},
        }
        yield from _search(teacher, settings, batch_size, about)

    return snapshots()


def _settings(preset: str | ProbeSettings, runs: int | None, iterations: int | None) -> ProbeSettings:
    if not isinstance(preset, ProbeSettings):
        if preset not in PRESETS:
            raise ValueError(f"There is no preset {preset!r}: choose one of {', '.join(PRESETS)}.")
        preset = PRESETS[preset]
    changes = {"runs": runs, "iterations": iterations}
    return replace(preset, **{name: value for name, value in changes.items() if value is not None})


def _search(
    teacher: Teacher, settings: ProbeSettings, batch_size: int | None, about: dict[str, Any]
) -> Iterator[ProbeSnapshot]:
    T, m, r = teacher.steps, len(about["blocks"]), settings.runs
    streams = np.random.SeedSequence(about["seed"]).spawn(r)
    together = max(1, (batch_size or 0) // (T * teacher.halves * settings.candidates))
    finished: list[Runs] = []
    for run in range(0, r, together):
        current = Runs(streams[run : run + together], T, m, settings)
        for iteration in range(settings.iterations):
            candidates = current.propose()
            current.settle(candidates, _losses(teacher, candidates, batch_size))
            if current.iterations == settings.iterations:
                finished.append(current)
            known = finished or [current]
            completed = sum(len(runs.q) for runs in finished)
            done = (run * settings.iterations + len(current.q) * (iteration + 1)) / (r * settings.iterations)
            yield ProbeSnapshot(
                run, iteration, done, completed,
                thresholds=np.concatenate([runs.q for runs in known]),
                table=_table(known, completed, teacher.samples, about),
            )  # fmt: skip


def _losses(teacher: Teacher, candidates: Candidates, batch_size: int | None) -> np.ndarray:
    """(R, T, C) errors of the candidates that are worth evaluating, infinite for the others."""
    worth = candidates.worth
    losses = np.full(worth.shape, np.inf)
    _, step, _ = np.nonzero(worth)
    losses[worth] = teacher.losses(step, candidates.w[worth], candidates.bypass[worth], batch_size)
    return losses


def _table(known: list[Runs], completed: int, samples: int, about: dict[str, Any]) -> ImportanceTable:
    """Vote, score (Eq. 6) and diagnostics of the runs that count."""
    seed = about["seed"]
    q = np.concatenate([runs.q for runs in known])  # (r, T, m)
    r = len(q)
    votes = np.stack([vote(q[: i + 1], seed) for i in range(r)])  # (r, T, m) of the first run, of the first two, ...
    own_votes = np.diff(votes, axis=0, prepend=0)  # what each run adds, its ties as they fell among all runs
    accepted = sum(runs.accepted.sum(0) for runs in known)  # (T,)
    tried = sum(len(runs.q) * runs.iterations for runs in known)
    diagnostics = {
        "acceptance_rate": float(accepted.mean() / tried),
        "acceptance_rate_per_step": (accepted / tried).tolist(),
        "bypasses_fired": int(sum(runs.bypasses.sum() for runs in known)),
        "runs_completed": completed,
        "vote_spread": bootstrap_spread(own_votes / q.shape[-1], seed).tolist(),
        "unet_samples": samples,
    }
    return ImportanceTable(scores=importance_scores(votes[-1], r), runs=r, diagnostics=diagnostics, **about)
