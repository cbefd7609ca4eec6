"""The probe in the loop order of the paper's public code: one U-Net call per sample, teacher included every iteration.

Written independently of `probing`, with scalar loops, so that the two can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...patching.patch import BlockControl
from ...probing.teacher import Teacher

BOUND, TOL, MARGIN = (0.02, 0.05), (1e-4, 2e-4), 0.01
ACCEPTED = ((0.06, 0.06), (0.47, 0.84), (0.47, 0.10))  # p_high, p_mod, p_low, at e = 0 and e = 1
REJECTED = ((0.48, 0.30), (0.48, 0.66), (0.04, 0.04))


@dataclass(frozen=True)
class Searched:
    """thresholds: (r, T, m). samples: U-Net samples evaluated."""

    thresholds: np.ndarray
    samples: int


def search(teacher: Teacher, m: int, *, runs: int, iterations: int, seed: int) -> Searched:
    """The loop of METHOD sec. 3, preset "paper-code", on the inputs of a recorded teacher, which is evaluated again."""
    T, samples, thresholds = teacher.steps, 0, []
    with torch.inference_mode(), BlockControl(teacher.unet) as control:
        for stream in np.random.SeedSequence(seed).spawn(runs):
            rng = np.random.default_rng(stream)
            w_best, q = rng.uniform(0.995, 1.0, (T, m)), np.zeros((T, m))
            for iteration in range(iterations):
                e = (iteration + 1) / iterations
                for t in range(T):
                    control.set()
                    eps = _call(teacher, t)
                    b_t = _along(BOUND, t, T)
                    w = np.clip(w_best[t] + rng.uniform(-b_t, b_t, m), 0, 1)
                    control.set(w, w + 1e-6 < q[t])
                    loss = float((eps.float() - _call(teacher, t).float()).square().mean())
                    samples += 2 * teacher.k
                    fitness = m / float(np.sum(w * w)) + float(np.mean(w < q[t]))
                    best = m / float(np.sum(w_best[t] * w_best[t])) + float(np.mean(q[t] > 1.0))
                    accepted = loss <= _along(TOL, t, T) and fitness > best
                    if accepted:
                        w_best[t] = w
                    high, mod, low = (a + (b - a) * e for a, b in (ACCEPTED if accepted else REJECTED))
                    q[t] = np.clip(high * q[t] / 2 + mod * q[t] + low * (w_best[t] - MARGIN), 0, 1)
            thresholds.append(q)
    return Searched(np.array(thresholds), samples)


def _call(teacher: Teacher, t: int) -> Any:
    return teacher.unet(**teacher.inputs[t], return_dict=False)[0]


def _along(pair: tuple[float, float], t: int, T: int) -> float:
    return pair[0] if T == 1 else pair[0] + (pair[1] - pair[0]) * t / (T - 1)
