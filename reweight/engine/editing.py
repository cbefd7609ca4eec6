"""Image to image: each column of methods drawn from the same source picture and noise."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence

from ..methods.base import Chosen
from ..models.loading import LoadedModel
from .drawing import Start, draw, drawing_of, stepping, with_tables
from .events import INVERSION, Picture
from .inversion import inverted
from .job import Job
from .request import Request


def edit(
    loaded: LoadedModel, request: Request, chosen: Chosen, start: Start, columns: Sequence[str], job: Job
) -> Generator[None, None, None]:
    """Emit a `Picture` of each column, drawn from `start`; yields between two pictures. See `Engine.edit`."""
    running = start.running(request.steps)
    drawing = drawing_of(request, chosen, loaded)
    begin = inverted(loaded, request, start, stepping(job, INVERSION, request.steps))
    for n, column in enumerate(columns):
        if n:
            yield
        on_step = stepping(job, column, len(running))
        began = time.perf_counter()
        drawn = draw(loaded, request, column, drawing, on_step=on_step, start=begin)
        seconds = time.perf_counter() - began
        shown = with_tables(drawing, request)
        job.emit(Picture(column, drawn.images[0], seconds, False, request.seed, shown, None, drawn.reports))
