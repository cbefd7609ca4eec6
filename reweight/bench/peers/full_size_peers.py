"""`python -m reweight bench peers-full-size`: FLOPs that methods save on the published U-Nets, counted on meta tensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import typer

STEPS = 50


@dataclass(frozen=True)
class Regime:
    """U-Net calls with the same cost: the step (from 0) of one of them, and how many of the 50 calls are like it."""

    step: int
    calls: int


# in the order of the calls: the second reuses features of the first
REGIMES: dict[str, tuple[str, dict[str, Any], tuple[Regime, ...]]] = {
    "vanilla": ("vanilla", {}, (Regime(0, 50),)),
    "faster-diffusion": ("faster-diffusion", {"noise": 0}, (Regime(3, 9), Regime(4, 41))),
    "inherit, every 2": ("inherit", {"interval": 2}, (Regime(0, 25), Regime(1, 25))),
    "inherit, every 3": ("inherit", {"interval": 3}, (Regime(0, 17), Regime(1, 33))),
    "inherit, every 5": ("inherit", {"interval": 5}, (Regime(0, 10), Regime(1, 40))),
    "at-edm": ("at-edm", {}, (Regime(0, 15), Regime(20, 35))),
    "tomesd, 0.5": ("tomesd", {}, (Regime(0, 50),)),
    "tgate": ("tgate", {}, (Regime(19, 20), Regime(20, 30))),
}


def command(
    out: Annotated[Path, typer.Option(help="The JSON file to write.")] = Path("bench/peers-full-size.json"),
) -> None:
    """Count the U-Net's FLOPs over 50 steps with guidance, on meta tensors."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from ..overhead.full_size_models import FULL_SIZE
    from ..stats.result_file import write_json

    console, models = Console(width=110), {}
    table = Table("", *FULL_SIZE, title=f"U-Net FLOPs over {STEPS} steps as a share of vanilla's (TFLOPs)")
    for key in FULL_SIZE:
        models[key] = measure(key)
    for label in REGIMES:
        cells = []
        for found in models.values():
            share = found[label]["share"]
            cells.append(f"({found[label]['teraflops']:.1f})" if label == "vanilla" else f"{share:.3f}")
        table.add_row(label, *cells)
    write_json(out, {"format": "reweight-peers-full-size-1", "steps": STEPS, "guidance": True, "models": models,
                     "torch": torch.__version__})  # fmt: skip
    console.print(table)
    console.print(f"Wrote {out}.")


def measure(key: str) -> dict[str, dict[str, float]]:
    """TFLOPs of a published U-Net by method: 50 steps, both guidance halves, its own resolution."""
    import torch
    from diffusers import DDIMScheduler, UNet2DConditionModel

    from ...methods import METHODS, Drawing
    from ..overhead.full_size_models import FULL_SIZE
    from .flops import flops

    model = FULL_SIZE[key]
    with torch.device("meta"):
        unet = UNet2DConditionModel(**model.unet).eval()
    scheduler = DDIMScheduler(timestep_spacing="trailing")
    pipe = SimpleNamespace(unet=unet, scheduler=scheduler, do_classifier_free_guidance=True)
    found: dict[str, dict[str, float]] = {}
    for label, (method, changes, regimes) in REGIMES.items():
        known = METHODS[method]
        settings = known.read(changes, known.settings_for(model.key))
        scheduler.set_timesteps(STEPS)
        total = 0
        with torch.no_grad(), known.apply(pipe, settings, Drawing(STEPS, 7.0, model.key)):
            for regime in regimes:
                total += regime.calls * flops(
                    lambda regime=regime: call(unet, scheduler.timesteps[regime.step], "meta")
                )
        whole = found["vanilla"]["teraflops"] if found else total / 1e12
        found[label] = {"teraflops": total / 1e12, "share": total / 1e12 / whole}
    return found


def call(unet: Any, timestep: Any, device: str, latent: int | None = None) -> None:
    """A function that calls a published U-Net once on noise, with both guidance halves. latent: the side, None: its own."""
    import torch

    config, dtype = unet.config, unet.dtype
    side = latent or config.sample_size
    sample = torch.randn(2, 4, side, side, device=device, dtype=dtype)
    text = torch.randn(2, 77, config.cross_attention_dim, device=device, dtype=dtype)
    added = {}
    if config.addition_embed_type == "text_time":
        width = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        added = {
            "text_embeds": torch.randn(2, width, device=device, dtype=dtype),
            "time_ids": torch.zeros(2, 6, device=device, dtype=dtype),
        }
    unet(sample, timestep, text, added_cond_kwargs=added or None)
