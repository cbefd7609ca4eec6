"""The preset "calibrated": a block's threshold is the mean share of tolerances met while the block is bypassed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..schedule import SKIP_EPS
from .search import Candidates, ProbeSettings, fitness

DIGITS = 6  # of a share; further digits depend on the rest of the batch


class BypassRuns:
    """R runs that bypass random blocks and estimate a threshold for each block from the candidates that bypass it.

    Ours; it replaces the paper's update. A candidate bypasses a random set of blocks, each with probability `off` and
    at least one (w = 0, below its threshold); the others keep w = 1. Its share is the share of tolerances, log-uniform
    between the two of `tol` times the teacher's output power, that its error meets. q_i is the mean share of the
    candidates that bypass block i, a conditional expectation: high if the block is not needed. It is 1/2 until the
    first such candidate.

    Attributes:
        q: (R, T, m). accepted: (R, T), shares summed over the iterations. bypasses: (R,), how many times a candidate
        bypassed a block. iterations: the number of completed iterations.
    """

    def __init__(
        self, streams: Sequence[np.random.SeedSequence], T: int, m: int, settings: ProbeSettings, power: np.ndarray
    ):
        self.settings = settings
        self.rngs = [np.random.default_rng(stream) for stream in streams]
        self.tolerance = np.log(np.outer(settings.tol, power))  # (2, T)
        self.q = np.full((len(streams), T, m), 0.5)
        self.seen = np.zeros(self.q.shape, dtype=int)
        self.accepted = np.zeros(self.q.shape[:2])
        self.bypasses = np.zeros(len(streams), dtype=int)
        self.iterations = 0

    def ask(self) -> Candidates:
        """Draw the next iteration's candidates, each run from its own random stream: steps in order, then candidates."""
        T, m = self.q.shape[1:]
        u = np.stack([rng.random((T, self.settings.candidates, m)) for rng in self.rngs])
        off = u < np.maximum(self.settings.off, u.min(-1, keepdims=True) + SKIP_EPS)
        w = np.where(off, 0.0, 1.0)
        q = self.q[:, :, None]
        return Candidates(w, off, fitness(w, q, np.full(w.shape[:3], float(m))), np.ones(w.shape[:3], dtype=bool))

    def tell(self, candidates: Candidates, loss: np.ndarray) -> None:
        """Update the thresholds of the blocks that each candidate bypassed.

        Args:
            candidates: as returned by `ask`.
            loss: (R, T, C) MSE(teacher, student).
        """
        strict, lenient = self.tolerance
        with np.errstate(divide="ignore"):
            share = np.clip((lenient[:, None] - np.log(loss)) / (lenient - strict)[:, None], 0, 1)
        share = share.round(DIGITS)
        for c in range(loss.shape[-1]):
            off = candidates.bypass[:, :, c]
            self.seen += off
            step = (share[:, :, c, None] - self.q) / np.maximum(self.seen, 1)
            self.q = np.where(off, np.clip(self.q + step, 0, 1), self.q)
        self.iterations += 1
        self.accepted += share.mean(-1)
        self.bypasses += candidates.bypass.sum((1, 2, 3))
