"""A measured figure with its interval, ceiling and goal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measurement.

    value: in `unit`, with its 95% interval from low to high. steps: denoising steps, if it depends on them. ceiling: the
    same measure on real pictures or without the generator, if there is one. share: value / ceiling. goal: the minimum
    (with less=True the maximum) that `against` ("value" or "share") should reach.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str = ""
    steps: int | None = None
    ceiling: float | None = None
    goal: float | None = None
    against: str = "value"
    less: bool = False

    @property
    def share(self) -> float | None:
        return self.value / self.ceiling if self.ceiling else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        reached = self.share if self.against == "share" else self.value
        if self.goal is None or reached is None:
            return None
        return reached <= self.goal if self.less else reached >= self.goal

    def as_json(self) -> dict[str, Any]:
        rounded = {key: round(item, 5) if isinstance(item, float) else item for key, item in asdict(self).items()}
        share = None if self.share is None else round(self.share, 5)
        return {
            key: item for key, item in (rounded | {"share": share, "met": self.met}).items() if item not in (None, "")
        }

    def line(self) -> str:
        """The figure as text."""
        at = "" if self.steps is None else f" at {self.steps} step{'s' * (self.steps > 1)}"
        unit = f" {self.unit}" if self.unit else ""
        text = f"{self.name}{at}: {self.value:.4g}{unit} [{self.low:.4g}, {self.high:.4g}]"
        if self.share is not None:
            text += f", {self.share:.3g} of {self.ceiling:.4g}"
        if self.met is not None:
            sign = "<=" if self.less else ">="
            text += f"; goal {self.against} {sign} {self.goal:g}: {'met' if self.met else 'not met'}"
        return text
