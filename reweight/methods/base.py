"""What a method is: one object, in one file, that changes how a U-Net draws for the length of a context."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..plugins import Registry
from .settings import read_settings


@dataclass(frozen=True, eq=False)
class Drawing:
    """What a method may know of the pictures that are drawn while it is applied.

    steps: T. guidance: the scale; above 1 a U-Net call holds two halves. family: of the model, a key of presets.
    samples: n pictures drawn together. weights: (T, m) or (n, T, m), what `reweighted` applies; m is the number of blocks,
    or of Transformer2DModels. bypass: the same shape, bool, where a block is switched off; or None.
    """

    steps: int
    guidance: float = 0.0
    family: str = ""
    samples: int = 1
    weights: np.ndarray | None = None
    bypass: np.ndarray | None = None


@dataclass
class Report:
    """What a method really did: how many modules it hooked, and figures of its own that grow while it is applied."""

    modules: int = 0
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, amount: float = 1) -> None:
        """Count something."""
        self.figures[name] = self.figures.get(name, 0) + amount

    def sentence(self) -> str:
        """Everything, as words: "9 modules hooked, U-Net calls saved 12"."""
        hooked = [f"{self.modules} module{'s' * (self.modules != 1)} hooked"] if self.modules else []
        return ", ".join([*hooked, *(f"{name} {value:g}" for name, value in self.figures.items())])


class Method(ABC):
    """A training-free method, as the page, the API, the command line and the benchmarks know it.

    key: in columns, file names and settings. title: its name for people. settings: a frozen dataclass, checked on
    construction, whose fields are made by `setting`. presets: settings by model family; `default` for any other.
    excludes: keys of methods that it cannot be combined with.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    settings: ClassVar[type]
    presets: ClassVar[Mapping[str, Any]] = {}
    excludes: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def apply(self, pipe: Any, settings: Any, drawing: Drawing) -> AbstractContextManager[Report]:
        """The method, for a context's length; undone bitwise on leaving, also after an exception.

        ValueError of one sentence for a pipeline that it cannot serve, which is left as it was.
        """

    def default(self) -> Any:
        """Settings for a family without a preset. TypeError where a setting has no default."""
        return self.settings()

    def settings_for(self, family: str) -> Any:
        """The preset of a model family, or the default."""
        return self.presets[family] if family in self.presets else self.default()

    def read(self, raw: Any, default: Any) -> Any:
        """Settings from what somebody sends, over a default. ValueError of one sentence for what is not right."""
        return read_settings(self.settings, self.title, raw, default)

    def caption(self, settings: Any, drawing: Drawing) -> str:
        """The settings in words, for under a picture and in its PNG."""
        return " ".join(f"{name} {_short(value)}" for name, value in asdict(settings).items() if value is not None)

    def cache_key(self, settings: Any, drawing: Drawing) -> Hashable:
        """Everything that the picture depends on beside what vanilla does."""
        return settings

    def inert(self, settings: Any, drawing: Drawing) -> str:
        """Why it changes nothing in such a drawing, as a sentence; empty where it does."""
        return ""


METHODS: Registry[Method] = Registry("method", "reweight.methods")


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_short, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
