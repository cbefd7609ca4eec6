"""Result files: readable JSON, text and figures, written atomically."""

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
    """Write a JSON object with each list of numbers on one line; folders are created. On OSError the old file is
    unchanged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = NUMBERS.sub(lambda found: _on_one_line(found[0]), json.dumps(value, indent=1, ensure_ascii=False))
    write_atomic(path, (text + "\n").encode())


def _on_one_line(numbers: str) -> str:
    return "[" + ", ".join(numbers.strip("[]").replace(",", " ").split()) + "]"


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, likewise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode())


def write_figure(path: Path, figure: Figure, dpi: int = 150) -> None:
    """Write a figure as PNG, likewise."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, file.getvalue())


def file_for(path: Path | None) -> None:
    """Check before any work whether a file can be written. ValueError of one sentence if it cannot."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        can = not path.is_dir() and os.access(path.parent, os.W_OK)
    except OSError:
        can = False
    if not can:
        raise ValueError(f"{path} cannot be written: give the name of a file in a folder of your own.")
