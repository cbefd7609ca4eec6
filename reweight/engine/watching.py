"""The clean picture x0 that a model predicts at every denoising step, from the film of a picture's drawing."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from ..models.loading import LoadedModel
from .drawing import check_blocks, drawing_of, filmed, stepping
from .events import Watched
from .job import Job
from .pictures import Pictures
from .request import Request
from .resolving import Chosen


def watch(
    loaded: LoadedModel, request: Request, chosen: Chosen, columns: Sequence[str], job: Job, pictures: Pictures, *,
    noisy: bool = False,
) -> Generator[None, None, None]:  # fmt: skip
    """Emit the clean pictures that each column predicts at every step; yields between two columns.

    A picture that was drawn before is not drawn again as long as its film is kept. noisy: the noisy latents instead.
    """
    check_blocks(loaded, chosen.scores)
    drawing = drawing_of(request, chosen, loaded)
    for i, column in enumerate(columns):
        if i:
            yield
        job.check()
        key = Pictures.key(loaded, request, column, drawing)
        film = pictures.film(key)
        drawn = film is None
        if film is None:
            _, film = filmed(pictures, key, loaded, request, column, drawing, stepping(job, column, request.steps))
        job.emit(Watched(column, film.pictures(loaded.pipe, noisy=noisy), drawn))
