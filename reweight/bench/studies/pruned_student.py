"""Prunes blocks at chosen steps, and fine-tunes the remaining U-Net (paper Sec. III-G)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from ...engine.drawing import draw
from ...engine.request import validate
from ...methods.base import Drawing
from ...models.loading import LoadedModel
from ...patching.patch import BlockControl, bypassed, captured
from ...scoring import ImageFeatures, distance, feature_cosine, lpips
from ..stats.frechet import frechet

LEARNING_SEED = 10_000  # of the first training noise; evaluation uses other seeds


@dataclass(frozen=True)
class Likeness:
    """Similarity of a pruned model's pictures with the whole model's, over n seeds: mean and standard deviation of each.

    mse: for pixels in [0, 1]. frechet: distance of the scorer's image features from the whole model's, None if the
    scorer has none; with fewer pictures than features it is too large, so compare it only at the same n. cosine: of the
    same features. lpips: None if not requested.
    """

    n: int
    mse: tuple[float, float]
    ssim: tuple[float, float]
    cosine: tuple[float, float] | None
    frechet: float | None
    lpips: tuple[float, float] | None = None


def fine_tuned(
    pipe: Any, mask: np.ndarray, prompt: str, *, guidance: float, epochs: int, batch: int, rate: float,
    on_progress: Callable[[float], object] = lambda done: None,
) -> nn.Module:  # fmt: skip
    """A copy of the pipeline's U-Net, fine-tuned to work without the blocks of a mask, bool (T, m).

    Each epoch draws the latents of `batch` pictures with the student, from new noise, and at each denoising step updates
    the parameters of its `attentions` by Adam at `rate`, to reduce the mean squared error of its output from the
    teacher's at the same input. The student starts as a copy of the teacher; in the paper's public code it starts, by
    mistake, from random weights. The pipeline is unchanged. FloatingPointError if the error is not finite.
    """
    teacher, steps = pipe.unet, len(mask)
    student = copy.deepcopy(teacher).requires_grad_(False)
    learned = [p.requires_grad_(True) for name, p in student.named_parameters() if "attentions." in name]
    optimizer = torch.optim.Adam(learned, lr=rate)
    for epoch in range(epochs):
        on_progress(epoch / epochs)
        with in_place(pipe, student), captured(pipe) as calls, bypassed(pipe, mask):
            first = LEARNING_SEED + epoch * batch
            pipe(
                prompt, num_inference_steps=steps, guidance_scale=guidance, num_images_per_prompt=batch,
                output_type="latent",
                generator=[torch.Generator().manual_seed(seed) for seed in range(first, first + batch)],
            )  # fmt: skip
        for skip, call in zip(mask, calls, strict=True):
            with torch.no_grad():
                goal = teacher(*call.args, **call.kwargs)[0]
            with BlockControl(student) as control:
                control.set(skip=skip)
                loss = F.mse_loss(student(*call.args, **call.kwargs)[0], goal)
            if not torch.isfinite(loss):
                raise FloatingPointError("The student's error is not a number: choose a lower learning rate.")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return student.requires_grad_(False)


def pictures(
    loaded: LoadedModel, prompt: str, seeds: Sequence[int], *, steps: int, guidance: float,
    mask: np.ndarray | None = None, unet: nn.Module | None = None, batch: int = 8,
) -> list[Image.Image]:  # fmt: skip
    """A picture for each seed, bypassing the blocks of a mask (T, m); unet: used instead of the pipeline's."""
    card = loaded.card
    request = validate(card, prompt=prompt, model=card.key, steps=steps, guidance=guidance)
    column, drawing = "vanilla", Drawing(steps, guidance, card.family)
    if mask is not None:
        column, drawing = "reweighted", replace(drawing, weights=np.ones(mask.shape), bypass=mask)
    made = []
    with in_place(loaded.pipe, unet or loaded.pipe.unet):
        for i in range(0, len(seeds), batch):
            made += draw(loaded, request, column, drawing, seeds=seeds[i : i + batch]).images
    return made


def likeness(
    made: Sequence[Image.Image], whole: Sequence[Image.Image], scorer: Any = None, lpips_on: str | None = None
) -> Likeness:
    """Similarity of pictures with the whole model's of the same seeds, in pairs and, by the scorer's features, as sets.

    lpips_on: the device for LPIPS, see `lpips`; None omits it.
    """
    pairs = list(zip(made, whole, strict=True))
    errors = [np.square((np.asarray(a, float) - np.asarray(b, float)) / 255).mean() for a, b in pairs]
    cosine = far = None
    if isinstance(scorer, ImageFeatures):
        cosine = _spread(feature_cosine(made, whole, scorer))
        reference = scorer.features(whole).astype(np.float64)
        far = frechet(scorer.features(made).astype(np.float64), reference.mean(0), np.cov(reference, rowvar=False))
    felt = None if lpips_on is None else _spread(lpips(made, whole, lpips_on))
    return Likeness(len(pairs), _spread(errors), _spread([distance(a, b).ssim for a, b in pairs]), cosine, far, felt)


@contextmanager
def in_place(pipe: Any, unet: nn.Module) -> Iterator[None]:
    """The pipeline with another U-Net; its own is restored on exit."""
    own = pipe.unet
    pipe.unet = unet
    try:
        yield
    finally:
        pipe.unet = own


def _spread(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values))
