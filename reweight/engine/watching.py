"""The clean picture x0 that a model predicts at every denoising step, from one drawing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import torch
from PIL import Image

from ..methods.base import Drawing
from ..models.loading import LoadedModel
from .drawing import check_blocks, draw, drawing_of, stepping
from .events import Watched
from .job import Job
from .listening import decoded, listening
from .request import Request
from .resolving import Chosen


def watch(
    loaded: LoadedModel, request: Request, chosen: Chosen, columns: Sequence[str], job: Job, *, noisy: bool = False
) -> Generator[None, None, None]:
    """Emit the clean pictures that each column predicts at every step; yields between two columns."""
    check_blocks(loaded, chosen.scores)
    drawing = drawing_of(request, chosen, loaded)
    for i, column in enumerate(columns):
        if i:
            yield
        on_step = stepping(job, column, request.steps)
        job.emit(Watched(column, predictions(loaded, request, column, drawing, noisy=noisy, on_step=on_step)))


def predictions(
    loaded: LoadedModel, request: Request, column: str, drawing: Drawing, *, noisy: bool = False,
    on_step: Callable[[int], object] = lambda step: None,
) -> list[Image.Image]:  # fmt: skip
    """T pictures: the predicted clean picture x0 after each step, or with noisy=True the noisy latents, decoded.

    ValueError of one sentence for a scheduler that does not give x0.
    """
    latents: list[torch.Tensor] = []

    def heard(clean: torch.Tensor | None, now: torch.Tensor) -> None:
        if clean is None and not noisy:
            raise ValueError(
                "This model's scheduler does not give the clean picture that it predicts: choose another model."
            )
        latents.append(now if noisy else clean)

    draw(loaded, request, column, drawing, on_step=on_step, beside=listening(heard))
    order = getattr(loaded.pipe.scheduler, "order", 1)
    return decoded(loaded.pipe, latents[order - 1 :: order])
