"""Parses untrusted JSON: limited size, no duplicate keys, finite numbers, errors of one sentence."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from pydantic import ValidationError

DEPTH = 16
INTEGERS = 2**63
CONTAINERS, VALUES = 20_000, 400_000  # half a million lists in 1.5 MB kept a busy machine's server for 20 s
QUOTED = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)', re.DOTALL)


def read_object(text: str | bytes, what: str, limit: int) -> dict[str, Any]:
    """Parse text, at most limit bytes of UTF-8, as one JSON object; ValueError of one sentence that names `what`."""
    try:
        data = text.encode() if isinstance(text, str) else bytes(text)
        if len(data) > limit:
            raise ValueError(f"it is larger than {limit} bytes")
        if not few(data):
            raise ValueError("it has too many values")
        value = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refused, parse_float=_finite)
        if not isinstance(value, dict):
            raise ValueError("it is not a JSON object")
        return plain(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"This is not {what}: it is not valid JSON, near line {error.lineno}.") from error
    except UnicodeError as error:
        raise ValueError(f"This is not {what}: it is not UTF-8 text.") from error
    except (RecursionError, TypeError) as error:
        raise ValueError(f"This is not {what}: its structure cannot be read.") from error
    except ValueError as error:
        raise ValueError(f"This is not {what}: {str(error).splitlines()[0][:200].rstrip('.')}.") from error


def few(data: bytes, containers: int = CONTAINERS, values: int = VALUES) -> bool:
    """Whether JSON has at most so many lists and objects, and so many commas; told from its bytes, before it is parsed."""
    if data.count(b"[") + data.count(b"{") <= containers and data.count(b",") <= values:
        return True
    bare = QUOTED.sub(b"", data)
    return bare.count(b"[") + bare.count(b"{") <= containers and bare.count(b",") <= values


def plain(value: Any, depth: int = 0) -> Any:
    """A deep copy of value as JSON types, with arrays as lists; ValueError for values that JSON cannot represent."""
    if depth > DEPTH:
        raise ValueError(f"it is nested more than {DEPTH} levels deep")
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -INTEGERS <= value < INTEGERS:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, str):
        value.encode()
        return str(value)
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {plain(key): plain(item, depth + 1) for key, item in value.items()}
    raise ValueError(f"it holds a {type(value).__name__} that JSON cannot carry")


def sentence(error: ValidationError, what: str) -> str:
    """The first of pydantic's errors, as one sentence that names `what` and the field."""
    fault = error.errors(include_url=False, include_input=False)[0]
    message = " ".join(fault["msg"].removeprefix("Value error, ").split())
    place = ", ".join(repr(part)[:40] for part in fault["loc"])
    where = f" at {place}" if place else ""
    return f"This is not {what}{where}: {message[:1].lower()}{message[1:].rstrip('.')}."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key is repeated")
    return value


def _refused(name: str) -> None:
    raise ValueError(f"it holds {name}, which is not a number")


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError("it holds a number that is too large")
    return number
