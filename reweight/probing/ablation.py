"""Direct sensitivity: the U-Net's error when one block is scaled or bypassed at one denoising step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import numpy as np

from ..patching.blocks import as_unet, target_blocks
from .arguments import checked_batch_size
from .probe_request import Trajectory
from .teacher import check_pipeline, record_teacher

EXACT, DRAWS = 7, 5000  # blocks whose permutations are all tried; random permutations of more


def sensitivity(
    pipe: Any,
    prompt: str,
    *,
    steps: int,
    h: float = 0.02,
    bypass: bool = False,
    batch_size: int | None = None,
    check: Callable[[], object] | None = None,
    **trajectory: Any,
) -> np.ndarray:
    """Error of the U-Net's raw output when one block is changed at one step, all other weights 1 (METHOD sec. 8).

    The trajectory and the error are the probe's: deterministic DDIM, both guidance halves, float32.

    Args:
        pipe: a diffusers text-to-image pipeline with a `unet`; unchanged on return.
        prompt: the prompt to measure.
        steps: T, 1 to 50.
        h: each block is scaled by 1 - h and by 1 + h, and the two errors are averaged; in (0, 1].
        bypass: bypass each block instead of scaling it.
        batch_size: maximum number of U-Net samples in one call (default: enough to keep the device busy).
        check: called before every U-Net call; an exception that it raises stops the measurement.
        **trajectory: seed, images, guidance_scale, negative_prompt, height and width, as in `Trajectory`.

    Returns:
        (T, m) mean squared errors, float64; larger is more important.

    Raises:
        ValueError: a blank prompt, a number out of range, or a pipeline without a U-Net.
        FloatingPointError: the model's output or an error is NaN or infinite.
    """
    check_pipeline(pipe)
    asked = Trajectory(prompt=prompt, steps=steps, **trajectory)
    batch_size = checked_batch_size(batch_size)
    if not 0 < h <= 1:
        raise ValueError(f"h must lie in (0, 1], not {h!r}.")
    m = len(target_blocks(as_unet(pipe)))
    teacher = record_teacher(pipe, asked, check)
    one_block = np.eye(m)  # (m, m)
    weights = np.ones((1, m, m)) if bypass else np.stack([1 - h * one_block, 1 + h * one_block])  # (signs, m, m)
    signs = len(weights)
    w = np.tile(weights.reshape(-1, m), (asked.steps, 1))  # (T * signs * m, m)
    skip = np.tile(one_block.astype(bool), (asked.steps, 1)) if bypass else None
    errors = teacher.losses(np.repeat(np.arange(asked.steps), signs * m), w, skip, batch_size)
    return errors.reshape(asked.steps, signs, m).mean(1)


def agreement(scores: np.ndarray, sensitivity: np.ndarray) -> float:
    """Kendall's tau-b between two (T, m) tables, per step over the blocks, averaged over the steps.

    1 is the same order, -1 the opposite. A step in which all blocks of either table are equal counts as 0.

    Args:
        scores: (T, m) importance scores, such as `table.scores`.
        sensitivity: (T, m) errors from `sensitivity`.

    Raises:
        ValueError: different shapes, or a value that is not finite.
    """
    return float(agreement_by_step(scores, sensitivity).mean())


def agreement_by_step(scores: np.ndarray, sensitivity: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of each step over the blocks, (T,), whose mean is `agreement`. Arguments and errors are its."""
    dx, dy, pairs = _signs(scores, sensitivity)
    return (dx * dy).sum((1, 2)) / pairs


def agreement_p(scores: np.ndarray, sensitivity: np.ndarray) -> float:
    """Two-sided p of `agreement` if the blocks of one table were in random order: a permutation test.

    The steps of one prompt are not independent, so every permutation of the blocks holds for all steps at once. Up to
    7 blocks the test is exact; with more, it draws 5000 permutations with a fixed seed. Arguments and errors are those
    of `agreement`.
    """
    dx, dy, pairs = _signs(scores, sensitivity)
    dx, m = dx / pairs[:, None, None], dx.shape[-1]
    exact = m <= EXACT
    orders = np.array(list(permutations(range(m)))) if exact else _random_orders(m)  # (n, m)
    i, j = np.triu_indices(m, 1)
    half = dy[:, i, j]  # (T, pairs)
    found = np.concatenate([np.einsum("tnp,tp->n", dx[:, some[:, i], some[:, j]], half) for some in _parts(orders)])
    extreme = int((np.abs(found) >= abs((dx[:, i, j] * half).sum()) - 1e-9).sum())
    return extreme / len(orders) if exact else (extreme + 1) / (len(orders) + 1)


def _random_orders(m: int) -> np.ndarray:
    return np.random.default_rng(0).permuted(np.tile(np.arange(m), (DRAWS, 1)), axis=1)


def _parts(orders: np.ndarray) -> Iterator[np.ndarray]:
    return (orders[k : k + 500] for k in range(0, len(orders), 500))


def _signs(scores: np.ndarray, sensitivity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The order of each pair of blocks in both tables, (T, m, m) each, and tau-b's denominator at each step, (T,)."""
    x, y = np.asarray(scores, dtype=float), np.asarray(sensitivity, dtype=float)
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(f"Both tables must be (steps, blocks), but they are {x.shape} and {y.shape}.")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("A table has a value that is not a finite number.")
    dx, dy = (np.sign(one[:, :, None] - one[:, None, :]) for one in (x, y))
    pairs = np.sqrt((dx**2).sum((1, 2)) * (dy**2).sum((1, 2)))
    return dx, dy, np.where(pairs, pairs, 1.0)


def without(steps: int, m: int) -> tuple[np.ndarray, list[tuple[int, int | None]]]:
    """Bypass masks of an ablation study, (n, T, m) bool, and the (block, step) of each; step None: at all steps.

    First no block, then each block at all steps, then each block at each single step.
    """
    which: list[tuple[int, int | None]] = [(i, None) for i in range(m)]
    if steps > 1:
        which += [(i, t) for t in range(steps) for i in range(m)]
    off = np.zeros((1 + len(which), steps, m), dtype=bool)
    for n, (i, t) in enumerate(which, 1):
        off[n, slice(None) if t is None else t, i] = True
    return off, which
