"""The engine: loads models, draws, probes and measures, as jobs on one worker thread.

A diffusers pipeline must not be shared between threads, so one worker thread owns all pipelines. Every request
returns a generator: it yields events while the worker runs the job, and closing it stops the job within one step.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..methods.base import Chosen
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
from . import drawing, measuring
from .drawing import Start, check_blocks
from .editing import edit
from .events import Agreement, Batch, Loading, Notice, Picture, Preview, Scores, Step, Watched
from .job import Busy, Job
from .parabola import Parabolas, parabolas
from .pictures import Pictures
from .points import Cell, Done, Point, cost, draw_points, draw_tables
from .request import Request
from .resident import resident_models
from .resolving import choose
from .watching import watch
from .worker import Waiting, Worker

__all__ = [
    "Agreement", "Batch", "Busy", "Engine", "Loading", "ModelError", "Notice", "Picture", "Preview", "ProbeSnapshot", "Step",
    "Waiting", "Watched",
]  # fmt: skip


class Engine:
    """Owns the pipelines. Its methods may be called from any thread; one job runs at a time.

    models: names of models that stay in memory once they are loaded; the first one is the default. local: allow any
    folder or hub id as well, one of which is kept in memory. device: "cuda", "cpu" or "mps"; None chooses. seconds:
    time limit of a job; `open` has none. unfinished: a folder for the state of probes, so that a probe that was
    stopped or killed resumes when it is requested again. autoencoders: folders of small autoencoders, by model name.

    Every generator yields `Waiting` while there is no other event, and raises ModelError or another ValueError of one
    sentence. client: the caller's name; clients take turns, and a named one may have `worker.each` waiting jobs,
    beyond which Busy is raised.
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
        """Load a model unless it is loaded; the last event is the `LoadedModel`. ModelError if it cannot be loaded."""
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
        """The model, loaded first if it is not in memory."""
        *_, loaded = self.open(name)
        return loaded

    def is_open(self, name: str) -> bool:
        """Whether a model is in memory."""
        return self._resident.loaded(name) is not None

    def card(self, name: str) -> ModelCard:
        """The model card of a model, loaded or not. ModelError for a model that this engine does not offer."""
        if loaded := self._resident.loaded(name):
            return loaded.card
        self._check_served(name)
        return card_for(name, local=self.local)

    def blocks(self, name: str) -> tuple[TargetBlock, ...]:
        """The target blocks of a model's U-Net."""
        return target_blocks(self.opened(name).pipe.unet)

    def side(self, request: Request) -> int:
        """Width of the latent of a request's picture."""
        return request.size // self.opened(request.model).pipe.vae_scale_factor

    def chosen(
        self,
        request: Request,
        probed: tuple[ImportanceTable | WeightTable, ...] = (),
        pinned: ImportanceTable | WeightTable | None = None,
    ) -> Chosen:
        """The importance scores, or the weights, for a request, see `resolving.choose`."""
        loaded = self.opened(request.model)
        return choose(request, target_blocks(loaded.pipe.unet), probed, pinned, revision=loaded.revision)

    def compare(
        self, request: Request, chosen: Chosen, columns: Sequence[str] | None = None, *, seeds: Sequence[int] = (),
        preview: bool = False, client: str = "",
    ) -> Iterator[Waiting | Notice | Step | Preview | Picture]:  # fmt: skip
        """Draw the same noise with each column, in order; by default the request's columns. A picture is cached by
        everything it depends on, so new values of low and high redraw the re-weighted column only.

        chosen: the scores behind the weights. seeds: further seeds, drawn with every column after the request's own.
        preview: emit predicted pictures too, if drawing takes more than a moment.
        """
        columns = tuple(request.columns if columns is None else columns)
        for column in columns:
            parts(column)
        request.weights(chosen.scores, [("", 0)] * chosen.scores.shape[-1], chosen.weights)

        def work(loaded: LoadedModel, job: Job) -> Generator[None, None, None]:
            return drawing.compare(
                loaded, request, chosen, columns, job, self._pictures, seeds=(request.seed, *seeds), preview=preview
            )

        return self._run(request.model, work, client)

    def batches(
        self, request: Request, weights: np.ndarray, bypass: np.ndarray | None = None, *, together: int = 0,
        seeds: Sequence[int] | None = None, client: str = "",
    ) -> Iterator[Waiting | Step | Batch]:  # fmt: skip
        """One request drawn with n weight tables, in batches; other jobs have turns between them. Nothing is cached.

        weights: (n, T, m). bypass: bool, the same shape. seeds: n seeds instead of the request's. together: the batch
        size, by default as many as have the pixels of 24 pictures of 128 by 128.
        """
        draw = partial(draw_tables, together=together, seeds=seeds)
        return self._run(request.model, lambda loaded, job: draw(loaded, request, weights, bypass, job), client)

    def watch(
        self, request: Request, chosen: Chosen, columns: Sequence[str], *, noisy: bool = False, client: str = ""
    ) -> Iterator[Waiting | Step | Watched]:
        """The clean picture that each column predicts at every step; see `watching.watch`."""
        return self._run(
            request.model,
            lambda loaded, job: watch(loaded, request, chosen, columns, job, self._pictures, noisy=noisy), client,
        )  # fmt: skip

    def probe(
        self, request: Request, *, preset: str = "paper-code", runs: int | None = None, iterations: int | None = None,
        candidates: int | None = None, precision: float | None = None, surrogate: bool | None = None,
        resume: Path | None = None, client: str = "",
    ) -> Iterator[Waiting | ProbeSnapshot]:  # fmt: skip
        """The Importance Probe on a request's prompt: a snapshot after each iteration, where other jobs have turns.

        The other arguments are those of `ProbeRequest.of` and `iter_probe`.
        """

        settings = {
            "preset": preset, "runs": runs, "iterations": iterations, "candidates": candidates, "precision": precision,
            "surrogate": surrogate,
        }  # fmt: skip
        probe = partial(measuring.probe, settings=settings, resume=resume, unfinished=self.unfinished)
        return self._run(request.model, lambda loaded, job: probe(loaded, request, job), client)

    def add_lora(self, name: str, file: Path, scale: float = 1.0) -> None:
        """Add a LoRA to a model, whose revision names it from then on. ModelError if it does not fit the model."""

        def work(loaded: LoadedModel, job: Job) -> None:
            self._resident.put(name, with_lora(loaded, file, scale))

        for _ in self._run(name, work):
            pass

    def sweep(self, points: Sequence[Point], *, client: str = "") -> Iterator[Waiting | Done | Cell]:
        """Pictures of many requests to one model, in batches if they differ only in weights, seed or prompt.

        Cached pictures come first. Other jobs have turns between batches.
        """
        name = points[0].request.model
        if any(point.request.model != name for point in points):
            raise ValueError("A sweep is of one model: vary something else.")
        return self._run(name, lambda loaded, job: draw_points(loaded, points, self._pictures, job), client)

    def scores(
        self, model: str, images: Sequence[Image.Image], prompts: Sequence[str], *, scorer: str = "auto", client: str = ""
    ) -> Iterator[Waiting | Scores]:  # fmt: skip
        """Scores of pictures for their prompts, by a scorer that fits the model; no `Scores` event if there is none."""

        def work(loaded: LoadedModel, job: Job) -> None:
            measuring.score(images, prompts, self._scorer(scorer, loaded), job)

        return self._run(model, work, client)

    def edit(
        self, request: Request, chosen: Chosen, start: Start, columns: Sequence[str], *, client: str = ""
    ) -> Iterator[Waiting | Step | Picture]:
        """Image to image: each column starts from the same picture and noise. Nothing is cached.

        The steps of a DDIM inversion are those of a column named INVERSION.
        """
        start.running(request.steps)
        return self._run(request.model, lambda loaded, job: edit(loaded, request, chosen, start, columns, job), client)

    def parabolas(self, request: Request, *, client: str = "") -> Iterator[Waiting | Parabolas]:
        """The U-Net's error on known noise as a function of each block's weight; see `engine.parabola`."""
        return self._run(
            request.model, lambda loaded, job: job.emit(parabolas(loaded, request, job.check, job.step)), client
        )

    def sweep_cost(self, points: Sequence[Point]) -> tuple[int, int]:
        """How many denoising steps a sweep will take, and how many of its pictures are cached."""
        return cost(self.opened(points[0].request.model), points, self._pictures)

    def tune(
        self, request: Request, *, settings: PromptTuning | None = None, scorer: str = "auto", client: str = ""
    ) -> Iterator[Waiting | TuneSnapshot]:
        """Tune weights for one prompt: a snapshot after each iteration, the last of which has the best table.

        settings: see `tuning.one_prompt`. scorer: a name in `scoring.scorers`. ModelError or ValueError of one sentence
        if no scorer fits the model.
        """

        def work(loaded: LoadedModel, job: Job) -> Generator[None, None, None]:
            return measuring.tune(loaded, request, job, self._scorer(scorer, loaded), settings or PromptTuning())

        return self._run(request.model, work, client)

    def agreement(self, request: Request, scores: np.ndarray, *, client: str = "") -> Iterator[Waiting | Agreement]:
        """How far scores (T, m) agree with the direct sensitivity of the blocks on this prompt: Kendall's tau-b."""

        def work(loaded: LoadedModel, job: Job) -> Generator[None, None, None]:
            check_blocks(loaded, scores)
            return measuring.agree(loaded, request, job, scores)

        return self._run(request.model, work, client)

    def direct(self, request: Request, *, client: str = "") -> Iterator[Waiting | np.ndarray]:
        """The error of bypassing each block at each step, (T, m), on a request's prompt."""
        return self._run(request.model, lambda loaded, job: measuring.direct(loaded, request, job), client)

    def remembered(self) -> int:
        """Bytes of the cached pictures and films."""
        return self._pictures.size()

    def cancel(self) -> None:
        """Stop the running job within one step and refuse new ones; returns at once."""
        self.worker.cancel()

    def close(self) -> None:
        """`cancel`, then wait until the last job has ended."""
        self.worker.close()

    def _run(
        self, name: str, work: Callable[[LoadedModel, Job], Generator[None, None, None] | None], client: str = ""
    ) -> Iterator[Any]:
        """What `work(loaded, job)` emits. It is a function, or a generator that yields where other jobs may have a turn."""
        self._check_served(name)
        return self.worker.stream(lambda job: work(self._model(name, job), job), client)

    def _model(self, name: str, job: Job) -> LoadedModel:
        """The model for a job, with the copy of the pipeline that the job uses."""
        return self._resident.model(name, lambda *_: job.check(), job.level or 0)

    def _check_served(self, name: str) -> None:
        if not self.local and name not in self.models:
            raise ModelError(f"This demo has the models {', '.join(self.models)}: choose one of them.")

    def _scorer(self, name: str, loaded: LoadedModel) -> Scorer | None:
        """The scorer, loaded once for each device."""
        key = name, loaded.device, loaded.card.embedded
        if key not in self._scorers:
            self._scorers[key] = scorer_named(
                name, embedded=loaded.card.embedded, options=ScorerLoading(device=loaded.device)
            )
        return self._scorers[key]
