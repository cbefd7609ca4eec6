"""What the page says of tables and pictures, and whether it can be read."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from reweight.ui.panels.svg import heatmap

from reweight.engine.engine import Picture
from reweight.engine.request import validate
from reweight.engine.resolving import shipped
from reweight.ui.wording import caption, findings


def test_the_verdict_comes_first_and_runs_under_way_have_not_voted():
    table = shipped("toy")[0]
    told = table.diagnostics | {"tau_b_bypass": 0.9, "tau_b_scaling": 0.8, "runs_completed": 15}
    said = re.findall("<li>(.*?)</li>", findings(replace(table, diagnostics=told)))
    assert said[0].startswith("Checked directly: this ranking agrees") and said[1].startswith("15 runs voted")
    told = {"runs_completed": 0} | {name: value for name, value in told.items() if name != "runs_completed"}
    del told["tau_b_bypass"]
    (said, *_) = re.findall("<li>(.*?)</li>", findings(replace(table, diagnostics=told)))
    assert said.startswith("15 runs under way") and "voted" not in said


def test_one_run_says_nothing_of_how_sure_a_score_is():
    table = shipped("toy")[0]
    assert "uncertain by about ±" in findings(table)
    alone = findings(replace(table, runs=1))
    assert "±" not in alone and "one run cannot tell" in alone


def test_it_is_said_that_errors_were_foreseen():
    table = shipped("toy")[0]
    assert "was foreseen" not in findings(table)
    assert "was foreseen" in findings(replace(table, settings=table.settings | {"surrogate": True}))


def test_the_caption_says_when_the_ranking_has_no_effect():
    request = validate(prompt="a red apple", steps=2, low=0.9, high=1.2)
    drawn = Picture("reweighted", Image.new("RGB", (8, 8)), 1.0, False, np.array([[0.9, 1.2], [1.0, 1.1]]))
    assert "Importance: weights 0.900 to 1.200" in caption(drawn, request, None)
    flat = replace(drawn, weights=np.full((2, 2), 1.1))
    assert "Importance: every weight 1.100, whatever the ranking" in caption(flat, request, None)


PALETTE = {"importance": ("#f6efe1", "#7a2a06"), "weight": ("#f1eee8", "#a63c06")}
LMS = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
LAB = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip


def _linear(colour):
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def _luminance(linear):
    return float(linear.clip(0, 1) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("kind", ["importance", "weight"])
def test_every_number_of_a_heatmap_can_be_read(kind):
    values = np.linspace(0, 1, 21) if kind == "importance" else np.linspace(1, 1.4, 21)
    drawn = "".join(
        heatmap(
            np.array([[value]]), np.array([[0.5]]), ["0"], np.array([["note"]], dtype=object), kind=kind,
            on=np.ones((1, 1), bool), title="t",
        ) for value in values
    )  # fmt: skip
    cells = re.findall(r'style="--v:([\d.]+)".*?class="rw-number( rw-pale)?"', drawn)
    assert len(cells) == 21 and 0 < sum(bool(pale) for _, pale in cells) < 21
    start, end = (LAB @ np.cbrt(LMS @ _linear(colour)) for colour in PALETTE[kind])
    for shade, pale in cells:
        mixed = start * (1 - float(shade)) + end * float(shade)
        under = _luminance(np.linalg.inv(LMS) @ (np.linalg.inv(LAB) @ mixed) ** 3)
        over = 1.0 if pale else _luminance(_linear("#1d1a16"))
        dark, light = sorted((under, over))
        assert (light + 0.05) / (dark + 0.05) > 3.9, shade
