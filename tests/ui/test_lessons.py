"""Lessons: they are what the page expects, and what they claim stands in the findings."""

from __future__ import annotations

import json
import re

import pytest
from server import ROOT

from reweight.methods import METHODS
from reweight.schedule import CONTROLS
from reweight.ui.lesson_files import SAMPLE, lessons, read_lesson
from reweight.ui.screens import SCREENS

TITLES = {screen.title for screen in SCREENS.values()}
FINDINGS = " ".join(re.sub(r"<!--.*?-->", "", (ROOT / "docs" / "FINDINGS.md").read_text(encoding="utf-8")).split())
CARDS = [(lesson["key"], n, card) for lesson in lessons() for n, card in enumerate(lesson["cards"], 1)]


@pytest.mark.parametrize(("key", "n", "card"), CARDS)
def test_a_card_names_what_there_is_and_claims_what_was_measured(key, n, card):
    for act in card["do"]:
        assert "screen" not in act or act["screen"] in TITLES
        assert act.get("set", {}).get("schedule", "flat") in CONTROLS
        assert {part for column in act.get("set", {}).get("columns", []) for part in column.split("+")} <= set(METHODS)
    for source in card["sources"]:
        assert " ".join(source.split()) in FINDINGS, source
    assert card.get("text") or card.get("ask")


def test_a_number_in_a_lesson_has_its_source():
    """Every figure of three digits or more, as in -0.0179, stands in a source of the same card."""
    for key, n, card in CARDS:
        said = " ".join(filter(None, (card.get("text"), card.get("reveal"), card.get("ask", {}).get("because"))))
        for figure in re.findall(r"\d?\.\d{3,}", said):
            assert figure.lstrip("0") in " ".join(card["sources"]), (key, n, figure)


def test_a_question_is_asked_where_nothing_on_the_screen_answers_it():
    """Importance says the agreement, Ablate each block's effect, and Watch plays: questions come on Compare."""
    for lesson in lessons():
        screen = None
        for n, card in enumerate(lesson["cards"], 1):
            screen = next((act["screen"] for act in reversed(card["do"]) if "screen" in act), screen)
            assert "ask" not in card or screen == "Compare", (lesson["key"], n)


def test_a_lesson_says_what_it_stands_on_and_a_switched_off_block_at_which_steps():
    for lesson in lessons():
        start = lesson["start"]
        assert {"model", "set"} <= start.keys() and {"low", "high", "schedule"} <= start["set"].keys(), lesson["key"]
        done = [card.get("done", {}) for card in lesson["cards"]]
        assert all("at" in one for one in done if one.get("block")), lesson["key"]


def test_there_are_enough_and_each_begins_somewhere():
    assert len(lessons()) >= 7 and [lesson["order"] for lesson in lessons()] == sorted(
        lesson["order"] for lesson in lessons()
    )
    assert all(5 <= lesson["minutes"] <= 10 for lesson in lessons())


@pytest.mark.parametrize(
    "change",
    [
        {"format": "2"}, {"cards": []}, {"minutes": 0}, {"extra": 1}, {"cards": [{"ask": {"question": "?"}}]},
        {"cards": [{"ask": {"question": "a", "options": ["a", "b"], "answer": 2, "because": "c"}}]},
        {"cards": [{"mark": "somewhere"}]},
    ],
)  # fmt: skip
def test_what_is_no_lesson_is_refused_in_a_sentence(change):
    assert read_lesson(SAMPLE.read_bytes())["cards"][-1]["done"]["at"] == "all"
    good = {"format": "reweight-lesson-1", "title": "a", "minutes": 1, "about": "b", "cards": [{"text": "c"}]}
    assert read_lesson(json.dumps(good))["cards"][0]["text"] == "c"
    with pytest.raises(ValueError, match=r"^This is not a lesson.*\.$"):
        read_lesson(json.dumps(good | change))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", 'This is not a lesson: it has no “format” (it begins with "format": "reweight-lesson-1").'),
        (
            '{"format": "reweight-lesson-1", "title": "a", "minutes": 1, "about": "b", "cards": [{"text": "c"}, {"ask": {"question": "d", "options": ["e", "f"], "answer": 0}}]}',
            "This is not a lesson: “ask” of card 2 has no “because”.",
        ),
        (
            '{"format": "reweight-lesson-1", "title": "a", "minutes": 1, "about": "b", "cards": [{"txt": "c"}]}',
            "This is not a lesson: card 1 has “txt”, which lessons do not know.",
        ),
    ],
)
def test_what_a_lesson_lacks_is_said_with_its_place(text, said):
    with pytest.raises(ValueError) as refused:
        read_lesson(text)
    assert str(refused.value) == said
