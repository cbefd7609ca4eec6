"""What a command is given, checked before a model is loaded, which may take minutes."""

from __future__ import annotations

from collections.abc import Iterable


def check_presets(names: Iterable[str]) -> None:
    """ValueError of one sentence for a preset of the probe that there is not."""
    from ...probing.search import PRESETS

    _check("preset", names, PRESETS)


def check_scorer(name: str) -> None:
    """ValueError of one sentence for a scorer that there is not."""
    from ...scoring.scorers import NAMES

    _check("scorer", [name], NAMES)


def _check(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"There is no {what} {unknown[0]!r}: choose from {', '.join(known)}.")
