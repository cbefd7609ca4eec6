"""The settings of tuning: the free weights, the objective, and when to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

By = Literal["gradient", "cma"]
LOW, HIGH = 0.0, 2.0  # of a weight


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Settings of a tuning, checked on construction. The first six matter most; tinker with the rest.

    by: "gradient", through the pipeline into a differentiable scorer, or "cma" (CMA-ES), for any scorer.
    static: one row of weights for all steps. one_number: also one weight for all blocks. per: a column is a "stage", as
    in the paper, or a "transformer".
    iterations: gradient steps, or generations. batch: pictures per iteration, with CMA-ES for each candidate.
    trust: penalty on the mean of (w - 1)^2. hold: penalty on the loss of mean match with the prompt.
    floor: minimum mean likeness to vanilla, below which the shortfall is subtracted from the gain; None for no floor.
    likeness: "ssim", or "features" for the cosine of the scorer's image features.
    rate: Adam's learning rate. sigma, population: CMA-ES's initial step size and candidates per generation, 0 for its
    default. noises: initial noises per prompt. validate_every: iterations between validations. patience: validations
    without improvement before stopping. together: maximum number of pictures in one call of the pipeline. seed: of the
    noises, the order of the prompts and CMA-ES's candidates.
    """

    by: By = "gradient"
    static: bool = False
    one_number: bool = False
    per: Literal["stage", "transformer"] = "stage"
    iterations: int = 60
    batch: int = 16
    trust: float = 0.02
    hold: float = 1.0
    floor: float | None = None
    likeness: Literal["ssim", "features"] = "ssim"
    rate: float = 0.01
    sigma: float = 0.05
    population: int = 0
    noises: int = 1
    validate_every: int = 5
    patience: int = 4
    together: int = 16
    checkpointing: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in (
            ("by", ("gradient", "cma")), ("per", ("stage", "transformer")), ("likeness", ("ssim", "features")),
        ):  # fmt: skip
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {' or '.join(choices)}, not {getattr(self, name)!r}.")
        for name in ("iterations", "batch", "noises", "validate_every", "patience", "together"):
            if not _whole(getattr(self, name)) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {getattr(self, name)!r}.")
        for name in ("population", "seed"):
            if not _whole(getattr(self, name)) or not 0 <= getattr(self, name) < 2**31:
                raise ValueError(f"{name} must be a whole number of at least 0, not {getattr(self, name)!r}.")
        if self.population == 1:
            raise ValueError("A population of CMA-ES has at least 2 candidates.")
        for name in ("trust", "hold", "rate", "sigma"):
            if not _finite(getattr(self, name)) or getattr(self, name) < 0:
                raise ValueError(f"{name} must be a number of at least 0, not {getattr(self, name)!r}.")
        if self.rate == 0 or self.sigma == 0:
            raise ValueError("rate and sigma must be above 0.")
        if self.floor is not None and not (_finite(self.floor) and 0 <= self.floor <= 1):
            raise ValueError(f"The floor of likeness must be from 0 to 1, not {self.floor!r}.")

    def shape(self, steps: int, columns: int) -> tuple[int, int]:
        """The shape of the free weights, which are broadcast to (T, k)."""
        return (1, 1) if self.one_number else (1, columns) if self.static else (steps, columns)

    def as_json(self) -> dict[str, Any]:
        """Every setting as JSON values."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
