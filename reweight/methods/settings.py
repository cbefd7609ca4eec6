"""Settings of methods: frozen dataclasses whose fields declare titles and limits, and their strict validation."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar, get_type_hints

S = TypeVar("S", bound=Any)


@dataclass(frozen=True)
class Limits:
    """The allowed values of a setting, and its label.

    title: the label. low, high: the range, inclusive; above: low itself is excluded. step: a slider's step.
    choices: the allowed values. subject: the setting's name in errors; by default the method's title and the field.
    """

    title: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[Any, ...] = ()
    above: bool = False
    subject: str = ""


def setting(title: str, *, default: Any = MISSING, **limits: Any) -> Any:
    """A dataclass field with `Limits` in its metadata."""
    return field(default=default, metadata={"limits": Limits(title, **limits)})


def limits_of(item: Field[Any]) -> Limits:
    """The limits of a settings field; only a title if it declares none."""
    return item.metadata.get("limits") or Limits(item.name)


def read_settings(cls: type[S], title: str, raw: Any, defaults: S | None = None) -> S:
    """Validated settings from an instance or a mapping of values.

    Types are exact: True is not 1 and "3" is not 3; but an int is accepted as a float, 12.0 (as sliders send it) as 12,
    and numpy's numbers as Python's. Missing values come from `defaults`, or the field's default.
    ValueError of one sentence for the first invalid value.
    """
    if isinstance(raw, cls):
        raw = {item.name: getattr(raw, item.name) for item in fields(cls)}
    if not isinstance(raw, Mapping):
        raise ValueError(f"{title} takes its settings by name.")
    known = {item.name: item for item in fields(cls)}
    required = [name for name, item in known.items() if item.default is MISSING]
    missing = [name for name in required if raw.get(name) is None and defaults is None]
    if missing or not set(raw) <= set(known):
        raise ValueError(_needs(title, required, [name for name in known if name not in required]))
    types = get_type_hints(cls)
    values = {} if defaults is None else {name: getattr(defaults, name) for name in known}
    for name, value in raw.items():
        if value is None and name not in required:
            continue
        limits = limits_of(known[name])
        try:
            values[name] = _value(types[name], limits, value)
        except ValueError as error:
            raise ValueError(f"{limits.subject or f'{title} {name}'} {error}.") from error
    return cls(**values)


def number(value: Any, low: float, high: float, above: bool = False) -> float:
    """A finite number in a range, as a float. ValueError otherwise, a sentence without its subject."""
    real = not isinstance(value, (bool, str, bytes)) and hasattr(value, "__float__") and not hasattr(value, "__len__")
    if not real or not low <= value <= high or (above and value == low):
        start = f"above {low:g} and up" if above else f"from {low:g}"
        raise ValueError(f"must be a number {start} to {high:g}")
    return float(value) + 0.0  # no negative zero


def whole(value: Any, low: int, high: int) -> int:
    """A whole number in a range, as an int; 12.0 is accepted. ValueError otherwise, a sentence without its subject."""
    try:
        if isinstance(value, bool):
            raise TypeError
        exact = (
            int(value)
            if isinstance(value, float) and math.isfinite(value) and value == int(value)
            else operator.index(value)
        )
    except TypeError:
        exact = None
    if exact is None or not low <= exact <= high:
        raise ValueError(f"must be a whole number from {low} to {high}")
    return exact


def _value(kind: Any, limits: Limits, value: Any) -> Any:
    low = -math.inf if limits.low is None else limits.low
    high = math.inf if limits.high is None else limits.high
    if kind is float:
        return number(value, low, high, limits.above)
    if kind is bool:
        if type(value) is not bool:
            raise ValueError("must be true or false")
        return value
    if kind is int and limits.low is not None:
        return whole(value, int(low), int(high))
    if limits.choices:
        exact = int(value) if kind is int and type(value) is float and value == int(value) else value
        if type(exact) is not kind or exact not in limits.choices:
            raise ValueError(f"must be one of {', '.join(map(str, limits.choices))}")
        return exact
    return value


def _needs(title: str, required: list[str], optional: list[str]) -> str:
    def listed(names: list[str]) -> str:
        return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))

    parts = [f"needs {listed(required)}"] * bool(required) + [f"may have {listed(optional)}"] * bool(optional)
    return f"{title} {' and '.join(parts) or 'has no settings'}, and nothing else."
