"""Pictures drawn beforehand: what the page shows of an example at once, while the model draws its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..engine.drawing import drawing_of
from ..engine.engine import Engine
from ..engine.request import Request
from ..engine.resolving import Chosen
from ..methods import columns
from ..models.registry import ASSETS
from ..storage.strict_json import read_object

FORMAT = "reweight-atlas-1"
FOLDER, INDEX = ASSETS / "atlas", "index.json"
MAX_JSON = 1_000_000


def key_of(engine: Engine, request: Request, column: str, chosen: Chosen) -> str:
    """What stands for a picture: equal for two requests that give the same one."""
    loaded = engine.opened(request.model)
    drawing = drawing_of(request, chosen, loaded)
    whole = (request.vanilla_key(), loaded.revision, columns.cache_key(column, request.methods, drawing))
    return hashlib.sha256(repr(whole).encode()).hexdigest()[:20]


def beforehand(model: str, key: str) -> dict[str, Any] | None:
    """The picture of a key as the page takes it, drawn beforehand; None where there is none, or its file is damaged.

    A key stands for the model's revision, the request and the weights, so another of these finds nothing.
    """
    told = _index(FOLDER / model).get(key)
    if told is None:
        return None
    data = _bytes(FOLDER / model / told["file"])
    if hashlib.sha256(data).hexdigest() != told["sha256"]:
        return None
    return {"png": base64.b64encode(data).decode(), "name": told["file"], "vanilla": told.get("vanilla")}


def said(cold: bool) -> str:
    """What the page says while pictures drawn beforehand stand in. cold: nothing was drawn since the demo started."""
    why = "the model is still starting" if cold else "the model is drawing them again"
    return f"Precomputed pictures of this example: {why}."


@lru_cache(maxsize=8)
def _index(folder: Path) -> Mapping[str, dict[str, Any]]:
    try:
        found = read_object((folder / INDEX).read_bytes(), "an index of pictures", MAX_JSON)
    except (OSError, ValueError):
        return {}
    return found["pictures"] if found.get("format") == FORMAT else {}


@lru_cache(maxsize=64)
def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
