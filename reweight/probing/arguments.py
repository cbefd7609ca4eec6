"""Validation of numeric arguments."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np


def checked_batch_size(batch_size: Any) -> int | None:
    """The batch size as an int, or None if none is given; ValueError for less than 1."""
    return None if batch_size is None else whole_number(batch_size, "batch_size", 1)


def whole_number(value: Any, name: str, lowest: int, highest: int | None = None) -> int:
    """Value of any integer type as an int; ValueError, naming it, for a bool, another type, or a value out of range."""
    try:
        number = None if isinstance(value, (bool, np.bool_)) else index(value)
    except TypeError:
        number = None
    if number is None or number < lowest or (highest is not None and number > highest):
        bounds = f"of at least {lowest}" if highest is None else f"from {lowest} to {highest}"
        raise ValueError(f"{name} must be a whole number {bounds}, not {value!r}.")
    return number
