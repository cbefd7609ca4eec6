"""`python -m reweight.toy train | export | distill | classifier | scorer | sheet | grid | tables | study | throughput`:
rebuild the embedded models, and measure their training."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from .study.command import study, throughput

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
console = Console()
app.command()(study)
app.command()(throughput)

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
    pictures: int = 32000,
    minutes_text: float = 3,
    minutes_autoencoder: float = 46,
    minutes_unet: float = 180,
    minutes_sharpen: float = 130,
    workers: int = 2,
    seed: int = 0,
    go_on: Annotated[bool, typer.Option(help="Start from the weights in the folder instead of random ones.")] = False,
) -> None:
    """Train the base model, on CUDA if available, and write its folder. It can be killed, and resumes when run again."""
    import torch

    from .train.build import Plan, export
    from .train.build import train as run

    device = "cuda" if torch.cuda.is_available() else "cpu"
    plan = Plan(pictures, minutes_text, minutes_autoencoder, minutes_unet, minutes_sharpen, seed, workers)
    run(work, art, plan, device, _report, start=folder if go_on else None)
    export(work, folder)
    console.print(f"Wrote {folder}.")


@app.command(name="export")
def export_now(work: Work = Path("work"), folder: Folder = Path("assets/toy")) -> None:
    """Write the folder from the last checkpoint; training may be running."""
    from .train.build import export

    export(work, folder)
    console.print(f"Wrote {folder}.")


@app.command()
def distill(
    work: Work = Path("work"),
    folder: Folder = Path("assets/toy-turbo"),
    base: Annotated[Path, typer.Option(help="The folder of the teacher, trained in the work folder.")] = Path(
        "assets/toy"
    ),
    method: Annotated[
        Literal["consistency", "trajectory", "matching"], typer.Option(help="The distillation method.")
    ] = "consistency",
    minutes: float = 60,
    pairs: Annotated[int, typer.Option(help="Number of (noise, endpoint) pairs for the method “trajectory”.")] = 4096,
    workers: int = 2,
    seed: Annotated[int, typer.Option(help="The seed of the base model's training.")] = 0,
    go_on: Annotated[
        bool, typer.Option(help="Start from the student in the folder instead of from the teacher.")
    ] = False,
    keep: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of the initial weights in the written ones (weight interpolation)."),
    ] = 0.0,
) -> None:
    """Train the turbo model on the latents that `train` left in the work folder, and write its folder.

    It can be killed, and resumes when run again. With fewer minutes than already spent, it only writes the folder from
    the last checkpoint.
    """
    import torch

    from .distill.student import distill as run

    device = "cuda" if torch.cuda.is_available() else "cpu"
    run(
        work, base, folder, method=method, minutes=minutes, pairs=pairs, seed=seed, device=device, on_progress=_report,
        workers=workers, go_on=go_on, keep=keep,
    )  # fmt: skip
    console.print(f"Wrote {folder}.")


@app.command()
def classifier(
    art: Art,
    work: Work = Path("work"),
    folder: Folder = Path("assets/toy-judge"),
    pictures: int = 32000,
    minutes: float = 15,
    held_out: Annotated[int, typer.Option(help="Number of real pictures of held-out scenes, for the ceilings.")] = 4000,
    workers: int = 2,
    seed: int = 0,
) -> None:
    """Train the judge (a classifier) on real pictures, and write its folder. It resumes when run again."""
    from .judges.classifier import HELD_OUT_SEED, export_classifier, train_classifier, unspoilt

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
    pictures: int = 32000,
    minutes: float = 15,
    workers: int = 2,
    seed: int = 0,
) -> None:
    """Train the toy scorer on real pictures, intact and damaged. It resumes when run again."""
    from .judges.scorer_training import export_scorer, train_scorer

    real, scenes, device = _real(work, art, pictures, workers, seed)
    train_scorer(work, real, scenes, minutes=minutes, device=device, seed=seed, on_progress=_report)
    export_scorer(work, folder)
    console.print(f"Wrote {folder}.")


def _rendered(path: Path, count: int, art: Path, workers: int, seed: int, **kind):
    from .world.dataset import render

    def rendered(done: int, of: int) -> None:
        _report("pictures", done / of, f"{done} rendered")

    return render(path, count, art=art, seed=seed, workers=workers, on_progress=rendered, **kind)[:count]


def _real(work: Path, art: Path, count: int, workers: int, seed: int):
    """The generator's training pictures, their scenes, and the training device."""
    import torch

    from .world.dataset import scene_at

    work.mkdir(parents=True, exist_ok=True)
    pictures = _rendered(work / "pictures.npy", count, art, workers, seed + 1)
    scenes = [scene_at(seed + 1, i) for i in range(len(pictures))]
    return pictures, scenes, "cuda" if torch.cuda.is_available() else "cpu"


@app.command()
def sheet(art: Art, out: Path = Path("docs/world.jpg"), seed: int = 1) -> None:
    """Draw a sheet of training pictures."""
    from .world.sheet import world_sheet

    world_sheet(art, seed).save(out, quality=86, optimize=True)
    console.print(f"Wrote {out}.")


@app.command()
def grid(
    out: Path = Path("grid.png"), model: str = "toy", count: int = 64, seed: int = 0,
    steps: Annotated[int | None, typer.Option(help="By default the model's, as for the guidance.")] = None,
    guidance: float | None = None, held_out: bool = True,
) -> None:  # fmt: skip
    """Draw uncurated samples: the first captions of a seed, one picture each, in order."""
    from ..models.loading import load_model
    from .world.samples import sample_grid

    loaded = load_model(model, local=True)
    steps = loaded.card.steps if steps is None else steps
    guidance = loaded.card.guidance if guidance is None else guidance
    sample_grid(loaded.pipe, count, seed=seed, steps=steps, guidance=guidance, held_out=held_out).save(out)


@app.command()
def tables(
    model: str = "toy",
    folder: Annotated[Path | None, typer.Option(help="The model's folder; by default the one in assets/.")] = None,
) -> None:
    """Probe every example prompt at the model's default settings, and write the tables that ship with it."""
    from .world.samples import probe_examples

    for path in probe_examples(model, (folder or Path("assets") / model) / "tables"):
        console.print(f"Wrote {path}.")


@app.command()
def examples(
    model: str = "toy-turbo", folder: Annotated[Path | None, typer.Option(help="By default the one in assets/.")] = None
) -> None:
    """Draw the thumbnails of the example prompts."""
    from .world.samples import draw_examples

    for path in draw_examples(model, folder or Path("assets") / "examples" / model):
        console.print(f"Wrote {path}.")


def main() -> None:
    """Run a command. Expected errors are printed as one sentence."""
    for library in ("DIFFUSERS", "TRANSFORMERS"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")
    try:
        app()
    except ValueError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
