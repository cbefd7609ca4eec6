"""What a person asks for, checked: one `validate` for the app, the API and the command line."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, ValidationError, model_validator

from .. import schedule
from ..methods import PRESETS, FreeU
from ..models.registry import DEFAULT, REGISTRY, ModelCard

Schedule = Literal["importance", "empirical", "inverted", "reversed", "flat", "random"]

CHARACTERS = 2000
MAX_STEPS, MAX_SIZE, MAX_BLOCKS = 50, 2048, 64
SEED = 42  # the paper's
BREAKS = dict.fromkeys(map(ord, "\t\n\v\f\r\x85\u2028\u2029"), " ")
DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class RequestError(ValueError):
    """A request that cannot be met as it stands, in one sentence for a person."""


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("must be text")
    if len(value) > 3 * CHARACTERS:  # composing shortens a text to a third at most
        raise ValueError(f"is longer than {CHARACTERS} characters")
    value = value.translate(BREAKS)
    kinds = {unicodedata.category(character) for character in value}
    if "Cs" in kinds:
        raise ValueError("holds half of a character (a surrogate): type it again")
    if "Cc" in kinds or DIRECTIONS & set(value):
        raise ValueError("holds a control character: take it out")
    value = unicodedata.normalize("NFC", value).strip()
    if len(value) > CHARACTERS:
        raise ValueError(f"is longer than {CHARACTERS} characters")
    return value


def _prompt(value: Any) -> str:
    value = _text(value)
    if {unicodedata.category(character) for character in value} <= {"Zs", "Cf"}:
        raise ValueError("is empty: write what the picture should show")
    return value


def _whole(lowest: int, highest: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        whole = type(value) is int or (isinstance(value, float) and math.isfinite(value) and value == int(value))
        if not whole or not lowest <= value <= highest:
            raise ValueError(f"must be a whole number from {lowest} to {highest}")
        return int(value)

    return check


def _number(lowest: float, highest: float, above: bool = False) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        real = type(value) is int or isinstance(value, float)
        if not real or not lowest <= value <= highest or (above and value == lowest):
            start = f"above {lowest:g} and up" if above else f"from {lowest:g}"
            raise ValueError(f"must be a number {start} to {highest:g}")
        return float(value) + 0.0  # no negative zero

    return check


def _indices(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) > MAX_BLOCKS:
        raise ValueError("must be a list of block numbers, counted from 0")
    try:
        return tuple(sorted({_whole(0, MAX_BLOCKS - 1)(item) for item in value}))
    except ValueError as error:
        raise ValueError("must be a list of block numbers, counted from 0") from error


def _freeu(value: Any) -> FreeU:
    if isinstance(value, Mapping):
        if not set(value) <= {"b1", "b2", "s1", "s2", "version"} or len(value) < 4:
            raise ValueError("needs b1, b2, s1 and s2, and nothing else but a version")
        value = dict(value)
    elif isinstance(value, FreeU):
        value = asdict(value)
    else:
        raise ValueError("must be settings with b1, b2, s1, s2 and version")
    factors = {}
    for name in ("b1", "b2", "s1", "s2"):
        try:
            factors[name] = _number(0, 4)(value.get(name))
        except ValueError as error:
            raise ValueError(f"{name} {error}") from error
    return FreeU(**factors, version=_version(value.get("version", 2)))


def _version(value: Any) -> int:
    try:
        return _whole(1, 2)(value)
    except ValueError as error:
        raise ValueError(f"version {error}") from error


Text = Annotated[str, BeforeValidator(_text)]
Steps = Annotated[int, BeforeValidator(_whole(1, MAX_STEPS))]
Weight = Annotated[float, BeforeValidator(_number(0, 2, above=True))]


class Request(BaseModel):
    """One comparison, whole and checked; equal by content, hashable. Make it with `validate`.

    first_step, last_step: the steps that are re-weighted, counted from 1, both included. blocks: the indices of the
    blocks that are re-weighted, None for all. Elsewhere weights are 1. size: the picture's side in pixels.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    prompt: Annotated[str, BeforeValidator(_prompt)]
    negative_prompt: Text
    model: Annotated[str, Field(min_length=1, max_length=1000)]
    seed: Annotated[int, BeforeValidator(_whole(0, 2**32 - 1))]
    steps: Steps
    guidance: Annotated[float, BeforeValidator(_number(0, 30))]
    low: Weight
    high: Weight
    schedule: Schedule
    first_step: Steps
    last_step: Steps
    blocks: Annotated[tuple[int, ...] | None, BeforeValidator(_indices)]
    freeu: Annotated[InstanceOf[FreeU], BeforeValidator(_freeu)]
    size: Annotated[int, BeforeValidator(_whole(64, MAX_SIZE))]

    @model_validator(mode="after")
    def _fits_together(self) -> Request:
        if self.low > self.high:
            raise ValueError(f"The low weight {self.low:g} is above the high weight {self.high:g}: swap them.")
        if not self.first_step <= self.last_step <= self.steps:
            raise ValueError(
                f"The steps to re-weight run from {self.first_step} to {self.last_step}: choose a first and a last "
                f"step, in that order, among the {self.steps} steps."
            )
        if self.size % 8:
            below = self.size // 8 * 8
            raise ValueError(f"The size must be a multiple of 8: choose {below} or {below + 8}.")
        return self

    def settings(self) -> dict[str, Any]:
        """Every field in JSON's own types; `validate(**settings)` gives the same request."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        blocks = None if self.blocks is None else list(self.blocks)
        return values | {"blocks": blocks, "freeu": asdict(self.freeu)}

    def weights(self, scores: np.ndarray) -> np.ndarray:
        """Weights (T, m) by Eq. 7 for scores (T, m): the schedule, then 1 outside the step window and the blocks.

        For the empirical schedule give the empirical scores. RequestError if the scores do not fit the request.
        """
        scores = np.asarray(scores, dtype=np.float64)
        if scores.ndim != 2 or scores.size == 0 or not np.isfinite(scores).all():
            raise RequestError(f"Scores are finite numbers of shape (steps, blocks), not of shape {scores.shape}.")
        if len(scores) != self.steps:
            raise RequestError(f"The importance table has {len(scores)} steps but {self.steps} are asked for.")
        chosen = self.mask(scores.shape[1])
        return np.where(chosen, schedule.weights(self.controlled(scores), self.low, self.high), 1.0)

    def controlled(self, scores: np.ndarray) -> np.ndarray:
        """Scores (T, m) after the schedule's control, such as turned round by "inverted"."""
        control = schedule.CONTROLS["importance" if self.schedule == "empirical" else self.schedule]
        return control(scores, self.seed)

    def mask(self, m: int) -> np.ndarray:
        """Where weights apply, (T, m) bool: in the step window, for the blocks. RequestError for no such block."""
        if self.blocks and self.blocks[-1] >= m:
            raise RequestError(f"There is no block {self.blocks[-1]}: this model has blocks 0 to {m - 1}.")
        chosen = np.zeros((self.steps, m), dtype=bool)
        columns = list(range(m)) if self.blocks is None else list(self.blocks)
        chosen[self.first_step - 1 : self.last_step, columns] = True
        return chosen

    def vanilla_key(self) -> tuple[Any, ...]:
        """Everything that the vanilla picture depends on; hashable."""
        return self.model, self.prompt, self.negative_prompt, self.seed, self.steps, self.guidance, self.size

    def freeu_key(self) -> tuple[Any, ...]:
        """Everything that the FreeU picture depends on; hashable."""
        return *self.vanilla_key(), self.freeu


NAMES = {
    "negative_prompt": "The negative prompt", "steps": "The number of steps", "low": "The low weight",
    "high": "The high weight", "first_step": "The first step", "last_step": "The last step", "blocks": "The blocks",
    "freeu": "FreeU", "size": "The size",
}  # fmt: skip


def validate(card: ModelCard | None = None, /, **raw: Any) -> Request:
    """Check what somebody asks for. RequestError of one sentence, the first fault's, for anything that is not right.

    raw: the fields of `Request`; what is missing or None takes the model's default, but for the prompt. Types are
    exact: True is not 1 and "3" is not 3; an int may stand for a float, and 12.0 for 12, as sliders give it.
    card: of a model that is not in the registry (`models.card_for`), trusted, and so not by name: no caller of the
    API can give it.
    """
    if unknown := sorted(set(raw) - set(Request.model_fields)):
        fields = ", ".join(Request.model_fields)
        raise RequestError(f"There is no setting {unknown[0][:40]!a}: choose from {fields}.")
    card = card or _card(raw.get("model"))
    given = {name: value for name, value in raw.items() if value is not None}
    if given.setdefault("model", card.key) != card.key:
        raise RequestError("That is not the model that is loaded: choose it first.")
    steps = given.get("steps", card.steps)
    defaults = {
        "prompt": "",
        "negative_prompt": card.negative_prompt,
        "seed": SEED,
        "steps": steps,
        "guidance": card.guidance,
        "low": card.low,
        "high": card.high,
        "schedule": "importance",
        "first_step": 1,
        "last_step": steps,
        "blocks": None,
        "freeu": PRESETS[card.family],
        "size": card.size,
    }
    try:
        request = Request.model_validate(defaults | given)
    except ValidationError as error:
        raise RequestError(_sentence(error)) from error
    if request.steps > card.max_steps:
        raise RequestError(
            f"The number of steps must be at most {card.max_steps} for {card.title}, not {request.steps}."
        )
    if request.size > card.max_size:
        raise RequestError(f"The size must be at most {card.max_size} pixels for {card.title}, not {request.size}.")
    return request


def _card(model: Any) -> ModelCard:
    if model is None:
        return REGISTRY[DEFAULT]
    if type(model) is not str or model not in REGISTRY:
        raise RequestError(f"There is no model of that name: choose one of {', '.join(REGISTRY)}.")
    return REGISTRY[model]


def _sentence(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    if not fault["loc"]:
        return fault["msg"].removeprefix("Value error, ")
    field = fault["loc"][0]
    if field == "schedule":
        return f"There is no schedule of that name: choose one of {', '.join(get_args(Schedule))}."
    message = fault["msg"].removeprefix("Value error, ").rstrip(".")
    subject = "" if message.startswith("FreeU") else f"{NAMES.get(field, f'The {field}')} "
    return f"{subject}{message}."
