"""Vanilla: the baseline, the unpatched model."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from .base import Drawing, Method, Report


@dataclass(frozen=True)
class Unchanged:
    """No settings."""


class Vanilla(Method):
    """The baseline of every comparison."""

    key = "vanilla"
    title = "Vanilla"
    about = "The model unchanged, to compare with."
    settings = Unchanged

    def apply(self, pipe: Any, settings: Unchanged, drawing: Drawing) -> AbstractContextManager[Report]:
        return nullcontext(Report())

    def caption(self, settings: Unchanged, drawing: Drawing) -> str:
        return "the model as it is, nothing patched"
