"""The objective of tuning: the paired difference in score from vanilla (same noise), minus penalties."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..scoring.scorer import DifferentiableScorer, ImageFeatures, Scorer
from .differentiable_sampling import Pair, Sampling, pictures
from .tuning_settings import Tuning


class NotFinite(ValueError):
    """The scorer or the model gave a value that is not finite."""


@dataclass(frozen=True)
class Worth:
    """Measurements of n pictures, tensors (n,). gain: score minus vanilla's. match: cosine with the prompt minus
    vanilla's, if the scorer gives it. likeness: similarity with vanilla, 1 for the same picture."""

    gain: Tensor
    match: Tensor
    likeness: Tensor

    def value(self, weights: Tensor, settings: Tuning) -> Tensor:
        """The objective: gain - trust (w-1)^2 - hold (loss of match) - (shortfall of likeness below the floor).

        Match and likeness are averaged over the pictures before they are penalised.
        """
        value = self.gain.mean() - settings.trust * ((weights - 1) ** 2).mean()
        value = value - settings.hold * (-self.match.mean()).clamp_min(0)
        if settings.floor is not None:
            value = value - (settings.floor - self.likeness.mean()).clamp_min(0)
        return value


@dataclass(frozen=True)
class _Vanilla:
    score: float
    match: float
    features: Tensor | None
    picture: Tensor  # uint8


class Objective:
    """Draws with weights, scores, and compares with vanilla, which is drawn once for each (prompt, noise).

    drawn: the number of pictures drawn, including vanilla's.
    """

    def __init__(
        self, pipe: Any, scorer: Scorer, sampling: Sampling, settings: Tuning, check: Callable[[], object]
    ) -> None:
        self.pipe, self.scorer, self.sampling, self.settings, self.check = pipe, scorer, sampling, settings, check
        self.drawn = 0
        self._vanilla: dict[Pair, _Vanilla] = {}

    def worth(self, weights: Tensor, pairs: Sequence[Pair]) -> Worth:
        """Measurements of weights (T, k), or of (n, T, k) for n pairs, in one call of the pipeline."""
        known = self.vanilla(pairs)
        vanilla = [known[pair] for pair in pairs]
        made = pictures(self.pipe, pairs, self.sampling, weights, per=self.settings.per, check=self.check)
        self.drawn += len(pairs)
        score, match, features = self._look(made, pairs)
        base = torch.tensor([v.score for v in vanilla], dtype=score.dtype, device=score.device)
        base_match = torch.tensor([v.match for v in vanilla], dtype=match.dtype, device=match.device)
        return Worth(score - base, match - base_match, self._likeness(made, features, vanilla).to(score.device))

    def vanilla(self, pairs: Sequence[Pair]) -> dict[Pair, _Vanilla]:
        """The unpatched pictures by pair, drawn first if they are missing."""
        missing = [pair for pair in dict.fromkeys(pairs) if pair not in self._vanilla]
        for i in range(0, len(missing), self.settings.together):
            part = missing[i : i + self.settings.together]
            with torch.no_grad():
                made = pictures(self.pipe, part, self.sampling, check=self.check)
                score, match, features = self._look(made, part)
            self.drawn += len(part)
            kept = (made * 255).round().to(torch.uint8).cpu()
            for j, pair in enumerate(part):
                seen = None if features is None else features[j]
                self._vanilla[pair] = _Vanilla(float(score[j]), float(match[j]), seen, kept[j])
        return self._vanilla

    def _look(self, made: Tensor, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor, Tensor | None]:
        prompts = [prompt for prompt, _ in pairs]
        if isinstance(self.scorer, DifferentiableScorer):
            score, match, features = self.scorer.look(made, prompts)
        else:
            images = as_images(made)
            score = torch.as_tensor(np.asarray(self.scorer.score(images, prompts), dtype=np.float64))
            match, seen = torch.zeros_like(score), isinstance(self.scorer, ImageFeatures)
            features = torch.as_tensor(self.scorer.features(images)) if seen else None
        if not torch.isfinite(score.detach()).all():
            i = int(torch.nonzero(~torch.isfinite(score.detach()))[0])
            raise NotFinite(
                f"The score of “{prompts[i][:80]}” is not a finite number: try another scorer, float32, or a stronger "
                "trust in weights near 1."
            )
        return score, match, features

    def _likeness(self, made: Tensor, features: Tensor | None, vanilla: Sequence[_Vanilla]) -> Tensor:
        if self.settings.likeness == "features":
            if features is None:
                raise ValueError("This scorer has no image features: choose likeness='ssim'.")
            return (features * torch.stack([v.features for v in vanilla])).sum(1)
        from torchmetrics.functional.image import structural_similarity_index_measure

        base = torch.stack([v.picture for v in vanilla]).to(made.device).float() / 255
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.settings.floor is not None):
            return structural_similarity_index_measure(made.float(), base, data_range=1.0, reduction="none")


def as_images(made: Tensor) -> list[Image.Image]:
    """Pictures (n, 3, h, w) in [0, 1] as PIL images, for scorers that do not take tensors."""
    pixels = (made.detach() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(picture) for picture in pixels]
