"""The preset "calibrated": runs whose thresholds are each block's share of tolerances that the picture survives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..schedule import SKIP_EPS
from .search import Candidates, ProbeSettings, fitness

DIGITS = 6  # of a share: those after them depend on what else was in the batch


class BypassRuns:
    """R runs that switch blocks off at random and learn a threshold from each candidate that bypassed the block.

    Ours, in the place of the paper's update. A candidate is a set of blocks, each off (w = 0) with probability `off`
    and at least one of them; a block that is off lies under its threshold and is bypassed, the others stay at w = 1.
    A candidate passes the share of the tolerances between the two of `tol` times the teacher's output power, evenly
    spread over the logarithm, that its error meets. q_i is the mean share of the candidates that bypassed block i, a
    conditional expectation: high where the block is not missed. It starts at 1/2, which the first evidence replaces.

    Attributes:
        q: (R, T, m). accepted: (R, T) shares passed, summed over the iterations. bypasses: (R,) times a candidate
        bypassed a block. iterations: how many have ended.
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
        """Draw the next iteration's candidates: each run from its own stream, steps in order, then candidates."""
        T, m = self.q.shape[1:]
        u = np.stack([rng.random((T, self.settings.candidates, m)) for rng in self.rngs])
        off = u < np.maximum(self.settings.off, u.min(-1, keepdims=True) + SKIP_EPS)
        w = np.where(off, 0.0, 1.0)
        q = self.q[:, :, None]
        return Candidates(w, off, fitness(w, q, np.full(w.shape[:3], float(m))), np.ones(w.shape[:3], dtype=bool))

    def tell(self, candidates: Candidates, loss: np.ndarray) -> None:
        """Move the thresholds of the blocks that each candidate bypassed.

        Args:
            candidates: what `ask` returned.
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
