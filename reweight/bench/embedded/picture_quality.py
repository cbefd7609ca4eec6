"""`python -m reweight bench toy`: measures the embedded model, and writes its metrics.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[str, typer.Option(help="The embedded model: toy or toy-turbo.")] = "toy",
    singles: Annotated[int, typer.Option(help="Held-out scenes with one subject.")] = 512,
    pairs: Annotated[int, typer.Option(help="Held-out scenes with two subjects.")] = 256,
    steps: Annotated[list[int] | None, typer.Option(help="Numbers of steps; by default those that have goals.")] = None,
    art: Annotated[Path | None, typer.Option(help="The training art, to measure the autoencoder.")] = None,
    timed: Annotated[bool, typer.Option(help="Measure seconds too; the machine should be idle.")] = True,
    out: Annotated[Path | None, typer.Option(help="The file to write; by default the model's metrics.json.")] = None,
) -> None:
    """Measure the embedded model's prompt adherence and picture quality, compared with real pictures."""
    from rich.console import Console
    from rich.progress import Progress

    from ...models.registry import ASSETS
    from ...toy.judges.classifier import load_judge
    from ..stats.result_file import file_for, write_json
    from .prompt_adherence import measure

    file_for(out)
    judge = load_judge()
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("measuring", total=1.0)
        metrics = measure(
            model, judge, singles=singles, pairs=pairs, steps=tuple(steps or ()), art=art, timed=timed,
            on_progress=lambda text, done: bar.update(task, completed=done, description=text),
        )  # fmt: skip
    path = out or ASSETS / model / "metrics.json"
    write_json(path, metrics)
    for sentence in metrics["said"]:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    console.print(f"Wrote {path}.", markup=False, highlight=False, soft_wrap=True)
