"""Pictures drawn in the midst of a probe are the ones drawn alone, and the probe's table is the one made alone."""

from __future__ import annotations

import threading

import pytest

from reweight.engine import worker
from reweight.engine.engine import Agreement, Engine, Picture, ProbeSnapshot
from reweight.engine.request import validate


@pytest.fixture
def engine(sd_folder):
    engine = Engine((str(sd_folder),), local=True)
    yield engine
    engine.close()


def asked(engine: Engine, **changes):
    return validate(
        engine.opened(engine.models[0]).card, prompt="a red apple on table", steps=3, guidance=2.0, **changes
    )


def drawn(engine: Engine, seed: int, client: str) -> list[bytes]:
    request = asked(engine, seed=seed)
    events = engine.compare(request, engine.chosen(request), client=client)
    return [event.image.tobytes() for event in events if isinstance(event, Picture)]


def probed(engine: Engine) -> tuple[str, Agreement]:
    snapshots = engine.probe(asked(engine), runs=2, iterations=3, client="a/prober")
    table = [event for event in snapshots if isinstance(event, ProbeSnapshot)][-1].table
    (agreement,) = (e for e in engine.agreement(asked(engine), table.scores) if isinstance(e, Agreement))
    return table.to_json(), agreement


def test_nothing_changes_where_jobs_take_turns_in_the_midst_of_each_other(sd_folder, engine, monkeypatch):
    alone = Engine((str(sd_folder),), local=True)
    expected = probed(alone), [drawn(alone, seed, "b") for seed in range(4)]
    alone.close()
    monkeypatch.setattr(worker, "TURN", 0.0)
    pictures: list[list[bytes]] = []
    thread = threading.Thread(target=lambda: pictures.extend(drawn(engine, seed, "b/drawer") for seed in range(4)))
    thread.start()
    table = probed(engine)
    thread.join(120)
    assert (table, pictures) == expected
