"""Pictures drawn in the midst of a probe are the ones drawn alone, and the probe's table is the one made alone."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from reweight.engine import engine as engine_room
from reweight.engine import job as jobs
from reweight.engine import resident
from reweight.engine.engine import Agreement, Engine, Picture, ProbeSnapshot
from reweight.engine.pictures import Pictures
from reweight.engine.request import validate
from reweight.methods import METHODS
from reweight.models.loading import load_model
from reweight.models.registry import card_for


@pytest.fixture
def engine(sd_folder):
    engine = Engine((str(sd_folder),), local=True)
    yield engine
    engine.close()


def asked(engine: Engine, **changes):
    return validate(
        engine.opened(engine.models[0]).card, prompt="a red apple on table", steps=2, guidance=2.0, **changes
    )


def drawn(engine: Engine, seed: int, client: str) -> list[bytes]:
    request = asked(engine, seed=seed)
    events = engine.compare(request, engine.chosen(request), client=client)
    return [event.image.tobytes() for event in events if isinstance(event, Picture)]


def probed(engine: Engine) -> tuple[str, Agreement]:
    snapshots = engine.probe(asked(engine), runs=2, iterations=2, client="a/prober")
    table = [event for event in snapshots if isinstance(event, ProbeSnapshot)][-1].table
    (agreement,) = (e for e in engine.agreement(asked(engine), table.scores) if isinstance(e, Agreement))
    return table.to_json(), agreement


def test_nothing_changes_where_jobs_take_turns_in_the_midst_of_each_other(sd_folder, engine, monkeypatch):
    alone = Engine((str(sd_folder),), local=True)
    expected = probed(alone), [drawn(alone, seed, "b") for seed in range(2)]
    alone.close()
    monkeypatch.setattr(jobs, "TURN", 0.0)
    pictures: list[list[bytes]] = []
    thread = threading.Thread(target=lambda: pictures.extend(drawn(engine, seed, "b/drawer") for seed in range(2)))
    thread.start()
    table = probed(engine)
    thread.join(120)
    assert (table, pictures) == expected


@pytest.fixture
def crowd(sd_folder, monkeypatch):
    """An engine that several visitors share: jobs pause in the midst of a drawing."""
    monkeypatch.setattr(jobs, "TURN", 0.0)
    monkeypatch.setattr(resident, "device_for", lambda device: "cpu")
    name = str(sd_folder)

    def load(*_, **options):
        return replace(load_model(name, **options | {"local": True}), card=card)

    monkeypatch.setattr(resident, "load_model", load)
    card = replace(card_for(name, local=True), key="tiny", size=64, max_size=64)
    monkeypatch.setattr(engine_room, "card_for", lambda *_, **options: card)
    engine = Engine(("tiny",))
    engine.opened("tiny")
    yield engine
    engine.close()


def test_a_short_job_waits_a_step_of_a_long_one_and_neither_picture_changes(crowd, monkeypatch):
    def events(seed: int, steps: int, method: str, client: str):
        request = validate(crowd.card("tiny"), prompt="a red apple", seed=seed, steps=steps, guidance=2.0, low=0.5)
        return crowd.compare(request, crowd.chosen(request), [method], client=client)

    def picture(stream) -> bytes:
        (event,) = (event for event in stream if isinstance(event, Picture))
        return event.image.tobytes()

    methods = [method for method in METHODS if method in ("reweighted", "freeu", "deis")]
    wanted, short = (
        {method: picture(events(1, 6, method, "a")) for method in methods},
        picture(events(2, 2, "vanilla", "a")),
    )
    emitted: list[tuple[str, str]] = []
    threads, found = [], []
    emit = jobs.Job.emit

    def told(job: jobs.Job, event: object) -> None:
        emitted.append((job.client, type(event).__name__))
        emit(job, event)
        if emitted.count(("a", "Step")) == 2 and not threads:
            threads.append(threading.Thread(target=lambda: found.append(picture(events(2, 2, "vanilla", "b")))))
            threads[0].start()
            while not crowd.worker.status().waiting:
                time.sleep(0.001)

    monkeypatch.setattr(jobs.Job, "emit", told)
    for method in methods:
        for kept in (emitted, threads, found):
            kept.clear()
        crowd._pictures = Pictures()
        assert picture(events(1, 6, method, "a")) == wanted[method], method
        threads[0].join(60)
        assert found == [short], method
        between = emitted[: emitted.index(("b", "Picture"))]
        assert between.count(("a", "Step")) <= 3, f"the short one waited for {between}"
