"""The probe's errors foreseen: near w = 1 the U-Net's output is as good as linear in its block weights.

Ours. With J_t the derivatives of the raw output by the m weights at w = 1, the error of a student is
L(w) = (1 - w)^T G_t (1 - w), where G_t = J_t^T J_t / (elements of the output). The search only asks whether an error is
within tolerance, so a candidate whose foreseen error is far enough from it need not be evaluated.
"""

from __future__ import annotations

import numpy as np

from .teacher import Teacher

H = 0.05  # the change of one weight that stands for a derivative
CHECKS = 8  # students a step whose errors, foreseen at the very tolerance, are measured
SAFETY = 8  # how many times the largest miss among them an error must be from its tolerance
LEAST = 0.05  # of that distance, in the logarithm
MOST = 0.3  # such a miss, of a factor of 1.35, and nothing is foreseen at that step
TINY = np.finfo(float).tiny


class Surrogate:
    """Foresees the errors of one teacher's students, and knows how far it may be trusted.

    Attributes:
        gram: (T, m, m) the matrices G_t.
        margin: (T,) how far the logarithm of a foreseen error must be from that of the tolerance; infinite where nothing
            can be foreseen.
        students: how many were evaluated to know this, T * (m + CHECKS).
    """

    def __init__(self, teacher: Teacher, m: int, tol: np.ndarray, *, seed: int, batch_size: int | None = None):
        """Measure it. tol: (T,) the errors that count. seed: of the students that check it.

        FloatingPointError, as of `Teacher.losses`, where an output or an error is not finite.
        """
        T = teacher.steps
        self.tol, self.students = np.maximum(tol, TINY), T * (m + CHECKS)
        J: list[list[np.ndarray]] = [[] for _ in range(T)]  # of each step m rows, (elements,)
        step, one_block = np.repeat(np.arange(T), m), np.tile(1 - H * np.eye(m), (T, 1))  # (T * m, m)
        for _, steps, eps_hat in teacher.students(step, one_block, None, batch_size):
            for t, changed in zip(steps, eps_hat.split(teacher.k), strict=True):
                J[t].append(((teacher.eps[t].float() - changed.float()) / H).flatten().cpu().numpy())
        self.gram = np.stack([np.inner(rows, rows) / len(rows[0]) for rows in np.asarray(J, dtype=float)])
        if not np.isfinite(self.gram).all():
            teacher.losses(step, one_block, None, batch_size)  # raises
        step = np.repeat(np.arange(T), CHECKS)
        fall = np.random.default_rng(seed).random((T * CHECKS, m))
        fall *= np.sqrt(self.tol[step] / np.maximum(self._quadratic(step, fall), TINY))[:, None]
        w = np.clip(1 - fall, 0, 1)
        errors = np.maximum(teacher.losses(step, w, None, batch_size), TINY)
        missed = np.abs(np.log(errors / self.foreseen(step, w))).reshape(T, CHECKS).max(1)
        self.margin = np.where(missed < MOST, np.maximum(SAFETY * missed, LEAST), np.inf)

    def foreseen(self, step: np.ndarray, w: np.ndarray) -> np.ndarray:
        """(n,) errors of students at steps (n,) with weights (n, m)."""
        return np.maximum(self._quadratic(step, 1 - w), TINY)

    def sure(self, step: np.ndarray, w: np.ndarray, bypass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) whether it is sure on which side of its tolerance each error is, and (n,) the errors foreseen.

        Never of a student that bypasses a block, (n, m), which is no small change.
        """
        errors = self.foreseen(step, w)
        return (np.abs(np.log(errors / self.tol[step])) > self.margin[step]) & ~bypass.any(-1), errors

    def _quadratic(self, step: np.ndarray, fall: np.ndarray) -> np.ndarray:
        return np.einsum("ni,nij,nj->n", fall, self.gram[step], fall)
