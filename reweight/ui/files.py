"""Where the page's own scripts and styles are."""

from pathlib import Path

STATIC = Path(__file__).parent / "static"
