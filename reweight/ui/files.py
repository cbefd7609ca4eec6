"""Where the page's own scripts and styles are, and where files are put that Gradio serves."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from gradio.utils import get_upload_folder

from ..storage.atomic import write_atomic

STATIC = Path(__file__).parent / "static"


def served(data: bytes, name: str) -> str:
    """A file for a visitor, among those that Gradio serves; its path.

    The same content has the same path, which another visitor may be reading from: so it appears whole, and is never
    written twice. Given as a picture, Gradio would write it again each time, in place. OSError where there is no room.
    """
    file = Path(get_upload_folder(), hashlib.sha256(data).hexdigest(), name)
    try:
        os.utime(file)  # it lives for another hour
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, data)
    return str(file.resolve())
