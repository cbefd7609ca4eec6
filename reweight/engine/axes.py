"""Axes of a sweep: which settings of a request can be varied, and how their values are parsed from text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, get_type_hints

import numpy as np

from ..methods import METHODS, columns
from ..methods.reweighting import OFF
from ..methods.settings import limits_of
from ..models.registry import ModelCard
from ..patching.blocks import TargetBlock
from ..schedule import CONTROLS
from .request import BASE, REWEIGHTED, Request, RequestError, validate

MOST_VALUES = 50
COLUMN, BLOCK = "column", "block"
WINDOW = ("first_step", "last_step")
LONGEST = 80  # characters of a number or a range
NUMBER = r"-?(?:\d+(?:\.\d*)?|\.\d+)(?:e-?\d+)?"  # unambiguous, so that no input takes long to reject
RANGE = re.compile(
    rf"({NUMBER})\s*(?:-|–|to|\.\.)\s*({NUMBER})(?:\s*(?:(?:x|×)\s*(\d+)|\[(\d+)\]|\(\s*\+?({NUMBER})\s*\)|step\s+({NUMBER})))?"
)
Value = float | int | str


@dataclass(frozen=True)
class Setting:
    """A setting that can be varied. name: "low", "freeu.b1", "block.3", "column". kind: "number", "weight" (a number or
    "off"), "choice" or "text". example: initial values, as text."""

    name: str
    title: str
    group: str
    kind: str
    example: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Axis:
    """A setting's name and its values, in order."""

    name: str
    values: tuple[Value, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The values as text."""
        return tuple(f"{value:g}" if isinstance(value, float) else str(value) for value in self.values)


def offered(card: ModelCard, names: Sequence[str], columns: Sequence[str], steps: int) -> list[Setting]:
    """Every setting of a model that can be varied. names: the blocks'. columns, steps: the request's."""
    low, high = card.low, card.high
    found = [
        Setting("low", "low", "Weights", "number", f"{max(0.4, low - 0.3):.2f}-{low + 0.1:.2f} x5"),
        Setting("high", "high", "Weights", "number", f"{max(low + 0.1, high - 0.4):.2f}-{min(2, high + 0.1):.2f} x5"),
        Setting("schedule", "weights by", "Weights", "choice", ", ".join(CONTROLS), tuple(CONTROLS)),
        Setting("first_step", "first re-weighted step", "Weights", "number", f"1-{min(steps, 5)}"),
        Setting("last_step", "last re-weighted step", "Weights", "number", f"1-{min(steps, 5)}"),
        *(Setting(f"{BLOCK}.{i}", name, "Weight of one block", "weight", "off, 0.5, 1, 1.5") for i, name in enumerate(names)),
        Setting("seed", "seed", "Picture", "number", "1-4"),
        Setting("steps", "steps", "Picture", "number", "1-4" if card.steps < 5 else f"{card.steps // 2}, {card.steps * 3 // 4}, {card.steps}"),
        Setting("guidance", "guidance", "Picture", "number", "0, 1.5, 3, 5"),
        Setting("size", "size", "Picture", "number", ", ".join(map(str, sorted({max(64, card.size * 3 // 4 // 8 * 8), card.size})))),
        Setting("prompt", "prompt", "Picture", "text", ""),
        Setting(COLUMN, "method", "Method", "choice", ", ".join(columns), tuple(dict.fromkeys((*METHODS, *columns)))),
    ]  # fmt: skip
    return found + [setting for key in METHODS if key != REWEIGHTED for setting in _of_method(key, card)]


def _of_method(key: str, card: ModelCard) -> Iterator[Setting]:
    method = METHODS[key]
    kinds = get_type_hints(method.settings)
    preset = method.settings_for(card.family) if fields(method.settings) else None
    for item in fields(method.settings):
        limits, kind, usual = limits_of(item), kinds[item.name], getattr(preset, item.name)
        name = f"{key}.{item.name}"
        if kind is bool:
            yield Setting(name, limits.title, method.title, "choice", "true, false", ("true", "false"))
        elif limits.choices:
            choices = tuple(map(str, limits.choices))
            yield Setting(name, limits.title, method.title, "choice", ", ".join(choices), choices)
        elif kind in (int, float) and limits.low is not None and limits.high is not None:
            step = limits.step or (1 if kind is int else (limits.high - limits.low) / 20)
            about = sorted(
                {
                    min(limits.high, max(limits.low, usual + n * step * (4 if kind is float else 1)))
                    for n in (-1, 0, 1, 2)
                }
            )
            yield Setting(name, limits.title, method.title, "number", ", ".join(f"{value:g}" for value in about))


def read_axis(name: Any, text: Any, settings: Sequence[Setting]) -> Axis:
    """An axis parsed from text: "0.9-1.1 x5", "1-4", "1-9 (+2)", "0.8, 1, 1.2", names, or prompts separated by "|".

    RequestError of one sentence for anything else.
    """
    found = next((setting for setting in settings if setting.name == name), None)
    if found is None:
        raise RequestError("There is no setting of that name to vary: choose one from the list.")
    if not isinstance(text, str) or len(text) > 10_000:
        raise RequestError(f"The values of {found.title} are text, such as {found.example}.")
    parts = [part.strip() for part in re.split(r"[|\n]" if found.kind == "text" else r"[,;\n]", text) if part.strip()]
    if not parts:
        raise RequestError(
            f"There are no values for {found.title}: give some, such as {found.example or 'two prompts separated by |'}."
        )
    values = tuple(dict.fromkeys(value for part in parts for value in _values(found, part)))
    if len(values) > MOST_VALUES:
        raise RequestError(f"There are {len(values)} values for {found.title}: give at most {MOST_VALUES}.")
    return Axis(found.name, values)


def _values(setting: Setting, part: str) -> Sequence[Value]:
    if setting.kind == "text":
        return [part]
    if setting.kind == "choice":
        titles = (
            {control.title.partition(" (")[0].lower(): key for key, control in CONTROLS.items()}
            if setting.name == "schedule"
            else {}
        )
        value = titles.get(part.lower(), part if setting.name == COLUMN else part.lower())
        if setting.name != COLUMN and value not in setting.choices:
            raise RequestError(
                f"{setting.title.capitalize()} is one of {', '.join(setting.choices)}, not {part[:40]!r}."
            )
        return [value]
    if setting.kind == "weight" and part.lower() == OFF:
        return [OFF]
    if len(part) <= LONGEST and re.fullmatch(NUMBER, part):
        return [_number(part)]
    match = RANGE.fullmatch(part.lower()) if len(part) <= LONGEST else None
    if match is None:
        raise RequestError(
            f"{part[:40]!r} is no value for {setting.title}: write a list such as 1, 2, 3 or a range such as 0.9-1.1 x5."
        )
    start, end = _number(match[1]), _number(match[2])
    count, by = match[3] or match[4], match[5] or match[6]
    if count is not None:
        n = int(count)
        if not 1 <= n <= MOST_VALUES:
            raise RequestError(f"A range has 1 to {MOST_VALUES} values, not {count[:10]}.")
        return [_tidy(value) for value in np.linspace(start, end, n)]
    step = abs(_number(by)) if by is not None else 1
    if step == 0 or abs(end - start) / step > MOST_VALUES:
        raise RequestError(f"{part[:40]!r} are too many values: give at most {MOST_VALUES}.")
    n = int(np.floor(abs(end - start) / step + 1e-9)) + 1
    return [_tidy(start + i * (step if end >= start else -step)) for i in range(n)]


def _number(text: str) -> float | int:
    value = float(text)
    if not np.isfinite(value) or abs(value) > 2**53:
        raise RequestError(f"{text[:20]} is too large a number.")
    return int(value) if re.fullmatch(r"-?\d+", text) else value


def _tidy(value: float) -> float | int:
    value = round(float(value), 6)
    return int(value) if value == int(value) else value


def changed(
    request: Request, card: ModelCard, changes: Mapping[str, Value], blocks: Sequence[TargetBlock]
) -> tuple[Request, str]:
    """A request with some settings changed, and the column to draw, by default the request's first.

    RequestError of one sentence if that cannot be drawn.
    """
    column = str(changes.get(COLUMN, request.columns[0]))
    try:
        columns.parts(column)
    except ValueError as error:
        raise RequestError(str(error)) from error
    raw = {name: changes.get(name, getattr(request, name)) for name in (*BASE, "size")}
    own = asdict(request.reweighting)
    if raw["steps"] != request.steps and own["last_step"] == request.steps:
        own["last_step"] = raw["steps"]
    own |= {name: changes[name] for name in ("low", "high", "schedule", *WINDOW) if name in changes}
    for name, value in changes.items():
        if name.startswith(f"{BLOCK}."):
            own["painted"] = _painted(own["painted"], raw["steps"], len(blocks), int(name.partition(".")[2]), value)
    methods: dict[str, Any] = dict(request.methods)
    for name, value in changes.items():
        key, dot, field = name.partition(".")
        if dot and key in METHODS:
            settings = methods[key] if isinstance(methods[key], dict) else asdict(methods[key])
            methods[key] = settings | {field: _exact(key, field, value)}
    return validate(card, **raw, columns=(column,), methods=methods | {REWEIGHTED: own}), column


def _exact(key: str, name: str, value: Value) -> Any:
    """The value of a choice that was given as text."""
    item = next((item for item in fields(METHODS[key].settings) if item.name == name), None)
    choices = (True, False) if value in ("true", "false") else limits_of(item).choices if item else ()
    return {str(choice).lower(): choice for choice in choices}.get(str(value), value)


def _painted(cells: Any, steps: Any, m: int, block: int, value: Value) -> list[list[Any]]:
    if not isinstance(steps, int) or not 1 <= steps <= 50:
        raise RequestError(f"The number of steps must be a whole number from 1 to 50, not {steps}.")
    rows = [list(row) for row in cells] if cells else [[None] * m for _ in range(steps)]
    for row in rows:
        row[block] = value
    return rows


def difference(request: Request, other: Request) -> dict[str, Any]:
    """The settings of `other` that differ from this request's, by the page's names."""
    one, two = flat(request), flat(other)
    return {name: value for name, value in two.items() if one.get(name) != value}


def flat(request: Request) -> dict[str, Any]:
    """Every setting but the columns, as JSON values, by the page's names."""
    own = asdict(request.reweighting)
    own["painted"] = None if own["painted"] is None else [list(row) for row in own["painted"]]
    own["blocks"] = None if own["blocks"] is None else list(own["blocks"])
    others = {
        f"{key}.{name}": value for key, settings in request.methods.items() if key != REWEIGHTED
        for name, value in asdict(settings).items()
    }  # fmt: skip
    return {name: getattr(request, name) for name in (*BASE, "size")} | own | others
