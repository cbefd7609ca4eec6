"""A scorer that is loaded when it is first needed, and shared from then on."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from .scorer import Scorer
from .scorers import scorer_named


@dataclass(frozen=True)
class Scores:
    """A score for each picture, and what gave it: name and version."""

    values: list[float]
    scorer: str


class Judge:
    """Scores pictures with the scorer that fits a model: the embedded models' own, or HPS v2.0 where it is downloaded."""

    def __init__(self) -> None:
        self._loaded: dict[bool, Scorer | None] = {}
        self._lock = threading.Lock()

    def scores(self, images: Sequence[Image.Image], prompts: Sequence[str], *, embedded: bool) -> Scores | None:
        """Scores of pictures for their prompts; None where there is nothing here to score with."""
        with self._lock:
            if embedded not in self._loaded:
                self._loaded[embedded] = scorer_named("auto", embedded=embedded)
            scorer = self._loaded[embedded]
            if scorer is None or not images:
                return None
            values = [float(value) for value in scorer.score(list(images), list(prompts))]
        return Scores(values, f"{scorer.name} {scorer.version}")


JUDGE = Judge()
