"""One owner of the pipelines: same-seed variants of one picture, probes, progress and cancelling.

A diffusers pipeline must not be shared between threads, so a single worker thread owns every pipeline. Whoever wants
something gets a generator: it yields events while the worker works, and closing it stops the work within one step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..methods.base import Drawing
from ..methods.columns import parts
from ..models.folder import ModelError
from ..models.loading import LoadedModel
from ..models.lora import with_lora
from ..models.registry import DEFAULT, ModelCard, card_for
from ..patching.blocks import TargetBlock, target_blocks
from ..probing.importance_probe import ProbeSnapshot
from ..schedule import ImportanceTable
from ..scoring import Scorer, scorer_named
from ..scoring.scorers import Loading as ScorerLoading
from ..tuning.loop import TuneSnapshot
from ..tuning.one_prompt import PromptTuning
from ..weight_table import WeightTable
from . import measuring
from .drawing import Start, check_blocks, draw, drawing_of, overlong, picture_of, stepping
from .events import INVERSION, Agreement, Batch, Loading, Notice, Picture, Preview, Scores, Step, Watched
from .inversion import inverted
from .parabola import Parabolas, parabolas
from .pictures import Made, Pictures
from .points import Cell, Done, Point, cost, draw_points, draw_tables
from .request import REWEIGHTED, Request
from .resident import resident_models
from .resolving import Chosen, choose
from .watching import previews, watch
from .worker import Busy, Job, Waiting, Worker

__all__ = [
    "Agreement", "Batch", "Busy", "Engine", "Loading", "ModelError", "Notice", "Picture", "Preview", "ProbeSnapshot", "Step",
    "Waiting", "Watched",
]  # fmt: skip


class Engine:
    """Owns the pipelines. Safe to call from any thread; the work itself happens one job at a time.

    models: names that are loaded at the first use and stay; the first one is the default. local: whether any folder or
    hub id may be opened as well, of which one stays in memory. seconds: the most that one job may work; `open` may take
    as long as a download does. unfinished: a folder for the state of probes, so that one that is stopped or killed goes
    on where it was when the same is asked again.

    Every generator yields `Waiting` while there is nothing else to say, and raises ModelError or another ValueError of
    one sentence. client: who asks, in whatever words; clients take turns, and a named one can have `worker.each` jobs
    waiting, then Busy is raised.
    """

    def __init__(
        self,
        models: tuple[str, ...] = (DEFAULT,),
        *,
        local: bool = False,
        device: str | None = None,
        seconds: float = float("inf"),
        unfinished: Path | None = None,
        autoencoders: Mapping[str, Path] | None = None,
    ) -> None:
        self.models, self.local, self.device, self.unfinished = models, local, device, unfinished
        self._resident = resident_models(models, local=local, device=device, autoencoders=autoencoders)
        self.worker = Worker(seconds=seconds, levels=self._resident.levels)
        self._pictures = Pictures()
        self._scorers: dict[tuple[str, str, bool], Scorer | None] = {}

    def open(self, name: str, *, client: str = "") -> Iterator[Waiting | Loading | LoadedModel]:
        """Load a model, or find it loaded; the last event is the `LoadedModel`. ModelError when it cannot be had."""
        if loaded := self._resident.loaded(name):
            yield loaded
            return
        self._check_served(name)

        def work(job: Job) -> None:
            def progress(stage: str, fraction: float, text: str) -> None:
                job.check()
                job.emit(Loading(stage, fraction, text))

            job.emit(self._resident.model(name, progress))

        yield from self.worker.stream(work, client, seconds=float("inf"))

    def opened(self, name: str) -> LoadedModel:
        """The loaded model, at once where it is in memory already."""
        *_, loaded = self.open(name)
        return loaded

    def is_open(self, name: str) -> bool:
        """Whether a model is in memory."""
        return self._resident.loaded(name) is not None

    def card(self, name: str) -> ModelCard:
        """What is known of a model, loaded or not. ModelError for one that this engine does not serve."""
        if loaded := self._resident.loaded(name):
            return loaded.card
        self._check_served(name)
        return card_for(name, local=self.local)

    def blocks(self, name: str) -> tuple[TargetBlock, ...]:
        """The target blocks of a model."""
        return target_blocks(self.opened(name).pipe.unet)

    def side(self, request: Request) -> int:
        """Width of the latents of a request's picture."""
        return request.size // self.opened(request.model).pipe.vae_scale_factor

    def chosen(
        self,
        request: Request,
        probed: tuple[ImportanceTable | WeightTable, ...] = (),
        pinned: ImportanceTable | WeightTable | None = None,
    ) -> Chosen:
        """The importance scores, or the weights, that serve a request, see `resolving.choose`."""
        loaded = self.opened(request.model)
        return choose(request, target_blocks(loaded.pipe.unet), probed, pinned, revision=loaded.revision)

    def compare(
        self, request: Request, chosen: Chosen, columns: Sequence[str] | None = None, *, seeds: Sequence[int] = (),
        preview: bool = False, client: str = "",
    ) -> Iterator[Waiting | Notice | Step | Preview | Picture]:  # fmt: skip
        """The same noise drawn by each column, in order; by default the request's. A picture comes from a cache when
        nothing that it depends on has changed, so another low or high only pays for the re-weighted one.

        chosen: the scores behind the weights. seeds: further ones, each drawn by every column after the request's own.
        preview: give the predicted picture now and then too, where drawing takes more than a moment.
        """
        columns = tuple(request.columns if columns is None else columns)
        for column in columns:
            parts(column)
        request.weights(chosen.scores, [("", 0)] * chosen.scores.shape[-1], chosen.weights)

        def work(loaded: LoadedModel, job: Job) -> Generator[None, None, None]:
            check_blocks(loaded, chosen.scores)
            for text in overlong(loaded, request):
                job.emit(Notice(text))
            begun = False
            for seed in (request.seed, *seeds):
                asked = request if seed == request.seed else request.model_copy(update={"seed": seed})
                for column in columns:
                    if begun:
                        yield
                    begun = True
                    job.emit(self._picture(loaded, asked, column, chosen, job, preview))

        return self._run(request.model, work, client)

    def batches(
        self, request: Request, weights: np.ndarray, bypass: np.ndarray | None = None, *, together: int = 0,
        seeds: Sequence[int] | None = None, client: str = "",
    ) -> Iterator[Waiting | Step | Batch]:  # fmt: skip
        """One request drawn re-weighted by n tables, some at a time; others have turns in between.

        weights: (n, T, m). bypass: the same shape, bool. seeds: n of them in the place of the request's. together: the
        most pictures at once, by default what is 24 of 128 by 128 pixels. Nothing of this is cached.
        """

        def work(loaded: LoadedModel, job: Job) -> Generator[None, None, None]:
            return draw_tables(loaded, request, weights, bypass, job, together=together, seeds=seeds)

        return self._run(request.model, work, client)

    def watch(
        self, request: Request, chosen: Chosen, columns: Sequence[str], *, noisy: bool = False, client: str = ""
    ) -> Iterator[Waiting | Step | Watched]:
        """What each column takes the clean picture to be at every step, from one drawing each; see `predictions`."""

        def work(loaded: LoadedModel, job: Job) -> Generator[None, None, None]:
            return watch(loaded, request, chosen, columns, job, noisy=noisy)

        return self._run(request.model, work, client)

    def probe(
        self, request: Request, *, preset: str = "paper-code", runs: int | None = None, iterations: int | None = None,
        candidates: int | None = None, precision: float | None = None, surrogate: bool | None = None,
        resume: Path | None = None, client: str = "",
    ) -> Iterator[Waiting | ProbeSnapshot]:  # fmt: skip
        """The Importance Probe on a request's prompt; a snapshot after each iteration. Others have turns in between.

        The other arguments are those of `ProbeRequest.of` and `iter_probe`.
        """

        settings = {
            "preset": preset, "runs": runs, "iterations": iterations, "candidates": candidates, "precision": precision,
            "surrogate": surrogate,
        }  # fmt: skip

        def work(loaded: LoadedModel, job: Job) -> Generator[None, None, None]:
            return measuring.probe(loaded, request, job, settings, resume=resume, unfinished=self.unfinished)

        return self._run(request.model, work, client)

    def add_lora(self, name: str, file: Path, scale: float = 1.0) -> None:
        """Put a LoRA on a model that is in memory; its revision says so from then on. ModelError where it does not fit."""

        def work(loaded: LoadedModel, job: Job) -> None:
            self._resident.put(name, with_lora(loaded, file, scale))

        for _ in self._run(name, work):
            pass

    def sweep(self, points: Sequence[Point], *, client: str = "") -> Iterator[Waiting | Done | Cell]:
        """Pictures of many requests to one model, in batches where they differ only in weights, seed or prompt.

        Those that are remembered come first. Others have turns in between.
        """
        name = points[0].request.model
        if any(point.request.model != name for point in points):
            raise ValueError("A sweep is of one model: vary something else.")

        def work(loaded: LoadedModel, job: Job) -> Generator[None, None, None]:
            for text in {text: None for point in points for text in overlong(loaded, point.request)}:
                job.emit(Notice(text))
            yield from draw_points(loaded, points, self._pictures, job)

        return self._run(name, work, client)

    def scores(
        self, model: str, images: Sequence[Image.Image], prompts: Sequence[str], *, scorer: str = "auto", client: str = ""
    ) -> Iterator[Waiting | Scores]:  # fmt: skip
        """How good pictures are for their prompts, by a scorer that fits the model; nothing where there is none."""

        def work(loaded: LoadedModel, job: Job) -> None:
            judge = self._scorer(scorer, loaded)
            if judge is not None and images:
                values = [float(value) for value in judge.score(list(images), list(prompts))]
                job.emit(Scores(values, f"{judge.name} {judge.version}"))

        return self._run(model, work, client)

    def edit(
        self, request: Request, chosen: Chosen, start: Start, columns: Sequence[str], *, client: str = ""
    ) -> Iterator[Waiting | Step | Picture]:
        """A picture drawn anew by each column from the same noise; nothing of this is cached.

        Where it is inverted first, the steps of that are those of a column INVERSION.
        """
        running = start.running(request.steps)

        def work(loaded: LoadedModel, job: Job) -> Generator[None, None, None]:
            drawing = drawing_of(request, chosen, loaded)
            begin = inverted(loaded, request, start, stepping(job, INVERSION, request.steps))
            for n, column in enumerate(columns):
                if n:
                    yield

                on_step = stepping(job, column, len(running))
                began = time.perf_counter()
                drawn = draw(loaded, request, column, drawing, on_step=on_step, start=begin)
                seconds = time.perf_counter() - began
                job.emit(Picture(column, drawn.images[0], seconds, False, request.seed, drawing, None, drawn.reports))

        return self._run(request.model, work, client)

    def parabolas(self, request: Request, *, client: str = "") -> Iterator[Waiting | Parabolas]:
        """How wrong the U-Net is about known noise, by each block's weight; see `engine.parabola`."""

        def work(loaded: LoadedModel, job: Job) -> None:
            job.emit(parabolas(loaded, request, job.check, job.step))

        return self._run(request.model, work, client)

    def sweep_cost(self, points: Sequence[Point]) -> tuple[int, int]:
        """U-Net steps that a sweep will take, and how many of its pictures are remembered."""
        return cost(self.opened(points[0].request.model), points, self._pictures)

    def tune(
        self, request: Request, *, settings: PromptTuning | None = None, scorer: str = "auto", client: str = ""
    ) -> Iterator[Waiting | TuneSnapshot]:
        """Weights tuned for one prompt; a snapshot after each iteration, the last of which has the best table.

        Closing it keeps what the last snapshot has. settings: see `tuning.one_prompt`. scorer: a name of
        `scoring.scorers`. ModelError or ValueError of one sentence where there is nothing to score with.
        """

        def work(loaded: LoadedModel, job: Job) -> Generator[None, None, None]:
            return measuring.tune(loaded, request, job, self._scorer(scorer, loaded), settings or PromptTuning())

        return self._run(request.model, work, client)

    def agreement(self, request: Request, scores: np.ndarray, *, client: str = "") -> Iterator[Waiting | Agreement]:
        """How far scores (T, m) agree with the direct sensitivity of the blocks on this prompt."""

        def work(loaded: LoadedModel, job: Job) -> Generator[None, None, None]:
            check_blocks(loaded, scores)
            return measuring.agree(loaded, request, job, scores)

        return self._run(request.model, work, client)

    def direct(self, request: Request, *, client: str = "") -> Iterator[Waiting | np.ndarray]:
        """The error of switching each block off at each step, (T, m), measured on a request's prompt."""
        return self._run(request.model, lambda loaded, job: measuring.direct(loaded, request, job), client)

    def remembered(self) -> int:
        """Bytes of the pictures that are remembered."""
        return self._pictures.size()

    def cancel(self) -> None:
        """Stop the job under way within one step, and take no more; returns at once."""
        self.worker.cancel()

    def close(self) -> None:
        """`cancel`, and wait until the last job has ended."""
        self.worker.close()

    def _run(
        self, name: str, work: Callable[[LoadedModel, Job], Generator[None, None, None] | None], client: str = ""
    ) -> Iterator[Any]:
        """What `work(loaded, job)` emits. It does everything at once, or yields where others may have a turn."""
        self._check_served(name)
        return self.worker.stream(lambda job: work(self._model(name, job), job), client)

    def _model(self, name: str, job: Job) -> LoadedModel:
        """The model for a job: with its own copy of the pipeline, where another is in the midst of a drawing."""
        return self._resident.model(name, lambda *_: job.check(), job.level or 0)

    def _check_served(self, name: str) -> None:
        if not self.local and name not in self.models:
            raise ModelError(f"This demo serves {', '.join(self.models)}: choose one of them.")

    def _scorer(self, name: str, loaded: LoadedModel) -> Scorer | None:
        """The scorer, loaded once for each model's device."""
        key = name, loaded.device, loaded.card.embedded
        if key not in self._scorers:
            self._scorers[key] = scorer_named(
                name, embedded=loaded.card.embedded, options=ScorerLoading(device=loaded.device)
            )
        return self._scorers[key]

    def _picture(
        self, loaded: LoadedModel, request: Request, column: str, chosen: Chosen, job: Job, preview: bool
    ) -> Picture:
        job.check()
        drawing = drawing_of(request, chosen, loaded)

        def shown(step: int, image: Image.Image) -> None:
            job.emit(Preview(column, request.seed, step, image))

        beside = previews(loaded.pipe, request.steps, shown) if preview else lambda pipe: nullcontext()
        made = picture_of(
            self._pictures, loaded, request, column, drawing, stepping(job, column, request.steps), beside
        )
        return self._shown(made, column, request.seed, chosen, drawing)

    @staticmethod
    def _shown(made: Made, column: str, seed: int, chosen: Chosen, drawing: Drawing) -> Picture:
        """A picture of the cache, for a caller."""
        used = (chosen.weight_table or chosen.table) if REWEIGHTED in column.split("+") else None
        return Picture(
            column, made.image.copy(), made.seconds, made.cached, seed, drawing, used and used.sha256, made.reports
        )  # fmt: skip
