"""`python -m reweight bench parts`: what each part of SD-Turbo takes of time and memory, in full size with random weights."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch

DTYPES = ("bfloat16", "float32")
SIDE, WIDTH = 64, 1024  # of the latents of 512 x 512 pixels; of the text


def command(
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each part, the quickest of which counts.")] = 2,
    out: Annotated[Path, typer.Option(help="The JSON file to write.")] = Path("bench/parts.json"),
) -> None:
    """Time and memory of SD-Turbo's parts on a CPU, in bfloat16 and float32: what a picture of 512 pixels is made of."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from ..stats.result_file import file_for, write_json

    file_for(out)
    rows: list[dict[str, Any]] = []
    for dtype in DTYPES:
        for name, build, work in _parts():
            rows.append(measure(name, build, work, getattr(torch, dtype), repeats))
            write_json(out, provenance() | {"parts": rows})
    table = Table("part", "dtype", "weights MB", "CPU s", "seconds")
    for row in rows:
        table.add_row(
            row["part"], row["dtype"], f"{row['megabytes']:.0f}", f"{row['cpu_seconds']:.2f}", f"{row['seconds']:.2f}"
        )
    Console().print(table)


def measure(
    name: str, build: Callable[[], Any], work: Callable[[Any, torch.dtype], Any], dtype: torch.dtype, repeats: int
) -> dict[str, Any]:
    """Build a part with random weights in a dtype and run it: its row in the file."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        part = build().eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)
    seconds, cpu_seconds = [], []
    with torch.inference_mode():
        for _ in range(repeats + 1):  # the first also packs weights
            wall, cpu = time.perf_counter(), time.process_time()
            work(part, dtype)
            seconds.append(time.perf_counter() - wall)
            cpu_seconds.append(time.process_time() - cpu)
    size = sum(weight.numel() * weight.element_size() for weight in part.parameters())
    del part
    gc.collect()
    return {
        "part": name, "dtype": str(dtype).removeprefix("torch."), "megabytes": size / 1e6,
        "seconds": min(seconds[1:]), "cpu_seconds": min(cpu_seconds[1:]),
    }  # fmt: skip


def provenance() -> dict[str, Any]:
    """Where and with what it was measured."""
    import os
    import platform

    import torch

    from ...engine.provenance import current_versions
    from .pace import device_name

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "format": "reweight-parts-1", "weights": "random", "device": device_name("cpu"), "threads": torch.get_num_threads(),
        "load": load, "system": platform.platform(), "versions": current_versions(),
    }  # fmt: skip


def _parts() -> list[tuple[str, Callable[[], Any], Callable[[Any, torch.dtype], Any]]]:
    """Name, how it is built from its published configuration, and what it does for one picture."""
    import torch
    from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from .full_size_models import SD_TURBO

    def text() -> Any:
        return CLIPTextModel(CLIPTextConfig(
            hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=23, num_attention_heads=16, hidden_act="gelu",
        ))  # fmt: skip

    def autoencoder() -> Any:
        blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
        return AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, **blocks)

    def latents(dtype: torch.dtype) -> torch.Tensor:
        return torch.randn(1, 4, SIDE, SIDE, dtype=dtype)

    return [
        ("text encoder, one prompt", text, lambda part, dtype: part(torch.zeros(1, 77, dtype=torch.long))),
        ("U-Net, one step", lambda: UNet2DConditionModel(**SD_TURBO.unet),
         lambda part, dtype: part(latents(dtype), torch.tensor(999), torch.randn(1, 77, WIDTH, dtype=dtype))),
        ("autoencoder, decoding", autoencoder, lambda part, dtype: part.decode(latents(dtype))),
        ("AutoencoderTiny, decoding", AutoencoderTiny, lambda part, dtype: part.decode(latents(dtype))),
    ]  # fmt: skip
