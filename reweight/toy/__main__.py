"""`python -m reweight.toy train | export | sheet | grid | tables`: rebuild the embedded model from a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
console = Console()

Work = Annotated[Path, typer.Option(help="Where checkpoints and intermediate files are kept.")]
Art = Annotated[Path, typer.Option(help="The archive that `npm pack @lobehub/fluent-emoji-3d@1.1.0` makes.")]
Folder = Annotated[Path, typer.Option(help="The model's folder.")]


def _report(stage: str, fraction: float, text: str) -> None:
    console.print(f"{stage:>12} {fraction:6.1%}  {text}", highlight=False)


@app.command()
def train(
    art: Art,
    work: Work = Path("work"),
    folder: Folder = Path("assets/toy"),
    pictures: int = 26400,
    minutes_text: float = 3,
    minutes_autoencoder: float = 24,
    minutes_unet: float = 76,
    seed: int = 0,
    compiled: bool = True,
    go_on: Annotated[bool, typer.Option(help="Start from the weights in the folder instead of from nothing.")] = False,
) -> None:
    """Train everything, on CUDA where there is one; kill it and run it again to resume. Writes the folder at the end."""
    import torch

    from .build import Plan, export
    from .build import train as run

    device = "cuda" if torch.cuda.is_available() else "cpu"
    plan = Plan(pictures, minutes_text, minutes_autoencoder, minutes_unet, seed, compiled=compiled)
    run(work, art, plan, device, _report, start=folder if go_on else None)
    export(work, folder)
    console.print(f"Wrote {folder}.")


@app.command(name="export")
def export_now(work: Work = Path("work"), folder: Folder = Path("assets/toy")) -> None:
    """Write the folder from the last checkpoint, also while training goes on."""
    from .build import export

    export(work, folder)
    console.print(f"Wrote {folder}.")


@app.command()
def sheet(art: Art, out: Path = Path("world.png"), seed: int = 1, rows: int = 6, columns: int = 10) -> None:
    """Draw a sheet of the world that the model learns."""
    import numpy as np
    from PIL import Image

    from .dataset import scene_at
    from .paint import SIDE, World, read_art

    world = World(read_art(art))
    picture = Image.new("RGB", (columns * SIDE, rows * SIDE))
    for i in range(rows * columns):
        tile = world.render(scene_at(seed, i), np.random.default_rng([seed, i, 1]))
        picture.paste(Image.fromarray(tile), (i % columns * SIDE, i // columns * SIDE))
    picture.save(out)


@app.command()
def grid(
    out: Path = Path("grid.png"), model: str = "toy", count: int = 64, seed: int = 0, steps: int = 12,
    guidance: float = 3.0, held_out: bool = True,
) -> None:  # fmt: skip
    """Draw uncurated samples: the first captions of a seed, one picture each, in order."""
    from ..models import load
    from .samples import sample_grid

    sample_grid(load(model), count, seed=seed, steps=steps, guidance=guidance, held_out=held_out).save(out)


@app.command()
def tables(folder: Folder = Path("assets/toy"), model: str = "toy") -> None:
    """Probe every example prompt at the model's default settings, and write the tables that ship with it."""
    from .samples import probe_examples

    for path in probe_examples(model, folder / "tables"):
        console.print(f"Wrote {path}.")


if __name__ == "__main__":
    app()
