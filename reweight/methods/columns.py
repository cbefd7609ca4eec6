"""Columns of a comparison: a method, such as "freeu", or a combination, such as "reweighted+freeu"."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from .base import METHODS, Drawing, Method

MAX_PARTS = 4


def parts(column: str) -> tuple[Method, ...]:
    """The methods of a column, in the order in which they are applied.

    ValueError of one sentence for an unknown or repeated method, a combination with vanilla, or methods that exclude
    each other.
    """
    keys = column.split("+") if isinstance(column, str) else [column]
    if len(keys) > MAX_PARTS:
        raise ValueError(f"A column combines at most {MAX_PARTS} methods, not {len(keys)}.")
    methods = tuple(METHODS.named(key) for key in keys)
    if len(set(keys)) < len(keys):
        raise ValueError(f"The column {column} names a method twice: name each once.")
    if len(keys) > 1 and "vanilla" in keys:
        raise ValueError("Vanilla is the model without any method: leave it out of a combination.")
    for a, b in combinations(methods, 2):
        if a.key in b.excludes or b.key in a.excludes:
            raise ValueError(f"{a.title} and {b.title} cannot be combined: choose one of them.")
    return methods


def title(column: str) -> str:
    """A column's title."""
    return " + ".join(method.title for method in parts(column))


def about(column: str) -> str:
    """What a column's methods are, for a stranger."""
    return " ".join(method.about for method in parts(column) if method.about)


def caption(column: str, settings: Mapping[str, Any], drawing: Drawing) -> str:
    """The captions of a column's methods."""
    return "; ".join(method.caption(settings[method.key], drawing) for method in parts(column))


def inert(column: str, settings: Mapping[str, Any], drawing: Drawing) -> str:
    """Why a column changes nothing, if none of its methods does; else empty."""
    reasons = [method.inert(settings[method.key], drawing) for method in parts(column)]
    return " ".join(reasons) if all(reasons) else ""


def cache_key(column: str, settings: Mapping[str, Any], drawing: Drawing) -> tuple[Any, ...]:
    """Everything a column's picture depends on that the vanilla picture does not; hashable."""
    return tuple((method.key, method.cache_key(settings[method.key], drawing)) for method in parts(column))
