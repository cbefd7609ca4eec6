"""`python -m reweight bench importance`: whether re-weighting by importance helps."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import typer

from ..tables.table_commands import whole_numbers


def command(
    out: Annotated[Path, typer.Option(help="A folder for the rows and the table; a run that was stopped goes on.")],
    model: Annotated[str, typer.Option(help="A name, a folder, or owner/name on the hub.")] = "toy",
    limit: Annotated[int, typer.Option(help="Held-out captions of the embedded model's world.")] = 64,
    seeds: Annotated[str, typer.Option(help="Of the noise, with commas.")] = "42,21",
    steps: Annotated[int | None, typer.Option(help="Denoising steps; by default the model's.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Classifier-free guidance; by default the model's.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures drawn together.")] = 8,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the best there is.")] = None,
) -> None:
    """Score every ranking and its controls beside vanilla, in pairs from the same noise."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from ...models.folder import ModelError
    from ...models.loading import load_model
    from ...scoring.toy_scorer import load_toy_scorer
    from ...toy.judges.classifier import load_judge
    from ..embedded.held_out import captions
    from .effects import draw_all, effects

    noises = whole_numbers(seeds, "seeds")
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("loading", total=1.0)
        loaded = load_model(model, device=device, local=True)
        try:
            scorer = load_toy_scorer(device=loaded.device)
        except ModelError as error:
            console.print(f"No scores: {error}", highlight=False)
            scorer = None
        try:
            judge = load_judge() if loaded.card.embedded else None
        except ModelError as error:
            console.print(f"No look at what was obeyed: {error}", highlight=False)
            judge = None
        rows = draw_all(
            loaded, captions(limit), out, seeds=noises,
            steps=steps or loaded.card.steps, guidance=loaded.card.guidance if guidance is None else guidance,
            scorer=scorer, judge=judge, batch=batch,
            on_progress=lambda text, done: bar.update(task, completed=done, description=text[:60]),
        )  # fmt: skip
    found = effects(rows)
    table = Table(
        "",
        "score",
        "over vanilla",
        "over flat",
        "obeyed",
        "over vanilla",
        "SSIM with vanilla",
        title=f"{model}, {found[0].prompts} prompts",
    )
    for effect in found:
        flat = "" if effect.over_flat is None else _interval(effect.over_flat)
        table.add_row(
            effect.variant, f"{effect.score:.4f}", _interval(effect.over_vanilla), flat, f"{effect.obeyed:.1%}",
            _interval(effect.obeyed_over_vanilla), f"{effect.ssim:.3f}",
        )  # fmt: skip
    Console(width=max(140, console.width)).print(table)
    with (out / "importance.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        ends = ("", " low", " high")
        differences = [f"{over}{end}" for over in ("over vanilla", "over flat", "obeyed over vanilla") for end in ends]
        writer.writerow(["variant", "prompts", "score", "obeyed", *differences, "ssim"])
        for e in found:
            flat = e.over_flat or [""] * 3
            writer.writerow(
                [e.variant, e.prompts, e.score, e.obeyed, *e.over_vanilla, *flat, *e.obeyed_over_vanilla, e.ssim]
            )


def _interval(value: tuple[float, float, float]) -> str:
    return "{:+.4f} [{:+.4f}, {:+.4f}]".format(*value)
