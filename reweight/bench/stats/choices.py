"""Checks of a command's arguments before a model is loaded, which may take minutes."""

from __future__ import annotations

from collections.abc import Iterable


def check_presets(names: Iterable[str]) -> None:
    """ValueError of one sentence for an unknown preset of the probe."""
    from ...probing.search import PRESETS

    if unknown := sorted(set(names) - set(PRESETS)):
        raise ValueError(f"There is no preset {unknown[0]!r}: choose from {', '.join(PRESETS)}.")


def check_scorer(name: str) -> None:
    """ValueError of one sentence for an unknown scorer."""
    from ...scoring.scorers import checked_scorer

    if name not in ("auto", "none"):
        checked_scorer(name)
