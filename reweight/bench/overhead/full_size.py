"""`python -m reweight bench full-size`: the cost of methods on SD-Turbo's and SDXL's U-Nets with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch

    from .full_size_models import FullSize

GOAL = 1.01  # largest allowed ratio of re-weighting's time to vanilla's
DTYPES = ("bfloat16", "float16", "float32")
LATENT_ON_CPU = 32


def command(
    model: Annotated[list[str] | None, typer.Option(help="sd-turbo, sdxl; by default both.")] = None,
    dtype: Annotated[str | None, typer.Option(help="By default bfloat16 on a CPU and float16 on CUDA.")] = None,
    latent: Annotated[
        int | None, typer.Option(min=8, max=128, help="Side of the latents; by default the model's, on a CPU 32.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=50, help="Denoising steps.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures drawn together.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; the median is reported.")] = 9,
    device: Annotated[str | None, typer.Option(help="cuda or cpu; by default the fastest available.")] = None,
    compiled: Annotated[bool, typer.Option(help="Compile the Transformer blocks' insides with torch.compile.")] = False,
    out: Annotated[Path, typer.Option(help="The JSON file to write.")] = Path("bench/full-size.json"),
) -> None:
    """Measure blocks, memory, and the cost of re-weighting and FreeU on full-size U-Nets with random weights."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from ..stats.result_file import file_for, write_json
    from .full_size_models import FULL_SIZE

    if unknown := set(model or ()) - set(FULL_SIZE):
        raise ValueError(f"There is no full-size {sorted(unknown)[0]!r}: choose from {', '.join(FULL_SIZE)}.")
    if latent is not None and latent % 8:
        raise ValueError(f"The latents' side must be a multiple of 8, not {latent}.")
    file_for(out)
    place, kind = device_and_dtype(device, dtype)
    origin = provenance(place, kind, steps=steps, batch=batch_size, repeats=repeats, compiled=compiled)
    columns = ("", "blocks", "parameters", "latents", "peak GB", "method", "seconds", "/ vanilla", "CPU / vanilla")
    table = Table(*columns, title=f"{origin['dtype']}, {steps} step{'s' * (steps > 1)}, on {origin['device']}")
    console, results = Console(stderr=True), []
    with Progress(console=console, transient=True) as bar:
        for key in dict.fromkeys(model or FULL_SIZE):
            task = bar.add_task(f"building {FULL_SIZE[key].title}", total=1.0)
            found = measure(
                FULL_SIZE[key], kind, place, latent=latent, steps=steps, batch=batch_size, repeats=repeats,
                compiled=compiled, on_progress=lambda text, done, task=task: bar.update(task, completed=done, description=text),
            )  # fmt: skip
            bar.remove_task(task)
            for row in _rows(found):
                table.add_row(*row)
            results.append(found)
            write_json(out, origin | {"models": results})
    table.caption = f"random weights; medians of {repeats} turns with 95% intervals; aim: re-weighted at most {GOAL}"
    Console(width=max(120, Console().width)).print(table)
    console.print(f"Wrote {out}.", markup=False, highlight=False, soft_wrap=True)


def measure(
    model: FullSize, dtype: torch.dtype, device: str, *, latent: int | None, steps: int, batch: int, repeats: int,
    on_progress: Any, compiled: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Build one model and measure it; returns its part of the JSON file. latent: the side, None for the default.

    compiled: compile the layers inside the Transformers, which does not affect the hooks around them.
    """
    from ...methods.freeu import PRESETS
    from ...models.registry import REGISTRY
    from ...patching.blocks import target_blocks
    from .full_size_models import build
    from .paired_timing import REWEIGHTED, costs, draw
    from .peak_memory import peak

    side = latent or (LATENT_ON_CPU if device == "cpu" else model.unet["sample_size"])

    def first() -> Any:
        pipe = build(model, dtype=dtype, device=device)
        if compiled:
            pipe.unet.compile_repeated_blocks()
        draw(pipe, side=side, steps=steps, batch=batch)
        return pipe

    pipe, megabytes = peak(first, device)
    card = REGISTRY[model.key]
    taken = costs(
        pipe, PRESETS[model.key], side=side, steps=steps, batch=batch, repeats=repeats, low=card.low, high=card.high,
        on_progress=lambda method, done: on_progress(f"{model.title}, {method}", done),
    )  # fmt: skip
    ratios = {cost.method: cost.ratio[0] for cost in taken}
    return {
        "model": model.key, "title": model.title, "blocks": [block.label for block in target_blocks(pipe.unet)],
        "parameters": pipe.unet.num_parameters(), "latent": side, "peak_mb": megabytes, "low": card.low,
        "high": card.high, "freeu": vars(PRESETS[model.key]), "costs": [cost.as_json() for cost in taken],
        "goal": GOAL, "met": ratios[REWEIGHTED] <= GOAL,
    }  # fmt: skip


def _rows(found: dict[str, Any]) -> list[list[str]]:
    """A line for each method; figures of the model are in the first line."""
    memory = "" if found["peak_mb"] is None else f"{found['peak_mb'] / 1000:.1f}"
    model = [
        found["title"], str(len(found["blocks"])), f"{found['parameters'] / 1e6:.1f} M", str(found["latent"]), memory,
    ]  # fmt: skip
    rows = []
    for number, cost in enumerate(found["costs"]):
        ratios = ["{:.3f} [{:.3f}, {:.3f}]".format(*cost[name]) if number else "" for name in ("ratio", "cpu_ratio")]
        rows.append(
            [*([""] * len(model) if number else model), cost["method"], f"{cost['median_seconds']:.3f}", *ratios]
        )
    return rows


def device_and_dtype(device: str | None, dtype: str | None) -> tuple[str, torch.dtype]:
    import torch

    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if place not in ("cuda", "cpu") or (place == "cuda" and not torch.cuda.is_available()):
        raise ValueError("There is no such device here: choose cuda or cpu, or leave it out.")
    kind = dtype or ("bfloat16" if place == "cpu" else "float16")
    if kind not in DTYPES:
        raise ValueError(f"The dtype is {', '.join(DTYPES[:-1])} or {DTYPES[-1]}, not {kind!r}.")
    return place, getattr(torch, kind)


def provenance(device: str, dtype: torch.dtype, **settings: int) -> dict[str, Any]:
    import platform

    import torch

    from ...engine.provenance import current_versions
    from .paired_timing import PROMPT
    from .time_estimates import device_name

    return {
        "format": "reweight-full-size-1", "weights": "random", "prompt": PROMPT, "guidance": 0.0,
        "dtype": str(dtype).removeprefix("torch."), "device": device_name(device), "threads": torch.get_num_threads(),
        "system": platform.platform(), "versions": current_versions() | {"python": platform.python_version()},
    } | settings  # fmt: skip
