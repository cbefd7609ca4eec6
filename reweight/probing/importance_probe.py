"""The Importance Probe (paper, Sec. III-C): which Transformer block can be weakened at which step, by random search."""

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

FEWEST_RUNS = 4  # below this a bootstrap over the runs says nothing


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
    check: Callable[[], object] | None = None,
    resume: str | os.PathLike[str] | None = None,
    **options: Any,
) -> ImportanceTable:
    """Run the Importance Probe to its end (paper, Sec. III-C and III-D).

    Args:
        pipe: a diffusers text-to-image pipeline with a `unet`; left as it was.
        prompt: the prompt to probe.
        steps: T, 1 to 50.
        on_progress: called with a `ProbeSnapshot` after each iteration.
        check: as of `iter_probe`.
        resume: as of `iter_probe`.
        **options: preset, runs, iterations, candidates, precision and surrogate, as of `ProbeRequest.of`; seed, images,
            guidance_scale, negative_prompt, height, width, batch_size, model and revision, as in `ProbeRequest`.

    Returns:
        The table of scores, (T, m). Its diagnostics: acceptance_rate, over all iterations and steps, and
        acceptance_rate_per_step, (T,); bypasses_fired, how often an evaluated candidate bypassed a block;
        runs_completed; vote_spread, (T, m), the bootstrap standard deviation of the scores over the runs; interval_low
        and interval_high, (T, m), their 95% bootstrap interval, all of [1/m, 1] for a single run; unet_samples, the
        U-Net samples that these runs and the teacher took.

    Raises:
        ValueError: a blank prompt, an unknown preset or a number out of range; or as `iter_probe`.
        FloatingPointError: as `iter_probe`.
        OSError: as `iter_probe`.
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

    Between two snapshots the pipeline carries no patch and its own scheduler, so the generator can be closed, or left,
    at any time; the last snapshot's table is what a stopped probe knows. A partial run counts in it only while no run
    has finished. Teacher and student are the same U-Net, and the teacher is evaluated once a step. A candidate that
    must improve on the best fitness and does not is rejected unevaluated, and none is evaluated twice, which changes no
    result.

    Args:
        pipe: a diffusers text-to-image pipeline with a `unet`.
        request: the prompt, its trajectory, and how to search.
        check: called before every U-Net call; what it raises stops the probe there.
        resume: a file that is kept up to date after each iteration, and from which the same probe goes on to the same
            table wherever it was killed. If a later write fails, the probe goes on without it.

    Raises:
        ValueError: at once, for a pipeline without a U-Net; while running, if the file to resume from is damaged,
            another probe's or none.
        FloatingPointError: while running, if the model's output or a student's error is NaN or infinite; it names the
            step and the block.
        OSError: while running, before the first snapshot, if the file to resume from cannot be read or created.
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
    """What counts of each run: q (r, T, m), accepted (r, T) rates, bypasses (r,)."""

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
    """All runs, or the fewest of them whose scores are as precise as asked, and whether they are."""
    runs = finished + more
    for n in range(max(FEWEST_RUNS, len(finished.q) + 1), len(runs.q) + 1) if precision else ():
        low, high = interval(bootstrap_means(_scores(runs.q[:n], seed), seed))
        if (high - low < precision).all():
            return runs.first(n), True
    return runs, False


def _scores(q: np.ndarray, seed: int) -> np.ndarray:
    """(r, T, m) each run's share of the scores, its ties as they fall among all runs, from thresholds of that shape."""
    votes = np.stack([vote(q[: i + 1], seed) for i in range(len(q))])  # of the first run, of the first two, ...
    return np.diff(votes, axis=0, prepend=0) / q.shape[-1]


def _table(known: _Tally, completed: int, samples: int, about: dict[str, Any]) -> ImportanceTable:
    """Vote, score (Eq. 6) and diagnostics of the runs that count."""
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
