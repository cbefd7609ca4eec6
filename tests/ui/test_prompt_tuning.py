"""Weights tuned for the prompt on the page: Stop keeps them, and they serve that prompt alone."""

from contextlib import closing

import numpy as np
import pytest

from reweight.engine.engine import Engine
from reweight.engine.request import validate
from reweight.models.registry import card_for
from reweight.ui.live import Call
from reweight.ui.screens.importance import Importance
from reweight.ui.session import Sessions

PROMPT = "a photo of a boat on a beach"


@pytest.fixture
def call():
    engine = Engine(("toy-turbo",))
    settings = validate(card_for("toy-turbo"), model="toy-turbo", prompt=PROMPT, steps=1, schedule="tuned").settings()
    yield Call(engine, Sessions().begin(), settings, {})
    engine.close()


def test_what_was_tuned_before_stop_serves_the_prompt_and_no_other(call):
    shipped = call.chosen(call.request()).weight_table
    kinds = []
    with closing(Importance().acts()["tune"](call)) as events:
        for event in events:
            kinds.append(event and event["kind"])
            if kinds.count("status") == 2:
                break  # Stop
    assert kinds.index("schedule") < kinds.index("importance") and "tuned" not in kinds
    chosen = call.chosen(call.request())
    assert chosen.source == "weights tuned for this prompt just now" and chosen.weight_table.steps == 1
    assert chosen.weight_table is call.session.tables.tuned[-1][1] and chosen.weight_table != shipped
    np.testing.assert_array_equal(chosen.weights, chosen.weight_table.weights)
    other = call.request().model_copy(update={"prompt": "a red apple"})
    assert call.chosen(other).weight_table == shipped
