"""`python -m reweight.toy train | export | classifier | scorer | sheet | grid | tables`: rebuild the embedded model from a seed."""

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
    go_on: Annotated[bool, typer.Option(help="Start from the weights in the folder instead of from nothing.")] = False,
) -> None:
    """Train everything, on CUDA where there is one; kill it and run it again to resume. Writes the folder at the end."""
    import torch

    from .build import Plan, export
    from .build import train as run

    device = "cuda" if torch.cuda.is_available() else "cpu"
    plan = Plan(pictures, minutes_text, minutes_autoencoder, minutes_unet, seed)
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
def classifier(
    art: Art,
    work: Work = Path("work"),
    folder: Folder = Path("assets/toy-judge"),
    pictures: int = 26400,
    minutes: float = 15,
    held_out: Annotated[int, typer.Option(help="Real pictures of held-out scenes that give the ceilings.")] = 4000,
    workers: int = 2,
    seed: int = 0,
) -> None:
    """Train the judge of the figures on real pictures; kill it and run it again to resume. Writes its folder."""
    from .classifier import HELD_OUT_SEED, export_classifier, train_classifier, unspoilt

    real, scenes, device = _real(work, art, pictures, workers, seed)
    train_classifier(work, real, scenes, minutes=minutes, device=device, seed=seed, on_progress=_report)
    sets = []
    for name, pairs in (("singles", 0.0), ("pairs", 1.0)):
        kept = unspoilt(HELD_OUT_SEED, held_out // 2, pairs=pairs)
        path = work / f"judge-{name}.npy"
        drawn = _rendered(path, held_out // 2, art, workers, HELD_OUT_SEED, pairs=pairs, held_out=True)
        sets.append(([*kept.values()], drawn[list(kept)]))
    export_classifier(work, folder, *sets)
    console.print(f"Wrote {folder}.")


@app.command()
def scorer(
    art: Art,
    work: Work = Path("work"),
    folder: Folder = Path("assets/toy-scorer"),
    pictures: int = 26400,
    minutes: float = 15,
    workers: int = 2,
    seed: int = 0,
) -> None:
    """Train the toy scorer on real pictures, whole and damaged; kill it and run it again to resume."""
    from .scorer import export_scorer, train_scorer

    real, scenes, device = _real(work, art, pictures, workers, seed)
    train_scorer(work, real, scenes, minutes=minutes, device=device, seed=seed, on_progress=_report)
    export_scorer(work, folder)
    console.print(f"Wrote {folder}.")


def _rendered(path: Path, count: int, art: Path, workers: int, seed: int, **kind):
    from .dataset import render

    def rendered(done: int, of: int) -> None:
        _report("pictures", done / of, f"{done} rendered")

    return render(path, count, art=art, seed=seed, workers=workers, on_progress=rendered, **kind)[:count]


def _real(work: Path, art: Path, count: int, workers: int, seed: int):
    """The pictures that the generator learns from too, their scenes, and the device to learn on."""
    import torch

    from .dataset import scene_at

    work.mkdir(parents=True, exist_ok=True)
    pictures = _rendered(work / "pictures.npy", count, art, workers, seed + 1)
    scenes = [scene_at(seed + 1, i) for i in range(len(pictures))]
    return pictures, scenes, "cuda" if torch.cuda.is_available() else "cpu"


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
