"""`python -m reweight bench parts`: time and memory of the components of full-size models with random weights."""

from __future__ import annotations

import gc
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch

DTYPES = ("bfloat16", "float32")
WIDTH = 1024  # of SD 2's text embeddings
Work = Callable[[Any, "torch.dtype"], Any]


def command(
    part: Annotated[list[str] | None, typer.Option(help="Only parts whose name contains this; by default all.")] = None,
    dtype: Annotated[list[str] | None, typer.Option(help="bfloat16, float32; by default both.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each part; the fastest counts.")] = 2,
    again: Annotated[bool, typer.Option("--again", help="Measure again what the file has already.")] = False,
    out: Annotated[Path, typer.Option(help="The JSON file to write; existing entries are kept.")] = Path(
        "bench/parts.json"
    ),
) -> None:
    """Measure time and memory of full-size models' components on a CPU, in bfloat16 and float32."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from ..stats.result_file import file_for, write_json

    chosen = [one for one in _parts() if not part or any(text in one[0] for text in part)]
    if not chosen or not set(dtype or ()) <= set(DTYPES):
        names = ", ".join(name for name, _, _ in _parts())
        raise ValueError(f"There is no such part or dtype: choose from {names}; {' and '.join(DTYPES)}.")
    file_for(out)
    rows: dict[tuple[str, str], dict[str, Any]] = {
        (row["part"], row["dtype"]): row
        for row in (json.loads(out.read_text(encoding="utf-8"))["parts"] if out.is_file() else ())
    }
    for name, build, work in chosen:
        for kind in dtype or DTYPES:
            if again or (name, kind) not in rows:
                rows[name, kind] = measure(name, build, work, getattr(torch, kind), repeats)
                write_json(out, provenance() | {"parts": list(rows.values())})
    table = Table("part", "dtype", "weights MB", "peak MB", "CPU s", "seconds", "load")
    for row in rows.values():
        memory = "" if row["peak_megabytes"] is None else f"{row['peak_megabytes']:.0f}"
        figures = (f"{row['cpu_seconds']:.2f}", f"{row['seconds']:.2f}", f"{row['load'] or 0:.1f}")
        table.add_row(row["part"], row["dtype"], f"{row['megabytes']:.0f}", memory, *figures)
    Console().print(table)


def measure(name: str, build: Callable[[], Any], work: Work, dtype: torch.dtype, repeats: int) -> dict[str, Any]:
    """Build a component with random weights in a dtype and run it; returns its row. peak_megabytes: weights included."""
    import torch

    from .full_size_models import made_in
    from .peak_memory import peak

    seconds, cpu_seconds, sizes = [], [], []

    def whole() -> None:
        with made_in(dtype, "cpu"):
            part = build().eval().requires_grad_(False)
        sizes.append(sum(weight.numel() * weight.element_size() for weight in part.parameters()))
        with torch.inference_mode():
            for _ in range(repeats + 1):  # the first one also packs weights
                wall, cpu = time.perf_counter(), time.process_time()
                work(part, dtype)
                seconds.append(time.perf_counter() - wall)
                cpu_seconds.append(time.process_time() - cpu)

    _, megabytes = peak(whole, "cpu")
    gc.collect()
    return {
        "part": name, "dtype": str(dtype).removeprefix("torch."), "megabytes": sizes[0] / 1e6, "peak_megabytes": megabytes,
        "seconds": min(seconds[1:]), "cpu_seconds": min(cpu_seconds[1:]), "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }  # fmt: skip


def provenance() -> dict[str, Any]:
    """The machine and the versions."""
    import platform

    import torch

    from ...engine.provenance import current_versions
    from ...models.placing import multiplies_in_bfloat16

    return {
        "format": "reweight-parts-2", "weights": "random, of U-Nets constant", "processor": processor(),
        "multiplies_in_bfloat16": multiplies_in_bfloat16(), "threads": torch.get_num_threads(),
        "system": platform.platform(), "versions": current_versions(),
    }  # fmt: skip


def processor() -> str:
    """The processor's name, if the system gives it."""
    import platform

    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _parts() -> list[tuple[str, Callable[[], Any], Work]]:
    """For each component: its name, a function that builds it by its published configuration, and its work per picture."""
    import torch
    from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from .full_size_models import SD_TURBO, SDXL

    def text() -> Any:
        return CLIPTextModel(CLIPTextConfig(
            hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=23, num_attention_heads=16, hidden_act="gelu",
        ))  # fmt: skip

    def autoencoder() -> Any:
        blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
        return AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, **blocks)

    def latents(side: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.randn(1, 4, side, side, dtype=dtype)

    def step(side: int, width: int, pooled: int = 0) -> Work:
        def work(unet: Any, dtype: torch.dtype) -> Any:
            added = {"text_embeds": torch.randn(1, pooled, dtype=dtype), "time_ids": torch.ones(1, 6, dtype=dtype)}
            words = torch.randn(1, 77, width, dtype=dtype)
            return unet(latents(side, dtype), torch.tensor(999), words, added_cond_kwargs=added if pooled else None)

        return work

    def decoding(side: int) -> Work:
        return lambda part, dtype: part.decode(latents(side, dtype))

    def unet(config: dict[str, Any]) -> Any:
        """A U-Net with one value for all weights, because drawing so many at random takes longer than a step."""
        with torch.device("meta"):
            built = UNet2DConditionModel(**config)
        built = built.to_empty(device="cpu")
        for weight in built.parameters():
            weight.data.fill_(1e-3)
        return built

    def sd() -> Any:
        return unet(SD_TURBO.unet)

    def sdxl() -> Any:
        return unet(SDXL.unet)

    return [
        ("SD 2 text encoder, one prompt", text, lambda part, dtype: part(torch.zeros(1, 77, dtype=torch.long))),
        ("SD-Turbo U-Net, one step at 512", sd, step(64, WIDTH)),
        ("SD 2.1 U-Net, one step at 768", sd, step(96, WIDTH)),
        ("SDXL-Turbo U-Net, one step at 512", sdxl, step(64, 2048, 1280)),
        ("SDXL U-Net, one step at 1024", sdxl, step(128, 2048, 1280)),
        ("autoencoder, decoding 512", autoencoder, decoding(64)),
        ("AutoencoderTiny, decoding 512", AutoencoderTiny, decoding(64)),
        ("autoencoder, decoding 1024", autoencoder, decoding(128)),
        ("AutoencoderTiny, decoding 1024", AutoencoderTiny, decoding(128)),
    ]  # fmt: skip
