"""The probe's speedup over the public code's loop order, with the same result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...models.loading import LoadedModel
from ...patching.blocks import target_blocks
from ...probing.ablation import agreement, sensitivity
from ...probing.importance_probe import iter_probe
from ...probing.probe_request import ProbeRequest, Trajectory
from ...probing.teacher import record_teacher
from ...schedule import importance_scores, vote
from ..overhead.peak_memory import peak
from . import public_loop

PUBLIC, SAME, ADAPTIVE = "public code's order", "ours, equal work", "ours, adaptive runs"
SURROGATE, BOTH = "ours, with a surrogate", "with a surrogate, adaptive runs"
CALIBRATED, CALIBRATED_ADAPTIVE = "calibrated", "calibrated, adaptive runs"
SCALED, BYPASSED = "directly, scaled by 2%", "directly, bypassed"
FULL = {  # for other presets: the public code's loop order
    CALIBRATED: CALIBRATED, CALIBRATED_ADAPTIVE: CALIBRATED, SCALED: BYPASSED, BYPASSED: BYPASSED,
}  # fmt: skip


@dataclass(frozen=True)
class Timing:
    """The measured cost of one way of probing.

    seconds: wall-clock time of each repetition. cpu: processor time of each. samples: U-Net samples evaluated.
    megabytes: peak memory, or None. runs: the number that voted, 0 if there is no vote. tau: Kendall's tau-b of its
    scores with those of the preset's full number of runs; for direct scaling, with those of bypassing.
    """

    name: str
    seconds: tuple[float, ...]
    cpu: tuple[float, ...]
    samples: int
    megabytes: float | None
    runs: int
    tau: float

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu,
            "unet_samples": self.samples,
            "peak_mb": self.megabytes,
            "runs": self.runs,
            "tau_b": self.tau,
        }


@dataclass(frozen=True)
class Comparison:
    """Timings in the order of measurement, the first of which is the public code's loop order.

    threshold_gap: the largest difference between its thresholds and ours with the same number of runs. same_votes:
    whether their votes are equal.
    """

    timings: tuple[Timing, ...]
    threshold_gap: float
    same_votes: bool

    def ratio(self, timing: Timing) -> float:
        """How many times faster than the public code's loop order, from medians of interleaved repetitions."""
        return float(np.median(self.timings[0].seconds) / np.median(timing.seconds))

    def as_json(self) -> dict[str, Any]:
        return {
            "timings": [timing.as_json() | {"ratio": self.ratio(timing)} for timing in self.timings],
            "threshold_gap": self.threshold_gap,
            "same_votes": self.same_votes,
        }


def compare(
    loaded: LoadedModel,
    prompt: str,
    *,
    steps: int,
    guidance: float,
    runs: int = 15,
    iterations: int = 20,
    precision: float = 0.3,
    seed: int = 42,
    repeats: int = 3,
    on_progress: Callable[[str, float], None] = lambda *_: None,
) -> Comparison:
    """Probe one prompt in each way, interleaved, `repeats` times: "paper-code" in both loop orders, "calibrated", direct.

    precision: of the adaptive runs, as in `iter_probe`. ValueError for fewer than 1 repetition.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, not {repeats}.")
    pipe = loaded.pipe
    m = len(target_blocks(pipe.unet))

    def public() -> _Found:
        teacher = record_teacher(pipe, Trajectory(prompt=prompt, steps=steps, seed=seed, guidance_scale=guidance))
        found = public_loop.search(teacher, m, runs=runs, iterations=iterations, seed=seed)
        return _Found(found.samples, _scores(found.thresholds, seed), found.thresholds)

    def ours(preset: str, **options: Any) -> _Found:
        *_, last = iter_probe(
            pipe,
            ProbeRequest.of(
                prompt, steps=steps, seed=seed, guidance_scale=guidance, preset=preset, runs=runs,
                iterations=iterations, **options,
            ),
        )  # fmt: skip
        return _Found(last.table.diagnostics["unet_samples"], _scores(last.thresholds, seed), last.thresholds)

    def directly(bypass: bool) -> _Found:
        calls: list[int] = []
        hook = pipe.unet.conv_in.register_forward_pre_hook(lambda _, args: calls.append(len(args[0])))
        with hook:
            damage = sensitivity(pipe, prompt, steps=steps, seed=seed, guidance_scale=guidance, bypass=bypass)
        return _Found(sum(calls), damage)

    ways = {
        PUBLIC: public,
        SAME: lambda: ours("paper-code"),
        SURROGATE: lambda: ours("paper-code", surrogate=True),
        ADAPTIVE: lambda: ours("paper-code", precision=precision),
        BOTH: lambda: ours("paper-code", precision=precision, surrogate=True),
        CALIBRATED: lambda: ours("calibrated"),
        CALIBRATED_ADAPTIVE: lambda: ours("calibrated", precision=precision),
        SCALED: lambda: directly(bypass=False),
        BYPASSED: lambda: directly(bypass=True),
    }
    record_teacher(pipe, Trajectory(prompt=prompt, steps=1, seed=seed, guidance_scale=guidance))  # warm-up
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    results: dict[str, Any] = {}
    for turn in range(repeats):
        for number, (name, way) in enumerate(ways.items()):
            on_progress(name, (turn * len(ways) + number) / (repeats * len(ways)))

            def timed(name: str = name, way: Callable[[], Any] = way) -> Any:
                wall, cpu = time.perf_counter(), time.process_time()
                found = way()
                taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
                return found

            results[name] = peak(timed, loaded.device)
    timings = tuple(
        Timing(
            name,
            *zip(*taken[name], strict=True),
            found.samples,
            megabytes,
            len(found.thresholds),
            agreement(found.scores, results[FULL.get(name, PUBLIC)][0].scores),
        )
        for name, (found, megabytes) in results.items()
    )
    theirs = results[PUBLIC][0].thresholds
    same = [results[name][0].thresholds for name in (SAME, SURROGATE)]
    gap = max(float(np.abs(theirs - q).max()) for q in same)
    return Comparison(timings, gap, all((vote(theirs, seed) == vote(q, seed)).all() for q in same))


@dataclass(frozen=True)
class _Found:
    """samples: U-Net samples. scores: (T, m). thresholds: (runs, T, m)."""

    samples: int
    scores: np.ndarray
    thresholds: np.ndarray = field(default_factory=lambda: np.empty(0))


def _scores(thresholds: np.ndarray, seed: int) -> np.ndarray:
    return importance_scores(vote(thresholds, seed), len(thresholds))
