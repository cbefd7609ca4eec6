"""The pictures drawn beforehand are those of the model that ships, at the page's defaults."""

from __future__ import annotations

import base64
import json

import pytest
from server import ROOT

from reweight.bench.embedded.draw_atlas import COLUMNS, asked
from reweight.engine.engine import Engine
from reweight.engine.provenance import read_png
from reweight.engine.resolving import EXAMPLES
from reweight.models.registry import DEFAULT, REGISTRY
from reweight.ui import atlas
from reweight.ui.atlas import FOLDER, INDEX, beforehand, key_of
from reweight.ui.controls import SEED, defaults
from reweight.ui.page import begin, build_demo
from reweight.ui.screens.base import Call
from reweight.ui.screens.compare import draw
from reweight.ui.session import Session

AGAIN = "run `python -m reweight bench atlas`"
EMBEDDED = [key for key, card in REGISTRY.items() if card.embedded]


@pytest.fixture(scope="module")
def engine():
    engine = Engine(tuple(dict.fromkeys([DEFAULT, *EMBEDDED])))
    yield engine
    engine.close()


@pytest.mark.parametrize("model", EMBEDDED)
def test_every_example_is_there_for_the_revision_and_the_defaults(engine: Engine, model: str):
    told = json.loads((FOLDER / model / INDEX).read_text(encoding="utf-8"))
    assert told["revision"] == engine.opened(model).revision, AGAIN
    requests = asked(engine, model)
    assert [request.prompt for request in requests] == list(EXAMPLES)
    for request in requests:
        chosen = engine.chosen(request)
        for column in COLUMNS:
            ready = beforehand(model, key_of(engine, request, column, chosen))
            assert ready is not None, f"{column} of {request.prompt}: {AGAIN}"
            settings = read_png(base64.b64decode(ready["png"]))
            assert (settings["method"], settings["request"]["prompt"]) == (column, request.prompt)
            assert settings["revision"] == told["revision"] and settings["versions"] == told["versions"]
    files = {path.name for path in (FOLDER / model).glob("*.png")}
    assert files == {one["file"] for one in told["pictures"].values()}, AGAIN


def test_they_are_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.png")) < 6_000_000


def test_the_page_begins_with_them_and_other_settings_find_nothing(engine: Engine):
    first = begin(engine, "")["first"]
    kinds = [event["kind"] for event in first]
    assert kinds == ["grid", "picture", "picture", "measured", "picture", "measured", "status"]
    assert all(event["precomputed"] for event in first if event["kind"] == "picture")
    assert begin(engine, "low=0.35&high=1.7&columns=[%22reweighted%22]")["first"] == []
    assert begin(engine, "prompt=a+fish&model=toy-turbo")["first"] == []


def test_the_pages_html_has_them_too(engine: Engine):
    demo = build_demo(engine)
    assert demo.painted("").count("data:image/png") == 3
    assert demo.painted("prompt=a+fish") == ""


def test_an_address_of_megabytes_is_taken_for_none(engine):
    begun = begin(engine, "prompt=a+fish&" + "&".join(f"a{n}=1" for n in range(50_000)))
    assert begun["settings"]["prompt"] != "a fish" and begun["first"]


def test_an_examples_pictures_come_before_the_drawing_and_only_once(engine: Engine):
    settings = defaults(engine.card(DEFAULT)) | {"prompt": EXAMPLES[1]}

    def drawn(**given):
        return list(draw(Call(engine, Session("me"), settings, given)))

    events = [event for event in drawn(have=[], ready=[]) if event and event["kind"] == "picture"]
    assert [bool(event.get("precomputed")) for event in events] == [True] * 3 + [False] * 3
    keys = [event["key"] for event in events[:3]]
    assert {event["key"] for event in events[3:]} == set(keys)
    again = [event for event in drawn(have=[], ready=keys) if event and event["kind"] == "picture"]
    assert len(again) == 3 and not any(event.get("precomputed") for event in again)
    assert not [event for event in drawn(have=keys) if event and event["kind"] == "picture"]


def test_a_damaged_file_is_not_shown(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    request = asked(engine, DEFAULT)[0]
    key = key_of(engine, request, "vanilla", engine.chosen(request))
    assert beforehand(DEFAULT, key) is not None
    monkeypatch.setattr(atlas, "_bytes", lambda file: b"\x89PNG but not that one")
    assert beforehand(DEFAULT, key) is None


def test_a_model_that_is_still_starting_is_said_to_be():
    words = {cold: atlas.said(cold) for cold in (True, False)}
    assert "starting" in words[True] and words[True] != words[False]


def test_where_the_sliders_stand_at_first_was_measured():
    """From there a drag of a quarter of either slider, and each end, changes the example that is shown first clearly."""
    for name, prompts in (("defaults-toy-turbo", EXAMPLES), ("defaults-toy-turbo-first", EXAMPLES[:1])):
        told = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text(encoding="utf-8"))
        card = REGISTRY[told["model"]]
        assert told["at_first"] == [card.low, card.high] and told["prompts"] == list(prompts) and told["seed"] == SEED
    first = told["pairs"][f"{card.low:g}-{card.high:g}"]
    assert max(first.values()) < 0.9
