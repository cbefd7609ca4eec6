"""The examples under the prompt: small pictures that the embedded model really drew, and their prompts."""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from html import escape

from PIL import Image

from ..engine.naming import slug
from ..engine.resolving import EXAMPLES
from ..models.registry import ASSETS


def examples(model: str) -> str:
    """A button for each example prompt; with its picture where the model comes with one."""
    return "".join(
        f'<button type="button" class="rw-example" data-prompt="{escape(prompt)}" title="{escape(prompt)}">{_picture(model, prompt)}</button>'
        for prompt in EXAMPLES
    )


def data_url(image: Image.Image) -> str:
    """A picture for the screen alone, as a data URL."""
    file = io.BytesIO()
    image.save(file, format="WEBP", quality=92, method=0)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


@lru_cache(maxsize=64)
def _picture(model: str, prompt: str) -> str:
    path = ASSETS / "examples" / model / f"{slug(prompt)}.webp"
    if not path.is_file():
        return f"<span>{escape(prompt)}</span>"
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img src="data:image/webp;base64,{data}" alt="{escape(prompt)}" width="64" height="64">'
