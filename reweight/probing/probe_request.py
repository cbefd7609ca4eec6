"""The settings of a probe: the trajectory to record, and the search."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from .arguments import checked_batch_size, whole_number
from .search import PRESETS, ProbeSettings


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """The denoising trajectory of one prompt, on which students are evaluated. Checked on construction.

    Attributes:
        prompt: one prompt, not blank.
        steps: T, 1 to 50.
        seed: of the initial noise, drawn on the CPU.
        images: pictures of the prompt, 1 to 64, with seeds seed, seed + 1, ...; errors are means over them.
        guidance_scale: None for the pipeline's default.
        negative_prompt: used only with guidance.
        height, width: pixels; None for the pipeline's default.

    Raises:
        ValueError: a blank prompt, or a number out of range, which the message names. Any integer type but bool is
            accepted.
    """

    prompt: str
    steps: int
    seed: int = 42
    images: int = 1
    guidance_scale: float | None = None
    negative_prompt: str | None = None
    height: int | None = None
    width: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.prompt, str) or not self.prompt.strip():
            raise ValueError("The prompt is blank: give a prompt.")
        _set(self, "steps", whole_number(self.steps, "steps", 1, 50))
        _set(self, "seed", whole_number(self.seed, "seed", 0, 2**63 - 1))
        _set(self, "images", whole_number(self.images, "images", 1, 64))
        for name in ("height", "width"):
            if (value := getattr(self, name)) is not None:
                _set(self, name, whole_number(value, name, 1))
        if self.guidance_scale is not None:
            scale = float(self.guidance_scale)
            if not math.isfinite(scale):
                raise ValueError(f"guidance_scale must be a finite number, not {self.guidance_scale!r}.")
            _set(self, "guidance_scale", scale)


@dataclass(frozen=True, kw_only=True)
class ProbeRequest(Trajectory):
    """All settings of `iter_probe`. The seed is also that of the runs' random streams and of the vote.

    Attributes:
        settings: the probe's constants.
        batch_size: maximum number of U-Net samples in one call (default: enough to keep the device busy). Runs whose
            candidates fit into one batch advance together. The finished table does not depend on it, unless an error
            equals its tolerance up to the last bits.
        model, revision: recorded in the table.
    """

    settings: ProbeSettings = field(default_factory=ProbeSettings)
    batch_size: int | None = None
    model: str = ""
    revision: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _set(self, "batch_size", checked_batch_size(self.batch_size))

    @classmethod
    def of(
        cls,
        prompt: str,
        *,
        preset: str | ProbeSettings = "paper-code",
        runs: int | None = None,
        iterations: int | None = None,
        candidates: int | None = None,
        precision: float | None = None,
        surrogate: bool | None = None,
        **others: Any,
    ) -> ProbeRequest:
        """A request from a preset, with some of its constants replaced.

        Args:
            prompt: the prompt to probe.
            preset: a name in `PRESETS`, or a `ProbeSettings`.
            runs: replaces the preset's runs.
            iterations: replaces the preset's iterations.
            candidates: replaces the preset's candidates per iteration and step.
            precision: stop adding runs, at least 4, once the bootstrap interval of every score is narrower than this.
            surrogate: evaluate only candidates whose error is near the tolerance, and estimate the others by a linear
                approximation.
            **others: the other attributes, including `steps`.

        Raises:
            ValueError: an unknown preset, or a value out of range.
        """
        if not isinstance(preset, ProbeSettings):
            if preset not in PRESETS:
                raise ValueError(f"There is no preset {preset!r}: choose one of {', '.join(PRESETS)}.")
            preset = PRESETS[preset]
        changes = {
            "runs": runs, "iterations": iterations, "candidates": candidates, "precision": precision,
            "surrogate": surrogate,
        }  # fmt: skip
        settings = replace(preset, **{name: value for name, value in changes.items() if value is not None})
        return cls(prompt=prompt, settings=settings, **others)


def _set(instance: object, name: str, value: Any) -> None:
    object.__setattr__(instance, name, value)
