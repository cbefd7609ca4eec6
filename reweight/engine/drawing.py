"""The only code that draws pictures: a column of methods on the pipeline, on the calling thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..methods.base import Chosen, Drawing, Report
from ..methods.columns import parts
from ..models.folder import ModelError, out_of_memory
from ..models.loading import LoadedModel
from ..patching.blocks import target_blocks
from .events import Notice, Picture, Preview, Step
from .fallbacks import NotFinite, check_finite, in_float32, sentences, sliced_attention
from .films import Film, Recorder
from .job import Job
from .listening import Heard, listening, previews
from .pictures import Key, Made, Pictures
from .request import REWEIGHTED, Request, RequestError


@dataclass(frozen=True)
class Start:
    """Image-to-image input: the source picture, at the request's size, and the denoising strength, in (0, 1].

    described: the picture's caption, if it is to be inverted (see `engine.inversion`); then every step runs. noise: the
    latents found by inversion, from which every column starts.
    """

    image: Image.Image
    strength: float
    described: str | None = None
    noise: torch.Tensor | None = None

    def running(self, steps: int) -> range:
        """The denoising steps that run, counted from 1. ValueError of one sentence if there is none."""
        if self.described is not None:
            return range(1, steps + 1)
        count = min(int(steps * self.strength), steps)
        if count < 1:
            raise ValueError(
                f"With {steps} steps and strength {self.strength:g} no step is left to run: raise one of them."
            )
        return range(steps - count + 1, steps + 1)


@dataclass(frozen=True)
class Drawn:
    """Pictures, in the order of their seeds, and the report of each method of the column.

    pixels: the pictures before rounding to 1/255, (n, height, width, 3) in [0, 1].
    """

    images: list[Image.Image]
    reports: dict[str, Report]
    pixels: np.ndarray


def drawing_of(request: Request, chosen: Chosen, loaded: LoadedModel) -> Drawing:
    """The `Drawing` of a request, from which methods compute. RequestError if the scores do not fit the request."""
    request.check(chosen.scores)
    blocks = target_blocks(loaded.pipe.unet)
    return Drawing(request.steps, request.guidance, loaded.card.family, chosen=chosen, blocks=blocks, seed=request.seed)


def with_tables(drawing: Drawing, request: Request) -> Drawing:
    """The drawing with its weights and bypass computed. RequestError if that is not possible."""
    try:
        weights, bypass = request.reweighting.tables(drawing)
    except ValueError as error:
        raise RequestError(str(error)) from error
    return replace(drawing, weights=weights, bypass=bypass, chosen=None, blocks=())


def picture_of(
    pictures: Pictures, loaded: LoadedModel, request: Request, column: str, drawing: Drawing,
    on_step: Callable[[int], object] = lambda step: None,
    hears: Callable[[Any], Sequence[Heard]] = lambda pipe: (),
) -> Made:  # fmt: skip
    """The picture of a request and a column, from the cache or `filmed`, whose other arguments these are."""
    key = Pictures.key(loaded, request, column, drawing)
    return pictures.alone(key) or filmed(pictures, key, loaded, request, column, drawing, on_step, hears)[0]


def filmed(
    pictures: Pictures, key: Key, loaded: LoadedModel, request: Request, column: str, drawing: Drawing,
    on_step: Callable[[int], object],
    hears: Callable[[Any], Sequence[Heard]] = lambda pipe: (),
) -> tuple[Made, Film]:  # fmt: skip
    """Draw a picture alone and keep it under its key, with the film of its steps.

    on_step: as for `draw`. hears: what else hears the steps of a pipeline.
    """
    recorder = Recorder()

    def beside(pipe: Any) -> AbstractContextManager[Any]:
        return listening(recorder.begin(pipe), *hears(pipe))(pipe)

    start = time.perf_counter()
    drawn = draw(loaded, request, column, drawing, on_step=on_step, beside=beside)
    made, film = Made(drawn.images[0], time.perf_counter() - start, reports=drawn.reports), recorder.film()
    pictures.keep(key, made)
    pictures.keep_film(key, film)
    return made, film


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
            job.emit(_compared(loaded, asked, column, chosen, job, pictures, preview))


def picture_event(made: Made, request: Request, column: str, chosen: Chosen, drawing: Drawing) -> Picture:
    """The event for a cached picture, with a copy of it."""
    used = (chosen.weight_table or chosen.table) if REWEIGHTED in column.split("+") else None
    return Picture(
        column, made.image.copy(), made.seconds, made.cached, request.seed, with_tables(drawing, request),
        used and used.sha256, made.reports,
    )  # fmt: skip


def draw(
    loaded: LoadedModel,
    request: Request,
    column: str = "vanilla",
    drawing: Drawing | None = None,
    *,
    prompts: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    on_step: Callable[[int], object] = lambda step: None,
    beside: Callable[[Any], AbstractContextManager[Any]] = lambda pipe: nullcontext(),
    start: Start | None = None,
) -> Drawn:
    """The pictures of a request and a column (see `methods.columns`). Vanilla is never patched.

    drawing: as made by `drawing_of`; weights of shape (n, T, m) make n pictures. prompts, seeds: n of them instead of
    the request's one, for a batch of n pictures. on_step: called with the number of each finished step, from 1; an
    exception that it raises stops the drawing and is passed on. beside: a context for the pipeline, entered after the
    methods' own. start: a source picture; then only the last steps run, each with its own row of weights.
    If a model in half precision overflows, it draws again in float32; if memory runs out, again with sliced attention;
    both from the same noise, up to rounding. ModelError of one sentence if that fails too, or if the model's safety
    checker hides a picture.
    """
    drawing = drawing or Drawing(request.steps, request.guidance, loaded.card.family)
    counts = {len(given) for given in (prompts, seeds) if given is not None}
    if drawing.weights is not None and drawing.weights.ndim == 3:
        counts.add(len(drawing.weights))
    if len(counts) > 1:
        raise ValueError(
            f"There are {' and '.join(map(str, sorted(counts)))} prompts, seeds or weight tables: give as many of each."
        )
    n = max(counts, default=1)
    drawing = replace(drawing, samples=n)
    work = _Work(prompts or [request.prompt] * n, seeds or [request.seed] * n, on_step, beside, start)
    with sentences():
        try:
            return _drawn(loaded, request, column, drawing, work)
        except NotFinite:
            if loaded.dtype != "float16":
                raise
            fallback = in_float32
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            fallback = sliced_attention
        with fallback(loaded.pipe):
            return _drawn(loaded, request, column, drawing, work)


@contextmanager
def applied(pipe: Any, column: str, settings: Mapping[str, Any], drawing: Drawing) -> Iterator[dict[str, Report]]:
    """Apply every method of a column to a pipeline and yield their reports; undone in reverse order."""
    with ExitStack() as stack:
        yield {
            method.key: stack.enter_context(method.apply(pipe, settings[method.key], drawing))
            for method in parts(column)
        }


def stepping(job: Job, column: str, steps: int) -> Callable[[int], None]:
    """A callback for `draw` that emits a `Step` event after each step and stops a cancelled job."""

    def on_step(step: int) -> None:
        job.step()
        job.emit(Step(column, step, steps))

    return on_step


def check_blocks(loaded: LoadedModel, scores: np.ndarray) -> None:
    """ValueError of one sentence if scores or weights (T, m) are for another number of blocks."""
    m = len(target_blocks(loaded.pipe.unet))
    if scores.ndim != 2 or scores.shape[1] != m:
        raise ValueError(
            f"The importance table has shape {scores.shape}, but the model has {m} blocks: probe it again."
        )


def overlong(loaded: LoadedModel, request: Request) -> Iterator[str]:
    """A sentence for each prompt that is too long for the text encoder."""
    tokenizer = loaded.pipe.tokenizer
    limit = tokenizer.model_max_length
    texts = {"prompt": request.prompt, "negative prompt": request.negative_prompt if request.guidance > 1 else ""}
    for name, text in texts.items():
        count = len(tokenizer(text, truncation=False, verbose=False).input_ids)
        if count > limit:
            yield f"The {name} has {count} tokens and the text encoder reads {limit}: the end is ignored."


@dataclass(frozen=True)
class _Work:
    prompts: Sequence[str]
    seeds: Sequence[int]
    on_step: Callable[[int], object]
    beside: Callable[[Any], AbstractContextManager[Any]]
    start: Start | None = None


def _compared(
    loaded: LoadedModel, request: Request, column: str, chosen: Chosen, job: Job, pictures: Pictures, preview: bool
) -> Picture:
    job.check()
    drawing = drawing_of(request, chosen, loaded)

    def shown(step: int, image: Image.Image) -> None:
        job.emit(Preview(column, request.seed, step, image))

    def hears(pipe: Any) -> list[Heard]:
        return [previews(pipe, request.steps, shown)] if preview else []

    made = picture_of(pictures, loaded, request, column, drawing, stepping(job, column, request.steps), hears)
    return picture_event(made, request, column, chosen, drawing)


def _drawn(loaded: LoadedModel, request: Request, column: str, drawing: Drawing, work: _Work) -> Drawn:
    pipe, n = loaded.pipe, len(work.seeds)
    if work.start is None:
        begin: dict[str, Any] = {"height": request.size, "width": request.size}
    elif work.start.noise is not None:
        begin = {"height": request.size, "width": request.size, "latents": work.start.noise.clone()}
    else:
        work.start.running(request.steps)
        pipe = _from_pictures(pipe)
        begin = {"image": work.start.image, "strength": work.start.strength}

    def step_end(_pipe: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        check_finite(torch.isfinite(tensors["latents"]).all())
        with torch.enable_grad():  # other jobs may have a turn here, and some need gradients
            work.on_step(step + 1)
        return tensors

    alike = len(set(work.prompts)) == 1
    negative = (request.negative_prompt or None) if alike else [request.negative_prompt] * n
    prompts = work.prompts[0] if alike else list(work.prompts)
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in work.seeds]
    with applied(pipe, column, request.methods, drawing) as reports, work.beside(pipe):
        result = pipe(
            **loaded.texts.encoded(pipe, prompts, negative, request.guidance),
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            **begin,
            num_images_per_prompt=n if alike else 1,
            generator=generators if n > 1 else generators[0],
            callback_on_step_end=step_end,
            output_type="np",
        )
    if any(getattr(result, "nsfw_content_detected", None) or ()):
        raise ModelError("The model's own safety checker hides this picture: change the prompt or the seed.")
    check_finite(np.isfinite(result.images).all())
    images = [Image.fromarray((pixels * 255).round().astype(np.uint8)) for pixels in result.images]
    return Drawn(images, reports, result.images)


def _from_pictures(pipe: Any) -> Any:
    """The image-to-image pipeline with the same networks and scheduler."""
    from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionXLImg2ImgPipeline

    xl = "XL" in type(pipe).__name__
    changed = (StableDiffusionXLImg2ImgPipeline if xl else StableDiffusionImg2ImgPipeline).from_pipe(pipe, vae=pipe.vae)
    changed.set_progress_bar_config(disable=True)
    return changed
