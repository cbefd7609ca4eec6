"""One owner of the pipelines: same-seed variants of one picture, probes, progress and cancelling.

A diffusers pipeline must not be shared between threads, so a single worker thread owns every pipeline. Whoever wants
something gets a generator: it yields events while the worker works, and closing it stops the work within one step.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from .blocks import TargetBlock, target_blocks
from .direct import agreement, sensitivity
from .importance import ProbeSnapshot, iter_probe
from .methods import freeu
from .models import DEFAULT, LoadedModel, ModelCard, ModelError, card_for, load_model
from .patch import reweighted
from .request import Request
from .schedule import ImportanceTable
from .tables import Chosen, choose

METHODS = ("vanilla", "reweighted", "freeu")
CACHED_PICTURES = 256
HEARTBEAT = 0.1  # seconds between two looks at whether the caller still listens


class Stopped(Exception):
    """The caller has gone or has pressed Stop."""


@dataclass(frozen=True)
class Waiting:
    """Nothing new; `ahead` jobs are before this one."""

    ahead: int


@dataclass(frozen=True)
class Notice:
    """Something the person should know about the request, as a sentence."""

    text: str


@dataclass(frozen=True)
class Step:
    """A denoising step has ended: `step` of `steps`, 1-based."""

    method: str
    step: int
    steps: int


@dataclass(frozen=True)
class Picture:
    """A finished picture. `weights` is (T, m) for the re-weighted one; `seconds` is the time it took to draw."""

    method: str
    image: Image.Image
    seconds: float
    cached: bool
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b of a table with the error of scaling each block by 1 -+ .02, and with that of bypassing it."""

    scaling: float
    bypass: float


def draw(
    loaded: LoadedModel, request: Request, method: str, weights: np.ndarray | None, on_step: Callable[[int], None]
) -> Image.Image:
    """One picture by one method, in the calling thread. Vanilla is never patched.

    ModelError when the model gives values that are not finite, or runs out of memory.
    """
    pipe = loaded.pipe

    def step_end(_pipe: Any, step: int, _t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        on_step(step + 1)
        return tensors

    with ExitStack() as patches:
        if method == "reweighted":
            patches.enter_context(reweighted(pipe, weights))
        elif method == "freeu":
            patches.enter_context(freeu(pipe, **asdict(request.freeu)))
        try:
            pixels = pipe(
                request.prompt,
                negative_prompt=request.negative_prompt or None,
                num_inference_steps=request.steps,
                guidance_scale=request.guidance,
                height=request.size,
                width=request.size,
                generator=torch.Generator("cpu").manual_seed(request.seed),
                callback_on_step_end=step_end,
                output_type="np",
            ).images[0]
        except torch.OutOfMemoryError as error:
            raise ModelError("There is not enough memory for this picture: choose a smaller size or model.") from error
    if not np.isfinite(pixels).all():
        raise ModelError("The model gave values that are not numbers: try other weights, or a float32 model.")
    return Image.fromarray((pixels * 255).round().astype(np.uint8))


def _overlong(loaded: LoadedModel, prompt: str) -> str:
    """A sentence when the text encoder does not read the whole prompt, else nothing."""
    tokenizer = loaded.pipe.tokenizer
    count, room = len(tokenizer(prompt, truncation=False).input_ids), tokenizer.model_max_length
    return (
        f"The prompt has {count} tokens and the text encoder reads {room}: the end is ignored." if count > room else ""
    )


class Engine:
    """Owns the pipelines. Safe to call from any thread; the work itself happens one job at a time.

    models: names that are loaded at the first use and stay; the first one is the default. local: whether any folder or
    hub id may be opened as well, of which one stays in memory.
    """

    def __init__(self, models: tuple[str, ...] = (DEFAULT,), *, local: bool = False, device: str | None = None):
        self.models, self.local, self.device = models, local, device
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="pipeline")
        self._loaded: dict[str, LoadedModel] = {}
        self._pictures: OrderedDict[tuple, tuple[Image.Image, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._queued = 0

    def open(self, name: str) -> Iterator[Waiting | LoadedModel]:
        """Load a model, or find it loaded; the last event is the `LoadedModel`. ModelError when it cannot be had."""
        return self._stream(lambda emit, cancel: emit(self._model(name)))

    def opened(self, name: str) -> LoadedModel:
        """The loaded model, at once where it is in memory already."""
        if name in self._loaded:
            return self._loaded[name]
        *_, loaded = self.open(name)
        return loaded

    def card(self, name: str) -> ModelCard:
        """What is known of a model, loaded or not. ModelError for one that this engine does not serve."""
        if name in self._loaded:
            return self._loaded[name].card
        self._check_served(name)
        return card_for(name, local=self.local)

    def blocks(self, name: str) -> tuple[TargetBlock, ...]:
        """The target blocks of a model."""
        return target_blocks(self.opened(name).pipe.unet)

    def side(self, request: Request) -> int:
        """Width of the latents of a request's picture."""
        return request.size // self.opened(request.model).pipe.vae_scale_factor

    def chosen(
        self, request: Request, probed: tuple[ImportanceTable, ...] = (), pinned: ImportanceTable | None = None
    ) -> Chosen:
        """The importance scores that serve a request, see `tables.choose`."""
        blocks = self.blocks(request.model)
        return choose(request.model, request.prompt, request.steps, blocks, probed, request.schedule, pinned)

    def compare(
        self, request: Request, scores: np.ndarray, methods: tuple[str, ...] = METHODS
    ) -> Iterator[Waiting | Notice | Step | Picture]:
        """The same noise drawn by each method, in order. Vanilla and FreeU come from a cache when nothing they depend
        on has changed, so another low or high only pays for the re-weighted picture. scores: (T, m)."""
        weights = request.weights(scores)

        def work(emit: Callable[[Any], None], cancel: threading.Event) -> None:
            loaded = self._model(request.model)
            if text := _overlong(loaded, request.prompt):
                emit(Notice(text))
            for method in methods:
                emit(self._picture(loaded, request, method, weights, emit, cancel))

        return self._stream(work)

    def probe(
        self, request: Request, *, preset: str = "paper-code", runs: int | None = None, iterations: int | None = None
    ) -> Iterator[Waiting | ProbeSnapshot]:
        """The Importance Probe on a request's prompt; a snapshot after each iteration."""

        def work(emit: Callable[[Any], None], cancel: threading.Event) -> None:
            loaded = self._model(request.model)
            snapshots = iter_probe(
                loaded.pipe, request.prompt, steps=request.steps, preset=preset, runs=runs, iterations=iterations,
                seed=request.seed, guidance_scale=request.guidance, negative_prompt=request.negative_prompt or None,
                height=request.size, width=request.size, model=request.model, revision=loaded.revision,
            )  # fmt: skip
            for snapshot in snapshots:
                emit(snapshot)
                if cancel.is_set():
                    raise Stopped

        return self._stream(work)

    def agreement(self, request: Request, scores: np.ndarray) -> Iterator[Waiting | Agreement]:
        """How far scores (T, m) agree with the direct sensitivity of the blocks on this prompt."""

        def work(emit: Callable[[Any], None], cancel: threading.Event) -> None:
            loaded = self._model(request.model)
            options = {
                "steps": request.steps, "seed": request.seed, "guidance_scale": request.guidance,
                "negative_prompt": request.negative_prompt or None, "height": request.size, "width": request.size,
            }  # fmt: skip
            scaling = agreement(scores, sensitivity(loaded.pipe, request.prompt, **options))
            if cancel.is_set():
                raise Stopped
            emit(
                Agreement(scaling, agreement(scores, sensitivity(loaded.pipe, request.prompt, bypass=True, **options)))
            )

        return self._stream(work)

    def close(self) -> None:
        """Finish the job under way and take no more."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _check_served(self, name: str) -> None:
        if not self.local and name not in self.models:
            raise ModelError(f"This demo serves {', '.join(self.models)}: choose one of them.")

    def _model(self, name: str) -> LoadedModel:
        if name in self._loaded:
            return self._loaded[name]
        self._check_served(name)
        loaded = load_model(name, device=self.device, local=self.local)
        for guest in [key for key in self._loaded if key not in self.models and name not in self.models]:
            del self._loaded[guest]
        self._loaded[name] = loaded
        return loaded

    def _picture(self, loaded, request, method, weights, emit, cancel) -> Picture:
        key = {
            "vanilla": ("vanilla", request.vanilla_key()),
            "freeu": ("freeu", request.freeu_key()),
            "reweighted": ("reweighted", request.vanilla_key(), weights.tobytes()),
        }[method]
        shown = weights if method == "reweighted" else None
        if key in self._pictures:
            self._pictures.move_to_end(key)
            image, seconds = self._pictures[key]
            return Picture(method, image.copy(), seconds, True, shown)

        def on_step(step: int) -> None:
            if cancel.is_set():
                raise Stopped
            emit(Step(method, step, request.steps))

        start = time.perf_counter()
        image = draw(loaded, request, method, weights, on_step)
        seconds = time.perf_counter() - start
        self._pictures[key] = (image, seconds)
        while len(self._pictures) > CACHED_PICTURES:
            self._pictures.popitem(last=False)
        return Picture(method, image.copy(), seconds, False, shown)

    def _stream(self, work: Callable[[Callable[[Any], None], threading.Event], None]) -> Iterator[Any]:
        """Run `work(emit, cancel)` on the worker thread and yield what it emits; closing the generator cancels it."""
        events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        cancel = threading.Event()
        with self._lock:
            ahead, self._queued = self._queued, self._queued + 1

        def job() -> None:
            if not cancel.is_set():
                work(events.put, cancel)

        future = self._worker.submit(job)
        future.add_done_callback(self._leave)
        try:
            while not (future.done() and events.empty()):
                try:
                    yield events.get(timeout=HEARTBEAT)
                except queue.Empty:
                    yield Waiting(ahead if not future.running() else 0)
            future.result()
        except (Stopped, CancelledError):
            return
        finally:
            cancel.set()
            future.cancel()

    def _leave(self, _future: Future) -> None:
        with self._lock:
            self._queued -= 1
