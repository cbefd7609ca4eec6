"""DEIS (arXiv 2204.13902): diffusers' higher-order sampler, made for ten to fifteen steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from .base import Drawing, Method, Report
from .settings import setting

TURBO = ("sd-turbo", "sdxl-turbo")
FEWEST = 5
SMALLEST = 2.0**-24  # floor of alpha_bar for schedules that end in pure noise, as in diffusers' other samplers


@dataclass(frozen=True)
class Deis:
    """Settings of DEIS. order: the solver's order; lower in the first steps, and in the last if there are few."""

    order: int = setting("Order", low=1, high=3, default=2)


class DeisMethod(Method):
    """DEIS as a column: diffusers' DEISMultistepScheduler with the model's own noise schedule."""

    key = "deis"
    title = "DEIS"
    settings = Deis
    presets = dict.fromkeys(("toy", "sd15", "sd21", *TURBO, "sdxl"), Deis())

    @contextmanager
    def apply(self, pipe: Any, settings: Deis, drawing: Drawing) -> Iterator[Report]:
        if self.inert(settings, drawing):
            yield Report(figures={"samplers changed": 0})
            return
        if not hasattr(pipe, "scheduler"):
            raise ValueError("DEIS takes the place of a pipeline's sampler: give a pipeline, not a U-Net alone.")
        before = pipe.scheduler
        pipe.scheduler = deis_like(before, settings.order)
        try:
            yield Report(figures={"samplers changed": 1, "order": settings.order})
        finally:
            pipe.scheduler = before

    def inert(self, settings: Deis, drawing: Drawing) -> str:
        if drawing.family in TURBO:
            return "DEIS does not change turbo models: they were distilled for their own sampler."
        if drawing.steps < FEWEST:
            return f"DEIS is for 10 to 15 steps; below {FEWEST} the model's own sampler is left in place."
        return ""


def deis_like(scheduler: Any, order: int) -> Any:
    """DEIS with the noise schedule, prediction type and timestep spacing of a scheduler. ValueError for a scheduler that
    it cannot replace."""
    from diffusers import DEISMultistepScheduler

    name, config = type(scheduler).__name__, scheduler.config
    if isinstance(scheduler, DEISMultistepScheduler):
        raise ValueError("The pipeline draws with DEIS already: leave one of the two out.")
    if name.startswith(("LCM", "TCD")):
        raise ValueError(f"DEIS cannot take the place of {name}, whose model was distilled for it: leave DEIS out.")
    if not hasattr(config, "beta_schedule") or config.get("prediction_type") not in (
        "epsilon",
        "v_prediction",
        "sample",
    ):
        raise ValueError(
            f"DEIS cannot take the place of {name}, which has another kind of noise schedule: leave it out."
        )
    own = {}
    if config.get("rescale_betas_zero_snr"):
        bars = scheduler.alphas_cumprod.double().clamp_min(SMALLEST)
        own["trained_betas"] = (1 - bars / torch.cat([torch.ones(1, dtype=bars.dtype), bars[:-1]])).tolist()
    return DEISMultistepScheduler.from_config(config, solver_order=order, **own)
