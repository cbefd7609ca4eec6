"""An engine for ZeroGPU Spaces, where each call gets a GPU and runs in a forked process.

The fork's memory is lost when it ends. All results come back as events, and this process caches the pictures.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import wraps
from typing import Any

from ..models.folder import ModelError
from .drawing import drawing_of, picture_event
from .engine import Engine
from .events import Picture
from .job import Busy
from .pictures import Made
from .request import Request
from .worker import Worker

Lend = Callable[..., Callable[..., Iterator[Any]]]
STEP_SECONDS = {
    "toy": 0.02,
    "sd15": 0.05,
    "sd21": 0.05,
    "sd-turbo": 0.05,
    "sdxl": 0.1,
    "sdxl-turbo": 0.1,
}  # a denoising step at 512 x 512, by model family
BEGIN, MOST = 4, 120  # seconds: to move the model to the GPU, and at most

Steps = Callable[..., float]


def _each(request: Request, *_: Any, columns: Any = None, seeds: Any = ()) -> float:
    return request.steps * len(columns or request.columns) * (1 + len(seeds))


STEPS: dict[str, Steps] = {
    # about how many denoising steps of one picture a call takes, by its arguments; they are charged to a visitor's quota
    "compare": lambda request, chosen, columns=None, seeds=(), **_: _each(request, columns=columns, seeds=seeds),
    "batches": lambda request, weights, *_, **__: request.steps * len(weights),
    "watch": lambda request, chosen, columns, **_: 2 * _each(request, columns=columns),
    "edit": lambda request, chosen, start, columns, **_: _each(request, columns=columns),
    "sweep": lambda points, **_: sum(point.request.steps for point in points),
    "probe": lambda request, runs=None, **_: 60 * request.steps * (runs or 15),
    "tune": lambda request, **_: 200 * request.steps,
    "agreement": lambda request, *_, **__: 30 * request.steps,
    "direct": lambda request, **_: 15 * request.steps,
    "parabolas": lambda request, **_: 6 * request.steps + 300,
    "scores": lambda model, images, *_, **__: len(images),
}


class LentEngine(Engine):
    """See `Engine`. lend: such as `spaces.GPU`; it takes a generator function and `duration`, a function of the same
    arguments, and returns a generator function that runs in a fork. Models and scorers are loaded before the page opens.

    Arguments and events are pickled, so none may hold a tensor on a GPU. Errors stay one sentence.
    """

    def __init__(self, *arguments: Any, lend: Lend, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._home = self._working = os.getpid()
        self._lock = threading.Lock()
        self._lent = lend(self._in_fork, duration=self._seconds)

    def get_ready(self) -> None:
        """Load models and scorers, which each fork would load again otherwise. Call it before the page opens."""
        for name in self.models:
            self._scorer("auto", self.opened(name))

    @property
    def is_fork(self) -> bool:
        """Whether this is the forked process, which has the GPU."""
        return os.getpid() != self._home

    def compare(self, request: Request, chosen: Any, columns: Any = None, **options: Any) -> Iterator[Any]:
        """See `Engine.compare`. No GPU is requested if every picture is cached."""
        if self.is_fork:
            return super().compare(request, chosen, columns, **options)
        return self._compared(request, chosen, tuple(request.columns if columns is None else columns), options)

    def _compared(
        self, request: Request, chosen: Any, columns: tuple[str, ...], options: dict[str, Any]
    ) -> Iterator[Any]:
        loaded = self.opened(request.model)
        seeds = (request.seed, *options.get("seeds", ()))
        asked = {seed: request.model_copy(update={"seed": seed}) for seed in seeds}
        drawings = {seed: drawing_of(asked[seed], chosen, loaded) for seed in seeds}

        def key(column: str, seed: int) -> Any:
            return self._pictures.key(loaded, asked[seed], column, drawings[seed])

        wanted = [(column, seed) for seed in seeds for column in columns]
        with self._lock:
            known = [self._pictures.alone(key(*one)) for one in wanted]
        if all(known):
            for (column, seed), made in zip(wanted, known, strict=True):
                yield picture_event(made, asked[seed], column, chosen, drawings[seed])
            return
        for event in self._borrow("compare", (request, chosen, columns), options):
            if isinstance(event, Picture):
                made = Made(event.image.copy(), event.seconds, reports=event.reports)
                with self._lock:
                    self._pictures.keep(key(event.column, event.seed), made)
            yield event

    def _borrow(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Iterator[Any]:
        """The events of a method that runs in a fork. Closing the generator stops it there."""
        if name != "scores":
            self._check_served(getattr(arguments[0], "model", None) or arguments[0][0].request.model)
        try:
            events = self._lent(name, arguments, {key: value for key, value in options.items() if key != "client"})
            with closing(events):
                for kind, value in events:
                    if kind == "error":
                        raise value
                    yield value
        except (ValueError, FloatingPointError):
            raise
        except Exception as error:
            if message := getattr(
                error, "message", None
            ):  # gr.Error: no GPU is free, or the visitor's quota is used up
                raise Busy(str(message)) from error
            raise

    def _in_fork(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """Events as ("event", event), and an error as ("error", the error of one sentence)."""
        if os.getpid() != self._working:
            self.worker = Worker(seconds=self.worker.seconds)  # a fork has no threads but its own
            self._working = os.getpid()
        try:
            for event in getattr(Engine, name)(self, *arguments, **options):
                yield "event", event
        except (ValueError, FloatingPointError) as error:
            kind = type(error) if type(error) in (Busy, ModelError, FloatingPointError) else ValueError
            yield "error", kind(str(error))

    def _seconds(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> int:
        """Seconds of GPU time to request, which are charged to the visitor's quota."""
        first = arguments[0][0].request if name == "sweep" else arguments[0]
        each = 0.05
        if isinstance(first, Request):
            card = self.card(first.model)
            halves = 1 if first.guidance <= 1 else 2
            each = STEP_SECONDS.get(card.family, 0.1) * halves * max(1.0, (first.size / 512) ** 2)
        return min(MOST, BEGIN + math.ceil(each * STEPS[name](*arguments, **options)))


def _borrowing(name: str) -> Callable[..., Iterator[Any]]:
    whole = getattr(Engine, name)

    @wraps(whole)
    def method(self: LentEngine, *arguments: Any, **options: Any) -> Iterator[Any]:
        if self.is_fork:
            return whole(self, *arguments, **options)
        return self._borrow(name, arguments, options)

    return method


for _name in STEPS:
    if _name not in vars(LentEngine):
        setattr(LentEngine, _name, _borrowing(_name))
