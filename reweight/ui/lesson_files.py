"""Lessons as data: a JSON file each, in the folder lessons/ or brought by a teacher."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from ..storage.strict_json import read_object, sentence

FOLDER = Path(__file__).parent / "lessons"
SAMPLE = FOLDER / "sample" / "only-the-decoder.json"
WHAT = "a lesson"
MISSING = {  # what a lesson without it needs, beside the name
    "format": ' (it begins with "format": "reweight-lesson-1")', "title": ", its name", "minutes": ", how long it takes",
    "about": ", a sentence that says what it is about", "cards": ", a list of cards that each have a text or a question",
}  # fmt: skip
MAX_BYTES = 100_000
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Block = Annotated[str, Field(pattern=r"^(mid|(up|down)-\d)$")]
At = Literal["all", "first", "last"]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


class Question(_Strict):
    """A question to answer before one sees: its options, which of them is right, and why."""

    question: Text
    options: Annotated[list[Text], Field(min_length=2, max_length=6)]
    answer: Annotated[int, Field(ge=0, le=5)]
    because: Text

    @model_validator(mode="after")
    def _is_among_them(self) -> Question:
        if self.answer >= len(self.options):
            raise ValueError(f"answer {self.answer} is none of the {len(self.options)} options, which count from 0")
        return self


class Done(_Strict):
    """When a card is done: cells are painted ("off" or "any"; of a block), or a setting is as it should be.

    at: the steps at which the block has to be painted: all of them, or the one named and no other. only: nothing else is.
    """

    painted: Literal["off", "any"] | None = None
    block: Block | None = None
    at: At | None = None
    only: bool = False
    setting: str | None = None
    below: float | None = None
    above: float | None = None
    is_: Annotated[str | float | None, Field(alias="is")] = None
    and_: Annotated[Done | None, Field(alias="and")] = None


class Act(_Strict):
    """What a card does to the page: open a screen or a model, set settings, clear what is painted, or paint a block.

    at: the steps that a click on a block is for.
    """

    screen: str | None = None
    model: str | None = None
    set: dict[str, JsonValue] | None = None
    unpaint: bool | None = None
    at: At | None = None
    paint: dict[str, JsonValue] | None = None


class Card(_Strict):
    """One card. mark: a block that is outlined. open: a part of the page to unfold and bring into view. reveal: said once it is done.

    measure: something that is measured here, "parabola". sources: sentences of docs/FINDINGS.md that it stands on.
    """

    text: Text | None = None
    do: list[Act] = []
    ask: Question | None = None
    mark: Block | None = None
    open: str | None = None
    done: Done | None = None
    reveal: Text | None = None
    measure: Literal["parabola"] | None = None
    sources: list[Text] = []


class Start(_Strict):
    """What a lesson stands on: its model, where that is served, and settings over the model's own defaults."""

    model: str | None = None
    set: dict[str, JsonValue] = {}


class Lesson(_Strict):
    """A lesson of some cards; minutes is how long it takes in class. takeaway: the last word, once all are done."""

    format: Literal["reweight-lesson-1"]
    order: int = 100
    title: Text
    minutes: Annotated[int, Field(ge=1, le=120)]
    about: Text
    takeaway: Text | None = None
    start: Start = Start()
    cards: Annotated[list[Card], Field(min_length=1, max_length=30)]


def read_lesson(text: str | bytes) -> dict[str, Any]:
    """A lesson as plain JSON. ValueError of one sentence for what is none."""
    value = read_object(text, WHAT, MAX_BYTES)
    try:
        return Lesson.model_validate(value).model_dump(by_alias=True, exclude_none=True)
    except ValidationError as error:
        raise ValueError(_wrong(error)) from error


def _wrong(error: ValidationError) -> str:
    """The first of the faults, as a sentence for who writes the lesson: where it is, and what is missing or unknown there."""
    fault = error.errors(include_url=False, include_input=False)[0]
    *way, last = fault["loc"] or ("",)
    place = "it"
    if way[:1] == ["cards"] and len(way) > 1:
        inner = "".join(f"“{part}” of " for part in reversed(way[2:]) if isinstance(part, str))
        place = f"{inner}card {int(way[1]) + 1}"
    if fault["type"] == "missing":
        return f"This is not {WHAT}: {place} has no “{last}”{MISSING.get(str(last), '') if place == 'it' else ''}."
    if fault["type"] == "extra_forbidden":
        return f"This is not {WHAT}: {place} has “{last}”, which lessons do not know."
    return sentence(error, WHAT)


@lru_cache(maxsize=1)
def lessons() -> tuple[dict[str, Any], ...]:
    """The lessons that come with the demo, in their order, each with its file's name as key."""
    found = [read_lesson(path.read_bytes()) | {"key": path.stem} for path in sorted(FOLDER.glob("*.json"))]
    return tuple(sorted(found, key=lambda lesson: lesson["order"]))
