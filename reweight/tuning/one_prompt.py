"""Tunes weights for one prompt, interactively: a few noises, seconds on an embedded model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..scoring.scorer import Scorer
from .loop import TuneSnapshot, iter_tune
from .tuning_settings import Tuning

OVERFITTED = (
    "These weights were tuned on this prompt alone and raise one scorer on a few noises: for another prompt, or by "
    "another judge, they may well be worse than vanilla."
)


@dataclass(frozen=True, kw_only=True)
class PromptTuning:
    """Settings of a tuning for one prompt. iterations: gradient steps. noises: in addition to the picture's own; half as
    many more are used for validation. rate, trust, hold, floor: as in `Tuning`. static: one row for all steps."""

    iterations: int = 12
    noises: int = 4
    rate: float = 0.03
    trust: float = 0.02
    hold: float = 1.0
    floor: float | None = 0.85
    static: bool = False

    def tuning(self, seed: int, *, checkpointing: bool) -> Tuning:
        return Tuning(
            iterations=self.iterations, batch=self.noises, noises=self.noises, rate=self.rate, trust=self.trust,
            hold=self.hold, floor=self.floor, static=self.static, validate_every=3, patience=2, seed=seed % 2**31,
            checkpointing=checkpointing,
        )  # fmt: skip


def tune_prompt(
    pipe: Any,
    prompt: str,
    scorer: Scorer | None,
    *,
    steps: int,
    seed: int = 42,
    settings: PromptTuning | None = None,
    check: Callable[[], object] = lambda: None,
    **options: Any,
) -> Iterator[TuneSnapshot]:
    """Tune on one prompt: a generator of one snapshot after each iteration; the last snapshot has the best table.

    The best table is chosen on other noises of the same prompt, and is all ones if none beats vanilla there.
    `OVERFITTED` says what it is worth for other prompts. options and errors: as in `iter_tune`.
    """
    settings = settings or PromptTuning()
    checkpointing = next(pipe.unet.parameters()).is_cuda
    return iter_tune(
        pipe, [prompt], scorer, steps=steps, settings=settings.tuning(seed, checkpointing=checkpointing), check=check,
        **options,
    )  # fmt: skip
