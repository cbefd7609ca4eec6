"""The results that documents are written from: docs/results/*.json by name, and the models' metrics.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Results:
    """All measured results.

    root: a checkout, with docs/results. found: each file's content, by its name without the suffix.
    """

    root: Path

    @property
    def assets(self) -> Path:
        """The models' folders."""
        return self.root / "assets"

    @cached_property
    def found(self) -> dict[str, dict[str, Any]]:
        files = sorted((self.root / "docs" / "results").glob("*.json"))
        if not files:
            raise ValueError(f"There are no results in {self.root / 'docs' / 'results'}: give a checkout as --root.")
        return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}

    @cached_property
    def metrics(self) -> Mapping[str, dict[str, Any]]:
        """The content of metrics.json by model, and of "toy-scorer"."""
        return {
            path.parent.name: json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(self.assets.glob("*/metrics.json"))
        }

    def __getitem__(self, name: str) -> dict[str, Any]:
        if name not in self.found:
            raise ValueError(f"There is no docs/results/{name}.json: measure it with `python -m reweight bench all`.")
        return self.found[name]

    def figure(self, model: str, name: str, steps: int | None = None) -> dict[str, Any]:
        """A figure from a model's metrics.json."""
        for figure in self.metrics[model]["figures"]:
            if figure["name"] == name and steps in (None, figure.get("steps")):
                return figure
        raise ValueError(
            f"{model}/metrics.json has no figure {name!r}: measure it with `python -m reweight bench toy`."
        )


def mean_interval(values: Any, form: str = "{:+.2f}") -> str:
    """The mean of one value per prompt, with its 95% bootstrap interval, as text."""
    import numpy as np

    from ..stats.intervals import bootstrap

    rows = np.asarray(values, float)
    return interval((float(rows.mean()), *bootstrap(np.mean, rows)), form)


def interval(value: Any, form: str = "{:+.4f}") -> str:
    """ "value [low, high]"."""
    middle, low, high = (form.format(part) for part in value)
    return f"{middle} [{low}, {high}]"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["|" + "|".join(f" {cell} " if cell else " " for cell in line) + "|" for line in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
