"""Files of results: JSON that a person can read, written atomically."""

from __future__ import annotations

import json
import os
import re
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...storage.atomic import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUMBERS = re.compile(r"\[\s*(-?[\d.eE+-]+|null)(,\s*(-?[\d.eE+-]+|null))*\s*\]")


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object, a list of numbers on a line of its own; folders are made. OSError leaves what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = NUMBERS.sub(lambda found: _on_one_line(found[0]), json.dumps(value, indent=1, ensure_ascii=False))
    write_atomic(path, (text + "\n").encode())


def _on_one_line(numbers: str) -> str:
    return "[" + ", ".join(numbers.strip("[]").replace(",", " ").split()) + "]"


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, in the same way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode())


def write_figure(path: Path, figure: Figure, dpi: int = 150) -> None:
    """Write a figure as PNG, in the same way."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, file.getvalue())


def file_for(path: Path | None) -> None:
    """Find out before any work is done whether a file can be written. ValueError of one sentence where it cannot."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        can = not path.is_dir() and os.access(path.parent, os.W_OK)
    except OSError:
        can = False
    if not can:
        raise ValueError(f"{path} cannot be written: give the name of a file in a folder of your own.")
