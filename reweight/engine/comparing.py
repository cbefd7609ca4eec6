"""The columns of a comparison or an edit, drawn one after the other; each picture is emitted to the job."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import nullcontext

from PIL import Image

from ..methods.base import Chosen, Drawing
from ..models.loading import LoadedModel
from .drawing import Start, check_blocks, draw, drawing_of, overlong, picture_of, stepping, with_tables
from .events import INVERSION, Notice, Picture, Preview
from .inversion import inverted
from .job import Job
from .pictures import Made, Pictures
from .request import REWEIGHTED, Request
from .watching import previews


def compare(
    loaded: LoadedModel, request: Request, chosen: Chosen, columns: Sequence[str], job: Job, pictures: Pictures, *,
    seeds: Sequence[int], preview: bool,
) -> Generator[None, None, None]:  # fmt: skip
    """Emit a `Picture` of each column for each seed; yields between two pictures. See `Engine.compare`."""
    check_blocks(loaded, chosen.scores)
    for text in overlong(loaded, request):
        job.emit(Notice(text))
    begun = False
    for seed in seeds:
        asked = request if seed == request.seed else request.model_copy(update={"seed": seed})
        for column in columns:
            if begun:
                yield
            begun = True
            job.emit(_picture(loaded, asked, column, chosen, job, pictures, preview))


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


def picture_event(made: Made, request: Request, column: str, chosen: Chosen, drawing: Drawing) -> Picture:
    """The event for a cached picture, with a copy of it."""
    used = (chosen.weight_table or chosen.table) if REWEIGHTED in column.split("+") else None
    return Picture(
        column, made.image.copy(), made.seconds, made.cached, request.seed, with_tables(drawing, request),
        used and used.sha256, made.reports,
    )  # fmt: skip


def _picture(
    loaded: LoadedModel, request: Request, column: str, chosen: Chosen, job: Job, pictures: Pictures, preview: bool
) -> Picture:
    job.check()
    drawing = drawing_of(request, chosen, loaded)

    def shown(step: int, image: Image.Image) -> None:
        job.emit(Preview(column, request.seed, step, image))

    beside = previews(loaded.pipe, request.steps, shown) if preview else lambda pipe: nullcontext()
    made = picture_of(pictures, loaded, request, column, drawing, stepping(job, column, request.steps), beside)
    return picture_event(made, request, column, chosen, drawing)
