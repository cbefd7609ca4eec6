"""What a command is given, checked before a model is loaded, which may take minutes."""

from __future__ import annotations

from collections.abc import Iterable


def check_presets(names: Iterable[str]) -> None:
    """ValueError of one sentence for a preset of the probe that there is not."""
    from ...probing.search import PRESETS

    if unknown := sorted(set(names) - set(PRESETS)):
        raise ValueError(f"There is no preset {unknown[0]!r}: choose from {', '.join(PRESETS)}.")


def check_scorer(name: str) -> None:
    """ValueError of one sentence for a scorer that there is not."""
    from ...scoring.scorers import checked_scorer

    if name not in ("auto", "none"):
        checked_scorer(name)
