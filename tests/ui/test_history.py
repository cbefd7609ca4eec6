"""A picture as a script that draws it again, and settings out of pictures."""

from __future__ import annotations

import base64
import time

import numpy as np
import pytest
from PIL import Image

from reweight.engine.drawing import drawing_of
from reweight.engine.engine import Engine, Picture
from reweight.engine.foreign import read_parameters
from reweight.engine.provenance import png_bytes, settings_of
from reweight.engine.python_script import python_script
from reweight.engine.request import validate
from reweight.models.registry import ASSETS
from reweight.ui.controls import defaults
from reweight.ui.screens.base import Call
from reweight.ui.screens.history import cite, restore, script
from reweight.ui.session import Session

pytestmark = pytest.mark.skipif(not (ASSETS / "toy-turbo").is_dir(), reason="the embedded model is not here")
PAINTED = [["off", None, 0.5, None, None, None, 1.3], [None] * 6 + ["off"]]


@pytest.fixture(scope="module")
def engine():
    made = Engine(("toy-turbo",))
    yield made
    made.close()


def call(engine, given, **changes):
    settings = defaults(engine.card("toy-turbo")) | {"prompt": "a painting of a fox in the snow"} | changes
    return Call(engine, Session("someone"), settings, given)


@pytest.mark.parametrize("column", ["vanilla", "reweighted", "reweighted+freeu"])
def test_the_script_that_is_shown_draws_the_same_pixels(engine, tmp_path, monkeypatch, column):
    asked = call(engine, {"column": column}, painted=PAINTED, columns=[column], seed=11)
    (shown,) = script(asked)
    request = asked.request()
    (picture,) = (e for e in engine.compare(request, asked.chosen(request)) if isinstance(e, Picture))
    monkeypatch.chdir(tmp_path)
    exec(compile(shown["text"], "draw.py", "exec"), {})
    with Image.open(tmp_path / f"{column.replace('+', '-')}.png") as image:
        assert image.tobytes() == picture.image.tobytes()


def test_a_script_of_any_method_is_python(engine):
    from reweight.methods import METHODS

    request = validate(engine.card("toy-turbo"), prompt='it\'s a "fox"\\', model="toy-turbo", negative_prompt="'")
    loaded = engine.opened("toy-turbo")
    drawing = drawing_of(request, engine.chosen(request), loaded)
    for key in METHODS:
        compile(python_script(request, key, drawing, loaded), key, "exec")


def picture(engine, asked):
    """A PNG of the re-weighted column."""
    request = asked.request()
    (made,) = (e for e in engine.compare(request, asked.chosen(request), ["reweighted"]) if isinstance(e, Picture))
    settings = settings_of(request, engine.opened("toy-turbo"), "reweighted", made.weights, made.table_sha256)
    return made.image, settings, png_bytes(made.image, settings)


def brought_back(engine, data):
    (event,) = restore(call(engine, {"png": base64.b64encode(data).decode()}))
    assert event["kind"] == "restored"
    return call(engine, {}, **{n: v for n, v in event["settings"].items() if "." not in n}), event


def test_a_picture_brings_every_setting_back(engine):
    asked = call(engine, {}, painted=PAINTED, low=0.7, seed=9, prompt="a photo of a penguin on a beach")
    image, _, data = picture(engine, asked)
    again, event = brought_back(engine, data)
    assert event["settings"]["low"] == 0.7 and event["settings"]["seed"] == 9
    assert picture(engine, again)[0].tobytes() == image.tobytes()


def test_the_weights_come_back_where_the_table_is_missing(engine):
    asked = call(engine, {})
    _, settings, _ = picture(engine, asked)
    weights = np.asarray(settings["weights"]) * 1.1
    image = Image.new("RGB", (64, 64))
    again, event = brought_back(engine, png_bytes(image, settings | {"weights": weights.tolist()}))
    assert "painted" in event["text"]
    drawing = drawing_of(again.request(), again.chosen(again.request()), engine.opened("toy-turbo"))
    np.testing.assert_allclose(again.request().reweighting.tables(drawing)[0], weights)


def test_settings_of_other_tools():
    text = 'a fox, in\nsnow\nNegative prompt: ugly, bad\nSteps: 20, Sampler: "Euler, a", CFG scale: 7.5, Seed: 5, Size: 512x512, Model: x'
    assert read_parameters(text) == {
        "prompt": "a fox, in snow", "negative_prompt": "ugly, bad", "steps": 20, "seed": 5, "guidance": 7.5, "size": 512,
    }  # fmt: skip
    for bad in ("", "a fox", "a fox\nSize: 5x5"):
        with pytest.raises(ValueError, match=r"\.$"):
            read_parameters(bad)


@pytest.mark.parametrize("line", ["a" * 19_000, "a " * 9_500, " " * 19_000 + "!", 'a:"' * 6_000])
def test_no_text_of_another_tool_takes_long(line):
    began = time.process_time()
    assert read_parameters(f"a fox\nSteps: 3, {line}, Seed: 5")["steps"] == 3
    assert time.process_time() - began < 1


def test_another_tools_picture_brings_what_this_model_can_have(engine):
    text = "a fox\nSteps: 4, CFG scale: 2, Seed: 5, Size: 512x512"
    (event,) = restore(call(engine, {"text": text}))
    assert (event["settings"]["steps"], event["settings"]["seed"], event["settings"]["size"]) == (4, 5, 128)
    assert "Left out" in event["text"] and "size" in event["text"]


@pytest.mark.parametrize("given", [{"png": "no"}, {"png": ""}, {}, {"png": base64.b64encode(b"x" * 40).decode()}])
def test_what_is_no_picture_of_ours_is_refused_in_a_sentence(engine, given):
    with pytest.raises(ValueError, match=r"\.$"):
        list(restore(call(engine, given)))


def test_a_citation_names_what_is_compared(engine):
    (said,) = cite(call(engine, {}, columns=["vanilla", "reweighted+freeu"]))
    assert said["text"].count("@") == 3 and "2504.03471" in said["text"]
