"""The Importance Probe's random search as plain arrays (paper, Sec. III-C): settings, runs, acceptance, thresholds.

Shapes: R runs, T steps, C candidates, m blocks. w are weights, q thresholds, E energies, as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from ..schedule import SKIP_EPS
from .arguments import whole_number

Linear = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """Every constant of the probe. The defaults are those of the paper's public code (preset "paper-code").

    Important:
        name: recorded in the table as its method.
        runs: r, the number of independent searches that vote.
        iterations: of each run.
        bound: b_t, the largest perturbation of a weight, (first step, last step), linear over the T steps.
        tol: tol_t, the largest accepted MSE(teacher, student) on raw U-Net outputs, (first step, last step), linear.
        precision: None, or stop adding runs when the bootstrap interval of every score is narrower than this; `runs` is
            then the maximum.
        surrogate: estimate errors that are not near their tolerance by a linear approximation instead of evaluating them
            (see `Surrogate`).

    Tinker with:
        init: range of the uniform initial weights.
        candidates: perturbed weight sets per iteration and step.
        one_sided: perturb by U(-b_t, 0) instead of U(-b_t, b_t), so that the energy E(w) only falls.
        initial_energy: E_0 = E(the run's initial weights) instead of E_0 = m.
        must_improve: accept only candidates that are also fitter than the run's best.
        margin: thresholds move towards w - margin.
        accepted_high, accepted_mod, accepted_low: p_high, p_mod, p_low after an acceptance, (start, end), linear in
            e = (iteration + 1) / iterations.
        rejected_high, rejected_mod, rejected_low: the same after a rejection.
        off: 0, or (preset "calibrated", see `BypassRuns`) the probability that a candidate bypasses a block. Then only
            runs, iterations, candidates, precision and tol are used, and tol is the strictest and the most lenient
            tolerance at every step, as shares of the teacher's output power.

    Raises:
        ValueError: a constant is out of range; the message names it.
    """

    name: str = "paper-code"
    runs: int = 15
    iterations: int = 20
    bound: Linear = (0.02, 0.05)
    tol: Linear = (1e-4, 2e-4)
    init: Linear = (0.995, 1.0)
    candidates: int = 1
    one_sided: bool = False
    initial_energy: bool = False
    must_improve: bool = True
    margin: float = 0.01
    off: float = 0.0
    precision: float | None = None
    surrogate: bool = False
    accepted_high: Linear = (0.06, 0.06)
    accepted_mod: Linear = (0.47, 0.84)
    accepted_low: Linear = (0.47, 0.10)
    rejected_high: Linear = (0.48, 0.30)
    rejected_mod: Linear = (0.48, 0.66)
    rejected_low: Linear = (0.04, 0.04)

    def __post_init__(self) -> None:
        for name in ("runs", "iterations", "candidates"):
            object.__setattr__(self, name, whole_number(getattr(self, name), name, 1))
        for field in fields(self):
            if not isinstance(field.default, tuple):
                continue
            pair = tuple(float(value) for value in getattr(self, field.name))
            if len(pair) != 2 or not all(np.isfinite(value) and value >= 0 for value in pair):
                raise ValueError(f"{field.name} must be two finite numbers of at least 0, not {pair}.")
            object.__setattr__(self, field.name, pair)
        if not self.init[0] <= self.init[1] <= 1 or self.init[1] == 0:
            raise ValueError(f"init must be a range of weights within [0, 1] and above 0, not {self.init}.")
        for name in (field.name for field in fields(self) if field.name.startswith(("accepted_", "rejected_"))):
            if max(getattr(self, name)) > 1:
                raise ValueError(f"{name} must hold probabilities of at most 1, not {getattr(self, name)}.")
        if not 0 <= self.margin < 1:
            raise ValueError(f"margin must lie in [0, 1), not {self.margin!r}.")
        if not 0 <= self.off <= 1:
            raise ValueError(f"off must be a probability, not {self.off!r}.")
        if self.off and not 0 < self.tol[0] < self.tol[1]:
            raise ValueError(f"tol must be a range above 0 where blocks are switched off, not {self.tol}.")
        if self.surrogate and not self.allows_surrogate:
            raise ValueError(
                f"A surrogate cannot estimate the error of blocks that are switched off, as {self.name} does."
            )
        if self.precision is not None and not 0 < self.precision <= 1:
            raise ValueError(f"precision must lie in (0, 1], not {self.precision!r}.")

    @property
    def allows_surrogate(self) -> bool:
        """Whether candidates are small changes of the weights, for which a linear approximation is valid."""
        return not self.off

    def tolerances(self, T: int) -> np.ndarray:
        """(T,) tol_t."""
        return np.linspace(*self.tol, T)


PRESETS: dict[str, ProbeSettings] = {
    "paper-code": ProbeSettings(),
    "paper-text": ProbeSettings(
        name="paper-text",
        init=(0.99, 1.0),
        candidates=4,
        one_sided=True,
        initial_energy=True,
        must_improve=False,
        rejected_low=(0.0, 0.0),
    ),
    "calibrated": ProbeSettings(name="calibrated", off=0.15, tol=(1e-5, 1.0)),
}


def energy(w: np.ndarray) -> np.ndarray:
    """E(w) = sum of w_i^2 over the blocks: (..., m) -> (...)."""
    return np.square(w).sum(-1)


def fitness(w: np.ndarray, q: np.ndarray | float, E_0: np.ndarray) -> np.ndarray:
    """E_0 / E(w) + (1/m) sum [w_i < q_i] (Eq. 5): weights and thresholds (..., m) -> (...)."""
    with np.errstate(divide="ignore"):
        return E_0 / energy(w) + np.mean(w < q, axis=-1)


def update_thresholds(
    q: np.ndarray, w_used: np.ndarray, accepted: np.ndarray, e: float, settings: ProbeSettings
) -> np.ndarray:
    """q <- p_high * q/2 + p_mod * q + p_low * (w_used - margin), clipped to [0, 1] (Appendix).

    Args:
        q: (..., m) thresholds.
        w_used: (..., m) the accepted weights, or after a rejection the best ones.
        accepted: (...) bool.
        e: (iteration + 1) / iterations, in (0, 1].
        settings: the constants.
    """
    p_high, p_mod, p_low = (
        np.where(accepted[..., None], _at(e, if_accepted), _at(e, if_rejected))
        for if_accepted, if_rejected in (
            (settings.accepted_high, settings.rejected_high),
            (settings.accepted_mod, settings.rejected_mod),
            (settings.accepted_low, settings.rejected_low),
        )
    )
    return np.clip(p_high * q / 2 + p_mod * q + p_low * (w_used - settings.margin), 0, 1)


def _at(e: float, pair: Linear) -> float:
    start, end = pair
    return start + (end - start) * e


@dataclass(frozen=True)
class Candidates:
    """Perturbed weights of R runs for one iteration.

    w: (R, T, C, m). bypass: (R, T, C, m), where w + 1e-6 < q. fitness: (R, T, C). worth: (R, T, C), the candidates that
    can be accepted, so that their error is needed.
    """

    w: np.ndarray
    bypass: np.ndarray
    fitness: np.ndarray
    worth: np.ndarray


class Runs:
    """R runs that advance together: their best weights, thresholds and counters.

    Attributes:
        w_best: (R, T, m). q: (R, T, m). accepted: (R, T), the number of iterations that accepted a candidate.
        bypasses: (R,), how often an evaluated candidate bypassed a block. iterations: the number of completed iterations.
    """

    def __init__(self, streams: Sequence[np.random.SeedSequence], T: int, m: int, settings: ProbeSettings):
        self.settings = settings
        self.rngs = [np.random.default_rng(stream) for stream in streams]
        self.w_best = np.stack([rng.uniform(*settings.init, (T, m)) for rng in self.rngs])
        self.q = np.zeros_like(self.w_best)
        self.E_0 = energy(self.w_best) if settings.initial_energy else np.full((len(streams), T), float(m))
        self.accepted = np.zeros((len(streams), T), dtype=int)
        self.bypasses = np.zeros(len(streams), dtype=int)
        self.iterations = 0

    def ask(self) -> Candidates:
        """Draw the next iteration's candidates, each run from its own random stream: steps in order, then candidates."""
        s, T, m = self.settings, *self.q.shape[1:]
        b = np.linspace(*s.bound, T)[:, None, None]
        shape = (T, s.candidates, m)
        change = np.stack([rng.uniform(-b, 0 if s.one_sided else b, shape) for rng in self.rngs])
        w = np.clip(self.w_best[:, :, None] + change, 0, 1)
        q = self.q[:, :, None]
        fit = fitness(w, q, self.E_0[..., None])
        best = fitness(self.w_best, 0.0, self.E_0)  # with the skip rate of w = 1, which is 0
        worth = fit > best[..., None] if s.must_improve else np.ones(fit.shape, dtype=bool)
        return Candidates(w, w + SKIP_EPS < q, fit, worth)

    def tell(self, candidates: Candidates, loss: np.ndarray) -> None:
        """Accept the fittest candidate within tolerance, if there is one, and update the thresholds.

        Args:
            candidates: as returned by `ask`.
            loss: (R, T, C) MSE(teacher, student); ignored where `worth` is false.
        """
        s, T = self.settings, self.q.shape[1]
        tol = s.tolerances(T)[:, None]
        acceptable = candidates.worth & (loss <= tol)
        accepted = acceptable.any(-1)
        fittest = np.where(acceptable, candidates.fitness, -np.inf).argmax(-1)
        w = np.take_along_axis(candidates.w, fittest[..., None, None], axis=2)[:, :, 0]
        self.w_best = np.where(accepted[..., None], w, self.w_best)
        self.iterations += 1
        self.q = update_thresholds(self.q, self.w_best, accepted, self.iterations / s.iterations, s)
        self.accepted += accepted
        self.bypasses += (candidates.bypass & candidates.worth[..., None]).sum((1, 2, 3))


def bootstrap_means(scores: np.ndarray, seed: int, resamples: int = 1000) -> np.ndarray:
    """Means over bootstrap resamples of the runs: (R, ...) -> (resamples, ...)."""
    R = len(scores)
    shares = np.random.default_rng(seed).multinomial(R, np.full(R, 1 / R), size=resamples) / R
    return np.tensordot(shares, scores, axes=1)


def interval(means: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of the percentile bootstrap interval: (resamples, ...) -> two arrays (...)."""
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
