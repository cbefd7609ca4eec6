"""Reads the scheduler and the guidance layout from a pipeline at each U-Net call."""

from __future__ import annotations

import copy
from typing import Any


class Source:
    """The pipeline that a context was entered with, or a bare U-Net.

    A deep copy of the pipeline gets a source that reads the copy. A deep copy of only the U-Net shares the source, so
    that the rest of the pipeline is not copied.
    """

    def __init__(self, pipe_or_unet: Any, scheduler: Any = None, guidance_parts: int | None = None) -> None:
        """scheduler, guidance_parts: used instead of the pipeline's."""
        self._pipe = pipe_or_unet
        self._scheduler = scheduler
        self._guidance_parts = guidance_parts

    @property
    def scheduler(self) -> Any:
        """The scheduler in use now; None if there is none."""
        return getattr(self._pipe, "scheduler", None) if self._scheduler is None else self._scheduler

    @property
    def knows_steps(self) -> bool:
        """Whether there is a scheduler, or a pipeline that may have one when it is called."""
        return self._scheduler is not None or hasattr(self._pipe, "scheduler")

    @property
    def guidance_parts(self) -> int:
        """How many times a U-Net call's batch repeats the samples; 1 without guidance."""
        return guidance_parts(self._pipe) if self._guidance_parts is None else self._guidance_parts

    def __deepcopy__(self, memo: dict[int, Any]) -> Source:
        if id(self._pipe) not in memo:
            return self
        return Source(memo[id(self._pipe)], copy.deepcopy(self._scheduler, memo), self._guidance_parts)


def guidance_parts(pipe: Any) -> int:
    """How many times a diffusers pipeline repeats its samples in the batch of a U-Net call.

    2 with classifier-free guidance; 3 with InstructPix2Pix's image guidance; one more with perturbed-attention guidance.
    1 for a pipeline without guidance or with separate calls for it, and for a bare U-Net.
    """
    guided = bool(getattr(pipe, "do_classifier_free_guidance", False))
    by_picture = guided and hasattr(type(pipe), "image_guidance_scale")
    perturbed = bool(getattr(pipe, "do_perturbed_attention_guidance", False))
    return 1 + guided + by_picture + perturbed
