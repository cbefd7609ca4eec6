"""A batch from the page: what it gives, what it costs, and where it ends."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path

import pytest

from reweight.batch import Batch, Item
from reweight.engine.engine import Engine
from reweight.engine.points import MOST_PUBLIC as MOST_CELLS
from reweight.engine.provenance import read_png
from reweight.engine.request import RequestError
from reweight.ui.controls import defaults
from reweight.ui.screens import batches, sweep
from reweight.ui.screens.base import Call
from reweight.ui.session import Session


@pytest.fixture(scope="module")
def engine():
    engine = Engine()
    yield engine
    engine.close()


def call(engine: Engine, given: dict, **settings) -> Call:
    base = defaults(engine.card("toy-turbo")) | {"prompt": "a cat", "steps": 1, "last_step": 1}
    return Call(engine, Session("me"), base | settings, given)


def test_every_prompt_and_seed_by_every_column_with_a_csv_and_a_manifest(engine: Engine):
    asked = call(engine, {"prompts": "a red cat\n\n a blue dog ", "seeds": "1-2"}, columns=["vanilla", "reweighted"])
    assert "8 pictures (at most 48)" in next(batches.cost(asked))["text"]
    events = [event for event in batches.draw(asked) if event]
    files = {event["name"]: event for event in events if event["kind"] == "file"}
    pictures = [name for name in files if name.endswith(".png")]
    assert len(pictures) == 8 and list(files)[-2:] == ["pictures.csv", "manifest.json"]
    for name in pictures:
        settings = read_png(base64.b64decode(files[name]["base64"]))
        assert name.startswith(settings["request"]["prompt"].replace(" ", "-")) and settings["method"] in name
    rows = list(csv.DictReader(io.StringIO(files["pictures.csv"]["text"])))
    told = json.loads(files["manifest.json"]["text"])
    assert {row["file"] for row in rows} == {one["file"] for one in told["pictures"]} == set(pictures)
    assert all(float(row["ssim_with_vanilla"]) == 1 for row in rows if row["method"] == "vanilla")
    assert {(row["prompt"], row["seed"]) for row in rows} == {(p, s) for p in ("a red cat", "a blue dog") for s in "12"}


def test_a_text_is_no_formula_in_the_csv():
    prompts = {"=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0", "@sum(1)": "'@sum(1)", "a cat": "a cat", "-0.5": "-0.5"}
    rows = {f"{n}.png": {"file": f"{n}.png", "prompt": prompt, "seed": -1} for n, prompt in enumerate(prompts)}
    batch = Batch(None, [Item(Path(name), None, "vanilla", {}) for name in rows], Path(), rows=rows)
    for _ in range(2):  # what was read back is written again
        found = list(csv.DictReader(io.StringIO(batch.as_csv())))
        assert [row["prompt"] for row in found] == list(prompts.values()) and found[0]["seed"] == "-1"
        batch.rows = {row["file"]: row for row in found}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prompts": "a\nb\nc", "seeds": "1-9"}, "at most 48 pictures, not 81"),
        ({"prompts": " \n", "seeds": "1"}, "no prompts"),
        ({"prompts": "a\n" * 101, "seeds": "1"}, "101 prompts"),
        ({"prompts": "a", "seeds": "many"}, "seed"),
        ({"prompts": "x" * 3000, "seeds": "1"}, "prompt"),
        ({"prompts": 3, "seeds": None}, "one per line"),
    ],
)
def test_what_cannot_be_drawn_is_said_before_it_starts(engine: Engine, given: dict, message: str):
    for act in (batches.cost, batches.draw):
        with pytest.raises(RequestError, match=message) as caught:
            next(act(call(engine, given)))
        assert "\n" not in str(caught.value)


def test_a_sweep_in_public_has_its_end_too(engine: Engine):
    given = {
        "across": {"name": "seed", "values": "1-13"},
        "down": {"name": "low", "values": "0.5-1 x5"},
        "column": "vanilla",
    }
    with pytest.raises(RequestError, match=rf"at most {MOST_CELLS} pictures, not 65"):
        next(sweep.cost(call(engine, given)))
    given["across"]["values"] = "1-2"
    assert f"10 pictures (at most {MOST_CELLS})" in next(sweep.cost(call(engine, given)))["text"]
