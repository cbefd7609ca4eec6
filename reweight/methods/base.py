"""The interface of a method: an object with frozen settings and a context manager that patches a pipeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..patching.blocks import TargetBlock
from ..plugins import Registry
from ..schedule import ImportanceTable
from ..weight_table import WeightTable
from .settings import read_settings


@dataclass(frozen=True)
class Chosen:
    """The importance scores, or the weights, that a request uses, and where they come from.

    scores: (T, m). source: where they come from, as a sentence fragment. method: how the scores were made, as an
    importance table names it, such as "probe:paper-code" or "empirical"; empty for weights. table: the importance table,
    where one was probed for this prompt. weights: (T, m), used instead of Eq. 7's, or None. bypass: (T, m) bool, the blocks that
    these weights switch off, or None. weight_table: the table that they were read from; for a table with a weight for
    each Transformer, a block's weight is the mean over its Transformers. The scores of a weight table are half of its
    weights, which Eq. 7 turns back into the weights for low 0 and high 2.
    """

    scores: np.ndarray
    source: str
    table: ImportanceTable | None = None
    weights: np.ndarray | None = None
    weight_table: WeightTable | None = None
    bypass: np.ndarray | None = None
    method: str = ""


@dataclass(frozen=True, eq=False)
class Drawing:
    """What a method gets to know about the pictures that are drawn while it is applied.

    steps: T. guidance: the guidance scale; above 1 a U-Net call has two halves. family: the model's, a key of presets.
    samples: n, the pictures drawn together. chosen, blocks, seed: the scores, target blocks and seed that re-weighting
    computes its weights from. weights: (T, m) or (n, T, m), applied instead of computed weights; m is the number of
    blocks, or of Transformer2DModels. bypass: bool, the same shape, blocks that are switched off; or None.
    """

    steps: int
    guidance: float = 0.0
    family: str = ""
    samples: int = 1
    weights: np.ndarray | None = None
    bypass: np.ndarray | None = None
    chosen: Chosen | None = None
    blocks: tuple[TargetBlock, ...] = ()
    seed: int = 0


@dataclass
class Report:
    """What a method did: how many modules it hooked, and counters of its own, updated while it is applied."""

    modules: int = 0
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, amount: float = 1) -> None:
        """Add to a counter."""
        self.figures[name] = self.figures.get(name, 0) + amount

    def sentence(self) -> str:
        """The report as text: "9 modules hooked, U-Net calls saved 12"."""
        hooked = [f"{self.modules} module{'s' * (self.modules != 1)} hooked"] if self.modules else []
        return ", ".join([*hooked, *(f"{name} {value:g}" for name, value in self.figures.items())])


class Method(ABC):
    """A training-free method, as used by the page, the API, the command line and the benchmarks.

    key: in columns, file names and settings. title: its name for people. about: what it is, for a stranger. settings: a frozen dataclass, checked on
    construction, whose fields are made by `setting`. presets: settings by model family; `default` for any other.
    excludes: keys of methods that it cannot be combined with.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    about: ClassVar[str] = ""
    settings: ClassVar[type]
    presets: ClassVar[Mapping[str, Any]] = {}
    excludes: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def apply(self, pipe: Any, settings: Any, drawing: Drawing) -> AbstractContextManager[Report]:
        """Apply the method to a pipeline; undone bitwise on exit, also after an exception.

        ValueError of one sentence for a pipeline that it does not support, which is left unchanged.
        """

    def default(self) -> Any:
        """Settings for a family without a preset. TypeError if a setting has no default."""
        return self.settings()

    def settings_for(self, family: str) -> Any:
        """The preset of a model family, or the default."""
        return self.presets[family] if family in self.presets else self.default()

    def read(self, raw: Any, default: Any) -> Any:
        """Validated settings from raw input, over a default. ValueError of one sentence for invalid input."""
        return read_settings(self.settings, self.title, raw, default)

    def caption(self, settings: Any, drawing: Drawing) -> str:
        """The settings as text, for a picture's caption and its PNG."""
        return " ".join(f"{name} {_short(value)}" for name, value in asdict(settings).items() if value is not None)

    def cache_key(self, settings: Any, drawing: Drawing) -> Hashable:
        """Everything the picture depends on that the vanilla picture does not."""
        return settings

    def inert(self, settings: Any, drawing: Drawing) -> str:
        """Why the method changes nothing in this drawing, as a sentence; empty if it does change something."""
        return ""


METHODS: Registry[Method] = Registry("method", "reweight.methods")


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_short, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
