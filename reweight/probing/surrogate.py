"""Estimates candidates' errors by a linear approximation of the U-Net's output in its block weights, near w = 1.

Ours. With J_t the derivatives of the raw output by the m weights at w = 1, the error of a student is approximately
L(w) = (1 - w)^T G_t (1 - w), where G_t = J_t^T J_t / (elements of the output). The search only needs to know whether an
error is within tolerance, so a candidate whose estimate is far from the tolerance need not be evaluated.
"""

from __future__ import annotations

import numpy as np

from .teacher import Teacher

FD_STEP = 0.05  # finite-difference step of one weight
CHECK_STUDENTS = 8  # per step: students at the tolerance, whose errors are measured to check the estimates
SAFETY_FACTOR = 8  # an estimate must differ from its tolerance by this many times their largest log error
MIN_MARGIN = 0.05  # and by at least this much, on the log scale
MAX_LOG_ERROR = 0.3  # a factor of 1.35: steps with larger log errors are measured without estimates
TINY = np.finfo(float).tiny


class Surrogate:
    """Estimates the errors of one teacher's students, and decides which estimates are reliable.

    Attributes:
        gram: (T, m, m), the matrices G_t.
        margin: (T,), how far the log of an estimate must be from the log of the tolerance; infinite at steps where the
            approximation is not valid.
        students: how many were evaluated to construct this, T * (m + CHECK_STUDENTS).
    """

    def __init__(self, teacher: Teacher, m: int, tol: np.ndarray, *, seed: int, batch_size: int | None = None):
        """Measure the derivatives and check the estimates. tol: (T,) tolerances. seed: the check students'.

        FloatingPointError, as in `Teacher.losses`, if an output or an error is not finite.
        """
        T = teacher.steps
        self.tol, self.students = np.maximum(tol, TINY), T * (m + CHECK_STUDENTS)
        J: list[list[np.ndarray]] = [[] for _ in range(T)]  # for each step m rows (elements,)
        step, one_block = np.repeat(np.arange(T), m), np.tile(1 - FD_STEP * np.eye(m), (T, 1))  # (T * m, m)
        for _, steps, eps_hat in teacher.students(step, one_block, None, batch_size):
            for t, changed in zip(steps, eps_hat.split(teacher.k), strict=True):
                J[t].append(((teacher.eps[t].float() - changed.float()) / FD_STEP).flatten().cpu().numpy())
        self.gram = np.stack([np.inner(rows, rows) / len(rows[0]) for rows in np.asarray(J, dtype=float)])
        if not np.isfinite(self.gram).all():
            teacher.losses(step, one_block, None, batch_size)  # raises
        step = np.repeat(np.arange(T), CHECK_STUDENTS)
        fall = np.random.default_rng(seed).random((T * CHECK_STUDENTS, m))
        fall *= np.sqrt(self.tol[step] / np.maximum(self._quadratic(step, fall), TINY))[:, None]
        w = np.clip(1 - fall, 0, 1)
        errors = np.maximum(teacher.losses(step, w, None, batch_size), TINY)
        log_error = np.abs(np.log(errors / self.estimate(step, w))).reshape(T, CHECK_STUDENTS).max(1)
        self.margin = np.where(log_error < MAX_LOG_ERROR, np.maximum(SAFETY_FACTOR * log_error, MIN_MARGIN), np.inf)

    def estimate(self, step: np.ndarray, w: np.ndarray) -> np.ndarray:
        """(n,) estimated errors of students at steps (n,) with weights (n, m)."""
        return np.maximum(self._quadratic(step, 1 - w), TINY)

    def decided(self, step: np.ndarray, w: np.ndarray, bypass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) whether each estimate is further from its tolerance than the margin, and (n,) the estimates.

        bypass: (n, m). A student that bypasses a block must always be evaluated, because that is not a small change.
        """
        errors = self.estimate(step, w)
        return (np.abs(np.log(errors / self.tol[step])) > self.margin[step]) & ~bypass.any(-1), errors

    def _quadratic(self, step: np.ndarray, fall: np.ndarray) -> np.ndarray:
        return np.einsum("ni,nij,nj->n", fall, self.gram[step], fall)
