"""What a context reads from its pipeline at each U-Net call: the scheduler, and how guidance lays out the batch."""

from __future__ import annotations

import copy
from typing import Any


class Source:
    """The pipeline that a context was entered with, or a U-Net alone.

    A deep copy of the pipeline gets a source that reads the copy. A deep copy of the U-Net alone shares the source, so
    that it does not drag the rest of the pipeline along.
    """

    def __init__(self, pipe_or_unet: Any, scheduler: Any = None, guidance_parts: int | None = None) -> None:
        """scheduler, guidance_parts: used in place of the pipeline's own."""
        self._pipe = pipe_or_unet
        self._scheduler = scheduler
        self._guidance_parts = guidance_parts

    @property
    def scheduler(self) -> Any:
        """The scheduler in use at this moment, None where there is none."""
        return getattr(self._pipe, "scheduler", None) if self._scheduler is None else self._scheduler

    @property
    def knows_steps(self) -> bool:
        """Whether there is a scheduler, or a pipeline that may have one by the time of a call."""
        return self._scheduler is not None or hasattr(self._pipe, "scheduler")

    @property
    def guidance_parts(self) -> int:
        """How many parts, each of all samples, the batch of a U-Net call holds: 1 without guidance."""
        return guidance_parts(self._pipe) if self._guidance_parts is None else self._guidance_parts

    def __deepcopy__(self, memo: dict[int, Any]) -> Source:
        if id(self._pipe) not in memo:
            return self
        return Source(memo[id(self._pipe)], copy.deepcopy(self._scheduler, memo), self._guidance_parts)


def guidance_parts(pipe: Any) -> int:
    """How many times a diffusers pipeline's running call repeats its samples in one U-Net call.

    2 under classifier-free guidance; 3 where InstructPix2Pix guides by a picture too; one more under perturbed-attention
    guidance. 1 for a pipeline that guides in separate calls or not at all, and for a U-Net alone.
    """
    guided = bool(getattr(pipe, "do_classifier_free_guidance", False))
    by_picture = guided and hasattr(type(pipe), "image_guidance_scale")
    perturbed = bool(getattr(pipe, "do_perturbed_attention_guidance", False))
    return 1 + guided + by_picture + perturbed
