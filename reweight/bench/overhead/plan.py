"""`python -m reweight bench plan`: estimates the time and memory of each table on this machine."""

from __future__ import annotations

from typing import Any

import typer

from ...tuning.tuning_settings import Tuning
from ..tables.table_commands import Device, Dtype, Limit, Model, Runs, Seeds, Steps, whole_numbers

TUNING_COST = 5  # in drawings: one of vanilla, forward, recomputation under checkpointing, and backward as two forwards


def command(
    model: Model = "toy", limit: Limit = 200, seeds: Seeds = "42,21", steps: Steps = "", runs: Runs = None,
    processes: int = typer.Option(1, min=1, help="Number of processes, each with a device like this one."), dtype: Dtype = None,
    device: Device = None, seconds: float = typer.Option(20.0, min=0.0, help="Seconds of measurement."),
    tuning_too: bool = typer.Option(False, "--tuning", help="Measure the memory of tuning by gradient too."),
) -> None:  # fmt: skip
    """Estimate how long each table takes on this device, and how much memory it needs."""
    from rich.console import Console
    from rich.table import Table

    from ...models.loading import load_model
    from ..tables.experiments import NAMES
    from ..tables.prompts import CATEGORIES
    from .time_estimates import calibrate, device_name, duration, seconds_for

    counts, noises = whole_numbers(steps, "steps"), len(whole_numbers(seeds, "seeds"))
    loaded = load_model(model, device=device, dtype=dtype, local=True)
    loaded.pipe.set_progress_bar_config(disable=True)
    pace = calibrate(loaded, seconds)
    prompts = limit * len(CATEGORIES)
    title = f"{loaded.card.title}, {loaded.dtype}, on {processes} x {device_name(loaded.device)}"
    table = Table("", "drawing", "probing, at most", title=title)
    for name in NAMES:
        try:
            parts = seconds_for(name, loaded, pace, prompts * noises, prompts, counts, runs)
        except ValueError as error:
            table.add_row(name, str(error), "")
        else:
            table.add_row(name, *(duration(part / processes) for part in parts))
    tuning = Tuning()
    pictures = tuning.iterations * tuning.batch * TUNING_COST
    seconds = pictures * (loaded.card.steps * pace.step + pace.fixed)
    table.add_row(
        f"tune, {tuning.iterations} x {tuning.batch} pictures at {loaded.card.steps} steps", duration(seconds), ""
    )
    table.caption = (
        f"{prompts} prompts with {noises} seeds; {pace.step:.3g} s a step and {pace.fixed:.3g} s a picture besides; "
        f"{pace.memory / 1e9:.1f} GB; the scorer is not counted, HPS takes 4 GB more"
    )
    if tuning_too:
        more = memory_of_tuning(loaded, loaded.card.steps) / 1000
        table.caption += f"; tuning by gradient, one picture at a time, takes {more:.2g} GB besides the networks"
    Console(width=100).print(table)


def memory_of_tuning(loaded: Any, steps: int) -> float:
    """The most MB that one picture takes forth and back through all steps, under checkpointing, besides the networks."""
    import torch

    from ...patching.blocks import target_blocks
    from ...tuning.differentiable_sampling import Sampling, pictures, prepared
    from .peak_memory import tensors_peak
    from .time_estimates import PROMPT

    weights = torch.ones(steps, len(target_blocks(loaded.pipe.unet)), requires_grad=True)

    def work() -> None:
        with prepared(loaded.pipe, checkpointing=True):
            pictures(loaded.pipe, [(PROMPT, 1)], Sampling(steps, loaded.card.guidance), weights).mean().backward()

    return tensors_peak(work, loaded.device)
