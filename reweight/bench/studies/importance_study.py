"""`python -m reweight bench importance`: whether re-weighting by importance helps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ..tables.table_commands import whole_numbers

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")


def command(
    out: Annotated[
        Path, typer.Option(help="A folder for the rows and importance.json, from which a later run resumes.")
    ],
    model: Annotated[str, typer.Option(help="A name, a folder, or owner/name on the hub.")] = "toy",
    limit: Annotated[int, typer.Option(help="Held-out captions of the embedded model's world.")] = 64,
    seeds: Annotated[str, typer.Option(help="Seeds of the noise, separated by commas.")] = "42,21",
    steps: Annotated[int | None, typer.Option(help="Denoising steps; by default the model's.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Classifier-free guidance; by default the model's.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures drawn together.")] = 8,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the fastest available.")] = None,
) -> None:
    """Score every ranking and its controls against vanilla, paired by prompt and noise."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from ...models.loading import load_model
    from ...scoring.toy_scorer import load_toy_scorer
    from ...toy.judges.classifier import load_judge
    from ..embedded.held_out import captions
    from ..stats.random_order import DRAWS
    from ..stats.result_file import file_for, write_json
    from ..stats.run_info import run_info
    from .effects import draw_all, effects, summary

    noises, prompts = whole_numbers(seeds, "seeds"), captions(limit)
    file_for(out / "importance.json")
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("loading", total=1.0)
        loaded = load_model(model, device=device, local=True)
        scorer = _if_there(lambda: load_toy_scorer(device=loaded.device), console, "No scores")
        judge = _if_there(load_judge, console, "No prompt adherence") if loaded.card.embedded else None
        settings = {
            "steps": steps or loaded.card.steps, "guidance": loaded.card.guidance if guidance is None else guidance,
        }  # fmt: skip
        rows = draw_all(
            loaded, prompts, out, seeds=noises, scorer=scorer, judge=judge, batch=batch, **settings,
            on_progress=lambda text, done: bar.update(task, completed=done, description=text[:60]),
        )  # fmt: skip
    found = effects(rows)
    columns = ("", "score", "x - vanilla", "x - flat", "adherence", "x - vanilla", "SSIM with vanilla")
    table = Table(*columns, title=f"{model}, {found[0].prompts} prompts; x - …: paired differences with 95% intervals")
    for effect in found:
        flat = "" if effect.minus_flat is None else _interval(effect.minus_flat)
        table.add_row(
            effect.variant.replace("[", r"\["), f"{effect.score:.4f}", _interval(effect.minus_vanilla), flat,
            f"{effect.adherence:.1%}", _interval(effect.adherence_minus_vanilla), f"{effect.ssim:.3f}",
        )  # fmt: skip
    Console(width=max(140, console.width)).print(table)
    origin = run_info(
        "importance", loaded, **settings, seeds=list(noises), draws=DRAWS,
        scorer=f"{scorer.name} {scorer.version}" if scorer else "none", judge=judge.digest[:12] if judge else "none",
    )  # fmt: skip
    write_json(out / "importance.json", origin | summary(rows))


def _if_there(load: Callable[[], T], console: Console, without: str) -> T | None:
    from ...models.folder import ModelError

    try:
        return load()
    except ModelError as error:
        console.print(f"{without}: {error}", highlight=False)
        return None


def _interval(value: tuple[float, float, float]) -> str:
    return r"{:+.4f} \[{:+.4f}, {:+.4f}]".format(*value)
