"""`python -m reweight bench peers-full-size-times`: seconds and memory of methods on the published U-Nets, random weights."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import typer


def command(
    models: Annotated[list[str] | None, typer.Option("--model", help="sd-turbo or sdxl; by default both.")] = None,
    latent: Annotated[int, typer.Option(min=8, help="Side of the latents; 64 is a picture of 512 pixels.")] = 64,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; each has every method once.")] = 3,
    device: Annotated[str | None, typer.Option(help="cuda or cpu; by default the fastest available.")] = None,
    dtype: Annotated[str | None, typer.Option(help="By default bfloat16 on a CPU, else float16.")] = None,
    out: Annotated[Path, typer.Option(help="The JSON file to write.")] = Path("bench/peers-full-size-times.json"),
) -> None:
    """Time each kind of U-Net call, add up 50 steps with guidance, and measure the peak memory of a call's tensors."""
    import torch
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from ..overhead.full_size import device_and_dtype, provenance
    from ..overhead.full_size_models import FULL_SIZE
    from ..stats.result_file import write_json
    from .full_size_peers import STEPS

    place, kind = device_and_dtype(device, dtype)
    if unknown := [key for key in models or () if key not in FULL_SIZE]:
        raise ValueError(f"There is no full-size model {unknown[0]!r}: choose from {', '.join(FULL_SIZE)}.")
    console, told = Console(width=110), {}
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        for key in models or FULL_SIZE:
            told[key] = measure(
                key, kind, place, latent=latent, repeats=repeats,
                on_progress=lambda text, done: bar.update(task, completed=done, description=text),
            )  # fmt: skip
            torch.cuda.empty_cache()
            origin = provenance(place, kind, steps=STEPS, latent=latent, repeats=repeats)
            known = {name: value for name, value in origin.items() if name not in ("format", "prompt", "guidance")}
            write_json(out, {"format": "reweight-peers-full-size-times-1"} | known | {"guidance": True, "models": told})
    for key, found in told.items():
        table = Table("", "time / vanilla", "processor / vanilla", "peak of a call, MB", title=f"{key}, {STEPS} steps")
        for label, line in found.items():
            table.add_row(
                label, f"({line['seconds']:.1f} s)" if label == "vanilla" else f"{line['time'][0]:.3f}",
                f"{line['cpu'][0]:.3f}", f"{line['peak_mb']:.0f}",
            )  # fmt: skip
        console.print(table)
    console.print(f"Wrote {out}.")


def measure(
    key: str, dtype: Any, device: str, *, latent: int, repeats: int, on_progress: Callable[[str, float], None]
) -> dict[str, dict[str, Any]]:
    """By method: seconds of 50 steps, ratios of time and processor time to vanilla in the same round as (median,
    minimum, maximum), and the peak memory in MB of one call's tensors."""
    from diffusers import DDIMScheduler

    from ..overhead.full_size_models import FULL_SIZE, build
    from ..overhead.peak_memory import tensors_peak
    from .full_size_peers import REGIMES

    on_progress(f"{key}: building", 0)
    unet = build(FULL_SIZE[key], dtype=dtype, device=device).unet
    pipe = SimpleNamespace(
        unet=unet, scheduler=DDIMScheduler(timestep_spacing="trailing"), do_classifier_free_guidance=True
    )
    peaks: dict[str, float] = {}
    for i, label in enumerate(REGIMES):
        on_progress(f"{key}: memory, {label}", i / len(REGIMES) / (repeats + 1))
        observed = _turn(pipe, FULL_SIZE[key], label, device, latent, lambda work: tensors_peak(work, device))
        peaks[label] = max(value for _, value in observed)
    turns: list[dict[str, tuple[float, float]]] = []
    for turn in range(1, repeats + 1):
        totals = {}
        for i, label in enumerate(REGIMES):
            on_progress(f"{key}: {label}", (turn + i / len(REGIMES)) / (repeats + 1))
            timed = _turn(pipe, FULL_SIZE[key], label, device, latent, lambda work: _timed(work, device))
            totals[label] = (
                sum(calls * took[0] for calls, took in timed),
                sum(calls * took[1] for calls, took in timed),
            )
        turns.append(totals)
    found: dict[str, dict[str, Any]] = {}
    for label in REGIMES:
        ratios = [
            [turn[label][which] / turn["vanilla"][which] for turn in turns] for which in (0, 1)
        ]  # time, processor time
        found[label] = {
            "seconds": statistics.median(turn[label][0] for turn in turns), "peak_mb": peaks[label],
            **{
                name: (statistics.median(values), min(values), max(values))
                for name, values in zip(("time", "cpu"), ratios, strict=True)
            },
        }  # fmt: skip
    return found


def _turn(
    pipe: Any, model: Any, label: str, device: str, latent: int, observe: Callable[[Callable[[], object]], Any]
) -> list[tuple[int, Any]]:
    """Of each kind of call by a method: how many of 50 steps are like it, and what `observe(call)` says of one."""
    import torch

    from ...methods import METHODS, Drawing
    from .full_size_peers import REGIMES, STEPS, call

    method, changes, regimes = REGIMES[label]
    known = METHODS[method]
    settings = known.read(changes, known.settings_for(model.key))
    pipe.scheduler.set_timesteps(STEPS)
    with torch.inference_mode(), known.apply(pipe, settings, Drawing(STEPS, 7.0, model.key)):
        return [
            (regime.calls, observe(partial(call, pipe.unet, pipe.scheduler.timesteps[regime.step], device, latent)))
            for regime in regimes
        ]


def _timed(work: Callable[[], object], device: str) -> tuple[float, float]:
    """(seconds, processor seconds)."""
    import torch

    began = time.perf_counter(), time.process_time()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began[0], time.process_time() - began[1]
