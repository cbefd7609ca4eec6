"""The validated request: one `validate` for the page, the API and the command line."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, fields
from operator import itemgetter
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ..methods import METHODS
from ..methods.columns import parts
from ..methods.reweighting import MAX_STEPS, Reweighting
from ..methods.settings import number, whole
from ..models.registry import DEFAULT, REGISTRY, ModelCard
from ..schedule import Places
from ..storage.strict_json import plain

REWEIGHTED = "reweighted"
COLUMNS = ("vanilla", REWEIGHTED, "freeu")
BASE = ("prompt", "negative_prompt", "model", "seed", "steps", "guidance")
CHARACTERS = 2000
MAX_SIZE, MAX_COLUMNS = 2048, 8
SEED = 42  # the paper's
BREAKS = dict.fromkeys(map(ord, "\t\n\v\f\r\x85\u2028\u2029"), " ")
DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class RequestError(ValueError):
    """An invalid request; the message is one sentence for a person."""


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("must be text")
    if len(value) > 3 * CHARACTERS:  # NFC shortens a text to a third at most
        raise ValueError(f"is longer than {CHARACTERS} characters")
    value = value.translate(BREAKS)
    kinds = {unicodedata.category(character) for character in value}
    if "Cs" in kinds:
        raise ValueError("contains half of a character (a surrogate): type it again")
    if "Cc" in kinds or DIRECTIONS & set(value):
        raise ValueError("contains a control character: remove it")
    value = unicodedata.normalize("NFC", value).strip()
    if len(value) > CHARACTERS:
        raise ValueError(f"is longer than {CHARACTERS} characters")
    return value


def _prompt(value: Any) -> str:
    value = _text(value)
    if {unicodedata.category(character) for character in value} <= {"Zs", "Cf"}:
        raise ValueError("is empty: write what the picture should show")
    return value


def _columns(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= MAX_COLUMNS:
        raise ValueError(f"must be a list of 1 to {MAX_COLUMNS} methods")
    for column in value:
        parts(column)
    if len(set(value)) < len(value):
        raise ValueError("name a method twice: name each once")
    return tuple(value)


Text = Annotated[str, BeforeValidator(_text)]


class Request(BaseModel):
    """A complete, validated request; equal by content, hashable. Make it with `validate`.

    size: the picture's side in pixels. columns: see `methods.columns`. methods: the settings of every registered
    method, by key; re-weighting's always have a first and a last step.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    prompt: Annotated[str, BeforeValidator(_prompt)]
    negative_prompt: Text
    model: Annotated[str, Field(min_length=1, max_length=1000)]
    seed: Annotated[int, BeforeValidator(lambda value: whole(value, 0, 2**32 - 1))]
    steps: Annotated[int, BeforeValidator(lambda value: whole(value, 1, MAX_STEPS))]
    guidance: Annotated[float, BeforeValidator(lambda value: number(value, 0, 30))]
    size: Annotated[int, BeforeValidator(lambda value: whole(value, 64, MAX_SIZE))]
    columns: Annotated[tuple[str, ...], BeforeValidator(_columns)]
    methods: dict[str, Any]

    @model_validator(mode="after")
    def _fits_together(self) -> Request:
        first, last = self.reweighting.first_step, self.reweighting.last_step
        if first is None or last is None or not first <= last <= self.steps:
            raise ValueError(
                f"The steps to re-weight run from {first} to {last}: choose a first and a last step, in that order, among "
                f"the {self.steps} steps."
            )
        painted = self.reweighting.painted
        if painted is not None and len(painted) != self.steps:
            raise ValueError(
                f"The painted weights have {len(painted)} steps but {self.steps} are asked for: paint again."
            )
        if self.size % 8:
            below = self.size // 8 * 8
            raise ValueError(f"The size must be a multiple of 8: choose {below} or {below + 8}.")
        return self

    def __hash__(self) -> int:
        return hash((self.vanilla_key(), self.columns, *sorted(self.methods.items(), key=itemgetter(0))))

    @property
    def reweighting(self) -> Reweighting:
        """The settings of re-weighting."""
        return self.methods[REWEIGHTED]

    def settings(self) -> dict[str, Any]:
        """Every setting as JSON values; `validate(**settings)` gives the same request.

        The settings of re-weighting are at the top level. Other methods are included if a column uses them, and FreeU
        always; columns if they are not the default ones, painted cells if there are any.
        """
        values = {name: getattr(self, name) for name in BASE}
        own = plain(asdict(self.reweighting))
        if self.reweighting.painted is None:
            del own["painted"]
        used = {method.key for column in self.columns for method in parts(column)} | {"freeu"}
        named = {key: plain(asdict(value)) for key, value in self.methods.items() if key in used and fields(value)}
        named.pop(REWEIGHTED, None)
        columns = {} if self.columns == COLUMNS else {"columns": list(self.columns)}
        return values | own | named | {"size": self.size} | columns

    def controlled(self, scores: np.ndarray, places: Places = ()) -> np.ndarray:
        """Scores (T, m) after the schedule's control, such as reversed by "inverted"."""
        return self.reweighting.controlled(scores, places, self.seed)

    def weights(self, scores: np.ndarray, places: Places = (), base: np.ndarray | None = None) -> np.ndarray:
        """Weights (T, m) for scores (T, m): control, Eq. 7, step window and blocks, then painted cells. base: (T, m),
        weights to use instead of Eq. 7's. RequestError if the scores do not fit the request."""
        self.check(scores)
        try:
            return self.reweighting.weights(self.controlled(scores, places), base)
        except ValueError as error:
            raise RequestError(str(error)) from error

    def check(self, scores: np.ndarray) -> None:
        """RequestError for scores that are not finite numbers of shape (steps, blocks) for the request's steps."""
        scores = np.asarray(scores, dtype=np.float64)
        if scores.ndim != 2 or scores.size == 0 or not np.isfinite(scores).all():
            raise RequestError(f"Scores are finite numbers of shape (steps, blocks), not of shape {scores.shape}.")
        if len(scores) != self.steps:
            raise RequestError(f"The importance table has {len(scores)} steps but {self.steps} are asked for.")

    def mask(self, m: int) -> np.ndarray:
        """Where the schedule applies, (T, m) bool. RequestError if the settings name a block that does not exist."""
        try:
            return self.reweighting.mask(self.steps, m)
        except ValueError as error:
            raise RequestError(str(error)) from error

    def vanilla_key(self) -> tuple[Any, ...]:
        """Everything the vanilla picture depends on; hashable."""
        return self.model, self.prompt, self.negative_prompt, self.seed, self.steps, self.guidance, self.size


NAMES = {
    "negative_prompt": "The negative prompt", "steps": "The number of steps", "size": "The size",
    "columns": "The columns",
}  # fmt: skip


def validate(card: ModelCard | None = None, /, **raw: Any) -> Request:
    """A validated request. RequestError of one sentence, about the first problem found, for invalid settings.

    raw: the fields of `Request`, those of `Reweighting`, and the settings of other methods by key. Everything but the
    prompt has a default, which also replaces None. Types are exact: True is not 1 and "3" is not 3; but an int is
    accepted as a float, 12.0 (as sliders send it) as 12, and numpy's numbers as Python's.
    card: the card of a model that is not in the registry (`models.card_for`). It is trusted, so it is positional only:
    no caller of the API can pass it.
    """
    known = [*BASE, "size", "columns", "methods", *(item.name for item in fields(Reweighting)), *METHODS]
    if unknown := sorted(set(raw) - set(known)):
        raise RequestError(f"There is no setting {unknown[0][:40]!a}: choose from {', '.join(known)}.")
    card = card or _card(raw.get("model"))
    given = {name: value for name, value in raw.items() if value is not None}
    if given.setdefault("model", card.key) != card.key:
        raise RequestError("That is not the model that is loaded: choose it first.")
    defaults = {
        "prompt": "", "negative_prompt": card.negative_prompt, "seed": SEED, "steps": card.steps,
        "guidance": card.guidance, "size": card.size, "columns": COLUMNS,
    }  # fmt: skip
    base = {name: given.get(name, default) for name, default in defaults.items()} | {"model": given["model"]}
    try:
        steps = whole(base["steps"], 1, MAX_STEPS)
    except ValueError as error:
        raise RequestError(f"The number of steps {error}.") from error
    try:
        request = Request.model_validate(base | {"methods": _methods(card, given, steps)})
    except ValidationError as error:
        raise RequestError(_sentence(error)) from error
    if request.steps > card.max_steps:
        raise RequestError(
            f"The number of steps must be at most {card.max_steps} for {card.title}, not {request.steps}."
        )
    if request.size > card.max_size:
        raise RequestError(f"The size must be at most {card.max_size} pixels for {card.title}, not {request.size}.")
    return request


def _methods(card: ModelCard, given: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Settings of every registered method: the given ones over the model's defaults."""
    own = Reweighting(low=card.low, high=card.high, first_step=1, last_step=steps)
    together = given.get("methods", {})
    if not isinstance(together, Mapping) or not set(together) <= set(METHODS):
        raise RequestError(f"The methods are settings by name: choose from {', '.join(METHODS)}.")
    together = together | {key: given[key] for key in METHODS if key in given}
    beside = {item.name: given[item.name] for item in fields(Reweighting) if item.name in given}
    found = {}
    for key, method in METHODS.items():
        default = own if key == REWEIGHTED else method.settings_for(card.family)
        asked = together.get(key)
        if key == REWEIGHTED and beside:
            asked = asdict(asked) if isinstance(asked, Reweighting) else {} if asked is None else asked
            asked = {**asked, **beside} if isinstance(asked, Mapping) else asked
        try:
            found[key] = default if asked is None else method.read(asked, default)
        except ValueError as error:
            raise RequestError(str(error)) from error
    return found


def _card(model: Any) -> ModelCard:
    if model is None:
        return REGISTRY[DEFAULT]
    if type(model) is not str or model not in REGISTRY:
        raise RequestError(f"There is no model of that name: choose one of {', '.join(REGISTRY)}.")
    return REGISTRY[model]


def _sentence(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    message = fault["msg"].removeprefix("Value error, ").rstrip(".")
    if not fault["loc"] or message[0].isupper():
        return f"{message}."
    field = fault["loc"][0]
    return f"{NAMES.get(field, f'The {field}')} {message}."
