"""Sweeps: axes as typed, cells drawn in batches equal to the same drawn alone, and what a sweep costs."""

from __future__ import annotations

import time

import numpy as np
import pytest

from reweight.engine.axes import changed, difference, offered, read_axis
from reweight.engine.engine import Engine
from reweight.engine.points import Cell, Point, grid
from reweight.engine.request import RequestError, validate


@pytest.fixture(scope="module")
def engine(sd_folder):
    made = Engine((str(sd_folder),), local=True)
    yield made
    made.close()


@pytest.fixture
def request_(engine):
    name = engine.models[0]
    return validate(
        engine.card(name), prompt="a red apple", model=name, steps=2, guidance=2.0, seed=3, columns=["reweighted"]
    )


def settings(engine):
    name = engine.models[0]
    return offered(
        engine.card(name), [block.label for block in engine.blocks(name)], ["vanilla", "reweighted+freeu"], 2
    )


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("low", "0.9-1.1 x5", (0.9, 0.95, 1, 1.05, 1.1)),
        ("low", "0.8, 1; 1.2", (0.8, 1, 1.2)),
        ("seed", "3-1", (3, 2, 1)),
        ("steps", "1-7 (+3)", (1, 4, 7)),
        ("guidance", "0..2 [3]", (0, 1, 2)),
        ("block.2", "off, 0.5", ("off", 0.5)),
        ("schedule", "Flat, random", ("flat", "random")),
        ("prompt", "a cat, sitting | a dog", ("a cat, sitting", "a dog")),
        ("freeu.b1", "1, 1, 1.2", (1, 1.2)),
    ],
)
def test_values_are_lists_and_ranges(engine, name, text, values):
    assert read_axis(name, text, settings(engine)).values == values


@pytest.mark.parametrize(
    ("name", "text"),
    [("low", ""), ("low", "a lot"), ("low", "1-2 x99999"), ("seed", "0-4000"), ("schedule", "best"), ("nothing", "1"), ("low", 3)],
)  # fmt: skip
def test_what_is_no_axis_is_refused_in_a_sentence(engine, name, text):
    with pytest.raises(RequestError, match=r"\.$"):
        read_axis(name, text, settings(engine))


def test_no_text_takes_long_to_refuse(engine):
    began = time.process_time()
    for text in ("1" * 500 + "-" + "1" * 500 + "!", "1-2 x" + "9" * 4500, "1" + " " * 4000 + "-" + " " * 4000 + "!"):
        with pytest.raises(RequestError, match=r"low.*\.$"):
            read_axis("low", text, settings(engine))
    assert time.process_time() - began < 1


def test_every_setting_that_is_offered_can_be_varied_as_its_example_says(engine, request_):
    blocks = engine.blocks(request_.model)
    for setting in settings(engine):
        for value in read_axis(setting.name, setting.example or "one | two", settings(engine)).values:
            other, column = changed(request_, engine.card(request_.model), {setting.name: value}, blocks)
            assert other.columns == (column,)
            assert setting.name == "column" or len(difference(request_, other)) in (0, 1, 2), setting.name


def test_a_cell_that_cannot_be_is_a_sentence_and_too_many_are_refused(engine, request_):
    card, blocks, known = engine.card(request_.model), engine.blocks(request_.model), settings(engine)
    cells = grid(request_, card, blocks, read_axis("low", "0.9, 1.5", known), read_axis("high", "1.1, 1.6", known))
    assert "swap them" in cells[0, 1] and not isinstance(cells[1, 1], str)
    with pytest.raises(RequestError, match="at most 100"):
        grid(request_, card, blocks, read_axis("seed", "1-20", known), read_axis("low", "0.5-1 x10", known))
    with pytest.raises(RequestError, match="same setting"):
        grid(request_, card, blocks, read_axis("low", "1", known), read_axis("low", "1", known))


def test_a_batch_gives_what_each_gives_alone_and_is_remembered_apart(engine, request_):
    card, blocks, known = engine.card(request_.model), engine.blocks(request_.model), settings(engine)
    cells = grid(request_, card, blocks, read_axis("low", "0.5-1 x3", known), read_axis("block.5", "off, 1.5", known))
    points = [Point(place, *cell, engine.chosen(cell[0])) for place, cell in cells.items()]
    assert engine.sweep_cost(points) == (12, 0)
    drawn = {event.point.place: event for event in engine.sweep(points) if isinstance(event, Cell)}
    assert len(drawn) == 6 and sum(cell.together for cell in drawn.values()) == 5
    assert engine.sweep_cost(points) == (0, 6)
    for point in points:
        alone = next(event for event in engine.compare(point.request, point.chosen) if hasattr(event, "image"))
        assert alone.cached is not drawn[point.place].together  # what was drawn in a batch is never given as exact
        a, b = (np.asarray(image, int) for image in (alone.image, drawn[point.place].made.image))
        assert np.abs(a - b).max() <= 1


def test_seeds_and_prompts_share_a_batch_but_steps_do_not(engine, request_):
    card, blocks, known = engine.card(request_.model), engine.blocks(request_.model), settings(engine)
    cells = grid(request_, card, blocks, read_axis("seed", "11-13", known), read_axis("prompt", "a cat | a dog", known))
    points = [Point(place, *cell, engine.chosen(cell[0])) for place, cell in cells.items()]
    drawn = [event for event in engine.sweep(points) if isinstance(event, Cell)]
    assert [cell.together for cell in drawn] == [False] + [True] * 5
    assert len({cell.made.image.tobytes() for cell in drawn}) == 6
    steps = grid(request_, card, blocks, read_axis("steps", "3-4", known), None)
    points = [Point(place, *cell, engine.chosen(cell[0])) for place, cell in steps.items()]
    assert not any(event.together for event in engine.sweep(points) if isinstance(event, Cell))
