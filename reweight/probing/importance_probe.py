"""The Importance Probe (paper, Sec. III-C): a random search for blocks that can be weakened at each denoising step."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch

from ..patching.blocks import as_unet, target_blocks
from ..schedule import ImportanceTable, importance_scores, vote
from .calibrated import BypassRuns
from .loss_cache import Ledger
from .probe_request import ProbeRequest
from .search import ProbeSettings, Runs, bootstrap_means, interval
from .surrogate import Surrogate
from .teacher import Teacher, check_pipeline, record_teacher

FEWEST_RUNS = 4  # for a bootstrap over the runs


@dataclass(frozen=True)
class ProbeSnapshot:
    """A probe's results after an iteration.

    Attributes:
        run: index of the current run (the first of those that advance together).
        iteration: index of the iteration that has just ended.
        done: share of the whole probe, in (0, 1].
        runs_completed: the number of finished runs.
        thresholds: (runs in the table, T, m), their thresholds q.
        table: the importance table of the finished runs; until one has finished, of the partial ones.
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
    check: Callable[[], object] | None = None,
    resume: str | os.PathLike[str] | None = None,
    **options: Any,
) -> ImportanceTable:
    """Run the Importance Probe to its end (paper, Sec. III-C and III-D).

    Args:
        pipe: a diffusers text-to-image pipeline with a `unet`; unchanged on return.
        prompt: the prompt to probe.
        steps: T, 1 to 50.
        on_progress: called with a `ProbeSnapshot` after each iteration.
        check: as in `iter_probe`.
        resume: as in `iter_probe`.
        **options: preset, runs, iterations, candidates, precision and surrogate, as in `ProbeRequest.of`; seed, images,
            guidance_scale, negative_prompt, height, width, batch_size, model and revision, as in `ProbeRequest`.

    Returns:
        The table of scores, (T, m). Its diagnostics: acceptance_rate, over all iterations and steps, and
        acceptance_rate_per_step, (T,); bypasses_fired, how often an evaluated candidate bypassed a block;
        runs_completed; vote_spread, (T, m), the bootstrap standard deviation of the scores over the runs; interval_low
        and interval_high, (T, m), their 95% bootstrap interval, [1/m, 1] for a single run; unet_samples, the number of
        U-Net samples evaluated for these runs and the teacher.

    Raises:
        ValueError: a blank prompt, an unknown preset or a number out of range; or as in `iter_probe`.
        FloatingPointError: as in `iter_probe`.
        OSError: as in `iter_probe`.
    """
    check_pipeline(pipe)
    for snapshot in iter_probe(pipe, ProbeRequest.of(prompt, steps=steps, **options), check=check, resume=resume):
        if on_progress is not None:
            on_progress(snapshot)
    return snapshot.table


def iter_probe(
    pipe: Any,
    request: ProbeRequest,
    *,
    check: Callable[[], object] | None = None,
    resume: str | os.PathLike[str] | None = None,
) -> Iterator[ProbeSnapshot]:
    """The Importance Probe as a generator: one snapshot after each iteration.

    Between snapshots the pipeline is unpatched and has its own scheduler, so the generator can be closed, or abandoned,
    at any time; the last snapshot has the table of the stopped probe. Partial runs count only while no run has
    finished. Teacher and student are the same U-Net, and the teacher is evaluated once for each step. A candidate that
    must improve on the best fitness and does not is rejected without evaluation, and none is evaluated twice; neither
    changes the result.

    Args:
        pipe: a diffusers text-to-image pipeline with a `unet`.
        request: the prompt, its trajectory and the settings of the search.
        check: called before every U-Net call; an exception that it raises stops the probe.
        resume: a checkpoint file, updated after each iteration, from which the same probe resumes to the same table.
            If a later write fails, the probe continues without it.

    Raises:
        ValueError: at once, for a pipeline without a U-Net; while running, if the checkpoint is damaged or belongs to
            another probe.
        FloatingPointError: while running, if the model's output or a student's error is NaN or infinite; it names the
            step and the block.
        OSError: while running, before the first snapshot, if the checkpoint cannot be read or created.
    """
    check_pipeline(pipe)
    blocks = target_blocks(as_unet(pipe))

    def snapshots() -> Iterator[ProbeSnapshot]:
        teacher = record_teacher(pipe, request, check)
        settings = request.settings
        about = {
            "blocks": tuple(block.label for block in blocks),
            "model": request.model,
            "revision": request.revision,
            "scheduler": "DDIMScheduler",
            "steps": request.steps,
            "seed": request.seed,
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt or "",
            "guidance_scale": teacher.guidance_scale,
            "method": f"probe:{settings.name}",
            "settings": asdict(settings)
            | {
                "images": request.images,
                "latent": list(teacher.eps[0].shape[1:]),
                "dtype": str(teacher.eps[0].dtype).removeprefix("torch."),
            },
            "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__, "numpy": np.__version__},
        }
        ledger = Ledger(
            teacher, request.batch_size, about,
            (settings.runs, settings.iterations, request.steps, settings.candidates),
            None if resume is None else Path(resume), _surrogate(teacher, len(blocks), request),
        )  # fmt: skip
        yield from _search(ledger, settings, about)

    return snapshots()


def _surrogate(teacher: Teacher, m: int, request: ProbeRequest) -> Surrogate | None:
    if not request.settings.surrogate:
        return None
    tol = request.settings.tolerances(teacher.steps)
    return Surrogate(teacher, m, tol, seed=request.seed, batch_size=request.batch_size)


def _search(ledger: Ledger, settings: ProbeSettings, about: dict[str, Any]) -> Iterator[ProbeSnapshot]:
    teacher, m, r = ledger.teacher, len(about["blocks"]), settings.runs
    streams = np.random.SeedSequence(about["seed"]).spawn(r)
    batch_size = ledger.batch_size or teacher.batch_size
    together = max(1, batch_size // (teacher.steps * teacher.k * settings.candidates))
    finished = _Tally.none(teacher.steps, m)
    for run in range(0, r, together):
        current = _start(streams[run : run + together], teacher, m, settings)
        for iteration in range(settings.iterations):
            candidates = current.ask()
            current.tell(candidates, ledger.losses(run, iteration, candidates))
            ended = current.iterations == settings.iterations
            enough = False
            if ended:
                finished, enough = _until_precise(finished, _Tally.of(current), settings.precision, about["seed"])
            completed = len(finished.q)
            if ended or not completed:
                known = finished if completed else _Tally.of(current)
                samples = teacher.k * (teacher.steps + ledger.measured(len(known.q)))
                table = _table(known, completed, samples, about)
            done = (run * settings.iterations + len(current.q) * (iteration + 1)) / (r * settings.iterations)
            yield ProbeSnapshot(run, iteration, 1.0 if enough else done, completed, known.q, table)
            if enough:
                return


def _start(
    streams: list[np.random.SeedSequence], teacher: Teacher, m: int, settings: ProbeSettings
) -> Runs | BypassRuns:
    if settings.off:
        return BypassRuns(streams, teacher.steps, m, settings, teacher.power)
    return Runs(streams, teacher.steps, m, settings)


@dataclass(frozen=True)
class _Tally:
    """Results of r runs: thresholds q (r, T, m), acceptance rates (r, T), bypasses (r,)."""

    q: np.ndarray
    accepted: np.ndarray
    bypasses: np.ndarray

    @classmethod
    def none(cls, T: int, m: int) -> _Tally:
        return cls(np.empty((0, T, m)), np.empty((0, T)), np.empty(0, dtype=int))

    @classmethod
    def of(cls, runs: Runs | BypassRuns) -> _Tally:
        return cls(runs.q, runs.accepted / runs.iterations, runs.bypasses)

    def __add__(self, other: _Tally) -> _Tally:
        return _Tally(*(np.concatenate(pair) for pair in zip(vars(self).values(), vars(other).values(), strict=True)))

    def first(self, n: int) -> _Tally:
        return _Tally(*(values[:n] for values in vars(self).values()))


def _until_precise(finished: _Tally, more: _Tally, precision: float | None, seed: int) -> tuple[_Tally, bool]:
    """The first runs that reach the requested precision, or all of them, and whether it is reached."""
    runs = finished + more
    for n in range(max(FEWEST_RUNS, len(finished.q) + 1), len(runs.q) + 1) if precision else ():
        low, high = interval(bootstrap_means(_scores(runs.q[:n], seed), seed))
        if (high - low < precision).all():
            return runs.first(n), True
    return runs, False


def _scores(q: np.ndarray, seed: int) -> np.ndarray:
    """Each run's contribution to the scores, (r, T, m), from thresholds of that shape; ties as in the vote of all runs."""
    votes = np.stack([vote(q[: i + 1], seed) for i in range(len(q))])  # of the first run, of the first two, ...
    return np.diff(votes, axis=0, prepend=0) / q.shape[-1]


def _table(known: _Tally, completed: int, samples: int, about: dict[str, Any]) -> ImportanceTable:
    """The importance table: votes, scores (Eq. 6) and diagnostics of the given runs."""
    seed, r, m = about["seed"], len(known.q), known.q.shape[-1]
    means = bootstrap_means(_scores(known.q, seed), seed)
    low, high = interval(means) if r > 1 else (np.full(means.shape[1:], 1 / m), np.ones(means.shape[1:]))
    diagnostics = {
        "acceptance_rate": float(known.accepted.mean()),
        "acceptance_rate_per_step": known.accepted.mean(0).tolist(),
        "bypasses_fired": int(known.bypasses.sum()),
        "runs_completed": completed,
        "vote_spread": means.std(0).tolist(),
        "interval_low": low.tolist(),
        "interval_high": high.tolist(),
        "unet_samples": samples,
    }
    scores = importance_scores(vote(known.q, seed), r)
    return ImportanceTable(scores=scores, runs=r, diagnostics=diagnostics, **about)
