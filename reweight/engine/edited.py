"""PNGs of image-to-image results: settings, strength and, if it is small enough, the source picture."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..storage.strict_json import read_object
from .provenance import MAX_JSON, WHAT, checked, parameters_text

FORMAT, CHUNK = "reweight-edit-1", "reweight-edit"
MOST_SOURCE = 400_000  # bytes of the largest source picture that is saved


def edited_png(
    image: Image.Image, settings: dict[str, Any], strength: float, source: Image.Image, described: str | None = None
) -> bytes:
    """The image as a PNG, with the source picture in base64 unless it is larger than MOST_SOURCE.

    settings: as made by `settings_of`. described: the source's caption, if it was inverted.
    """
    begun = io.BytesIO()
    source.save(begun, format="PNG")
    kept = base64.b64encode(begun.getvalue()).decode() if len(begun.getvalue()) <= MOST_SOURCE else None
    document = {"format": FORMAT, "settings": checked(settings), "strength": strength, "described": described}
    info = PngInfo()
    info.add_text("parameters", f"{parameters_text(settings)}, Denoising strength: {strength:g}")
    info.add_text(CHUNK, json.dumps(document | {"source": kept}, allow_nan=False))
    file = io.BytesIO()
    image.convert("RGB").save(file, format="PNG", pnginfo=info)
    return file.getvalue()


def read_edited(text: str) -> tuple[dict[str, Any], float, str | None]:
    """(settings, strength, described) from an edited PNG's text without the source. ValueError of one sentence for
    any other text."""
    document = read_object(text.encode(), WHAT, MAX_JSON)
    strength, described = document.get("strength"), document.get("described")
    known = document.get("format") == FORMAT and isinstance(document.get("settings"), dict)
    if not known or type(strength) not in (int, float) or not 0 < strength <= 1:
        raise ValueError(
            "This picture's settings cannot be read: choose a picture that was saved here and not changed since."
        )
    if described is not None and not isinstance(described, str):
        raise ValueError("This picture's settings cannot be read: its source's caption is not text.")
    return checked(document["settings"]), float(strength), described
