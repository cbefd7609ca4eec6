"""A GPU that is lent for each call: the work is done in a real fork, and what it remembers there is lost."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reweight.engine import lent
from reweight.engine.engine import Busy, Engine, ModelError, Picture, ProbeSnapshot
from reweight.engine.events import Agreement, Batch, Watched
from reweight.engine.lent import STEPS, LentEngine
from reweight.engine.points import Cell, Point
from reweight.engine.request import Request, validate

if "fork" not in multiprocessing.get_all_start_methods():
    pytest.skip("forks are Unix's", allow_module_level=True)
FORK = multiprocessing.get_context("fork")


class Refused(Exception):
    """As Gradio's errors: with a message for people."""

    message = "You have exceeded your quota: try again later."


class Lender:
    """Stands in for `spaces.GPU`: every call in a fork of its own, values and events through pickles."""

    def __init__(self) -> None:
        self.seconds: list[int] = []
        self.processes: list[Any] = []
        self.refuses = False

    def __call__(
        self, task: Callable[..., Iterator[Any]], duration: Callable[..., int]
    ) -> Callable[..., Iterator[Any]]:
        def borrowed(*arguments: Any) -> Iterator[Any]:
            self.seconds.append(duration(*arguments))
            if self.refuses:
                raise Refused
            results, stop = FORK.SimpleQueue(), FORK.Event()
            asked = pickle.dumps(arguments)
            process = FORK.Process(target=_work, args=(task, asked, results, stop), daemon=True)
            process.start()
            self.processes.append(process)
            try:
                while (result := pickle.loads(results.get())) is not None:
                    yield result
            finally:
                stop.set()
                process.join(60)

        return borrowed


def _work(task: Callable[..., Iterator[Any]], asked: bytes, results: Any, stop: Any) -> None:
    events = task(*pickle.loads(asked))
    for event in events:
        if stop.is_set():
            break
        results.put(pickle.dumps(event))
    events.close()
    results.put(pickle.dumps(None))


@pytest.fixture(scope="module")
def engines(sd_folder: Path) -> Iterator[tuple[LentEngine, Lender, Engine]]:
    lender, name = Lender(), str(sd_folder)
    plain, engine = Engine((name,), local=True), LentEngine((name,), local=True, lend=lender)
    engine.get_ready()
    plain.opened(name)
    yield engine, lender, plain
    engine.close(), plain.close()


def asked(engine: Engine, **changes: Any) -> Request:
    settings = {"prompt": "a red apple on table", "steps": 2, "guidance": 2.0, "size": 64} | changes
    return validate(engine.card(engine.models[0]), **settings)


def pictures(engine: Engine, request: Request) -> list[Picture]:
    events = engine.compare(request, engine.chosen(request), client="somebody")
    return [event for event in events if isinstance(event, Picture)]


def test_pictures_are_those_of_a_plain_engine_and_remembered_here_not_in_the_fork(engines):
    engine, lender, plain = engines
    request = asked(engine, seed=11)
    engine._pictures.__init__()
    before = len(lender.processes)
    first = pictures(engine, request)
    expected = pictures(plain, request)
    assert [(p.column, p.image.tobytes()) for p in first] == [(p.column, p.image.tobytes()) for p in expected]
    again = pictures(engine, request)
    assert len(lender.processes) == before + 1 and all(picture.cached for picture in again)
    assert [picture.image.tobytes() for picture in again] == [picture.image.tobytes() for picture in expected]
    assert not lender.processes[-1].is_alive()


def test_a_random_order_is_each_seeds_own_also_where_every_picture_is_cached(engines):
    engine, _, _ = engines
    request = asked(engine, seed=21, steps=1, schedule="random", low=0.5, high=1.5, columns=["reweighted"])

    def weights() -> list[Any]:
        events = engine.compare(request, engine.chosen(request), seeds=[22])
        return [event.weights.tolist() for event in events if isinstance(event, Picture)]

    drawn, cached = weights(), weights()
    assert drawn == cached and drawn[0] != drawn[1]


def test_what_only_the_fork_remembers_is_lost(engines):
    engine, lender, _ = engines
    request = asked(engine, seed=12)
    engine._pictures.__init__()
    list(lender(engine._in_fork, lambda *_: 0)("compare", (request, engine.chosen(request)), {}))
    assert not engine._pictures._kept, "the stand-in does not fork"


@pytest.mark.thorough
def test_every_kind_of_work_comes_through(engines):
    engine, _, plain = engines
    request = asked(engine, seed=13)

    def of(engine: Engine) -> list[Any]:
        chosen, ones = engine.chosen(request), np.ones((3, 2, len(engine.blocks(request.model))))
        kinds = (Batch, Watched, Cell, ProbeSnapshot, Agreement, np.ndarray)
        streams = (
            engine.batches(request, ones), engine.watch(request, chosen, ["vanilla"]),
            engine.sweep([Point((0, 0), request, "vanilla", chosen), Point((0, 1), request, "freeu", chosen)]),
            engine.probe(request, runs=1, iterations=2), engine.agreement(request, chosen.scores), engine.direct(request),
        )  # fmt: skip
        return [event for stream in streams for event in stream if isinstance(event, kinds)]

    def told(event: Any) -> Any:
        match event:
            case Batch() | Watched():
                return [image.tobytes() for image in event.images]
            case Cell():
                return event.point.place, event.made.image.tobytes()
            case ProbeSnapshot():
                return event.table.to_json() if event.table else event.done
            case np.ndarray():
                return event.tobytes()
        return event

    assert [told(event) for event in of(engine)] == [told(event) for event in of(plain)]


def test_errors_are_sentences_on_either_side(engines):
    engine, lender, _ = engines
    request = asked(engine, seed=14)
    with pytest.raises(ValueError, match=r"columns|method"):
        list(engine.compare(request, engine.chosen(request), ["nothing"]))
    with pytest.raises(ValueError, match="shape"):
        list(engine.agreement(request, np.ones((2, 1))))
    lender.refuses = True
    with pytest.raises(Busy, match=r"exceeded your quota: try again later\.$"):
        pictures(engine, request)
    lender.refuses = False
    assert issubclass(ModelError, ValueError) and pictures(engine, request)


def test_who_leaves_stops_the_work_in_the_fork(engines):
    engine, lender, _ = engines
    stream = engine.probe(asked(engine, seed=15), runs=50, iterations=50)
    assert next(stream) is not None
    stream.close()
    assert not lender.processes[-1].is_alive()


def test_the_least_is_asked_for(engines):
    engine, lender, _ = engines
    request, few = asked(engine), asked(engine, columns=["vanilla"])
    chosen = engine.chosen(request)
    seconds = [engine._seconds("compare", (one, chosen), {}) for one in (few, request, asked(engine, steps=50))]
    assert lent.BEGIN < seconds[0] <= seconds[1] < seconds[2] <= lent.MOST
    assert all(second <= lent.MOST for second in lender.seconds)
    methods = {name for name in STEPS if callable(getattr(Engine, name))}
    assert methods == set(STEPS)


def test_everything_that_draws_is_lent(engines):
    """A method of the engine that works on a pipeline and is not listed would run where there is no GPU."""
    import inspect

    works = {name for name, method in inspect.getmembers(Engine, inspect.isfunction)
             if "self._run(" in inspect.getsource(method)}  # fmt: skip
    assert works - {"_run", "add_lora"} == set(STEPS)
    assert os.getpid() == engines[0]._home
