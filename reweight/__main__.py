"""`python -m reweight generate | probe`: the demo's work without a browser."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
console = Console(stderr=True)


class ScheduleName(StrEnum):
    """What the weights follow."""

    importance = "importance"
    empirical = "empirical"
    inverted = "inverted"
    reversed = "reversed"
    flat = "flat"
    random = "random"


Prompt = Annotated[str, typer.Argument(help="What the picture should show.")]
Model = Annotated[str, typer.Option(help="A name, a folder, or owner/name on the hub.")]
Steps = Annotated[int | None, typer.Option(help="Denoising steps; by default the model's.")]
Guidance = Annotated[float | None, typer.Option(help="Classifier-free guidance; by default the model's.")]
Negative = Annotated[str | None, typer.Option("--negative-prompt", help="What the picture should not show.")]
Device = Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the best there is.")]


def _bar() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
                    TimeRemainingColumn(), console=console)  # fmt: skip


def _engine(model: str, device: str | None):
    from .engine import Engine

    with console.status(f"Loading {model}"):
        engine = Engine((model,), local=True, device=device)
        engine.opened(model)
    return engine


@app.command()
def generate(
    prompt: Prompt,
    out: Annotated[Path, typer.Option(help="Folder for the PNG files.")] = Path("."),
    model: Model = "toy",
    low: Annotated[float | None, typer.Option(help="Weight of the least important block.")] = None,
    high: Annotated[float | None, typer.Option(help="Weight of the most important block.")] = None,
    schedule: Annotated[ScheduleName, typer.Option(help="What the weights follow.")] = ScheduleName.importance,
    table: Annotated[Path | None, typer.Option(help="An importance table (JSON) from `probe`.")] = None,
    seed: Annotated[int, typer.Option(help="Of the initial noise.")] = 7,
    steps: Steps = None,
    guidance: Guidance = None,
    negative_prompt: Negative = None,
    device: Device = None,
) -> None:
    """Draw vanilla, re-weighted and FreeU from the same noise, as PNG files that carry their settings."""
    from .engine import Notice, Picture, Step
    from .provenance import save_png, settings_of
    from .request import validate
    from .schedule import ImportanceTable

    pinned = ImportanceTable.load(table) if table else None
    engine = _engine(model, device)
    request = validate(
        engine.card(model), prompt=prompt, low=low, high=high, schedule=schedule.value, seed=seed,
        steps=pinned.steps if pinned is not None and steps is None else steps, guidance=guidance,
        negative_prompt=negative_prompt, model=model,
    )  # fmt: skip
    chosen = engine.chosen(request, pinned=pinned)
    if pinned is not None and chosen.table is not pinned and request.schedule != "empirical":
        raise ValueError(
            f"The table has {pinned.scores.shape[0]} steps and {pinned.scores.shape[1]} blocks, which does not fit "
            f"{request.steps} steps of {model}: probe again, or give --steps."
        )
    console.print(f"Importance: {chosen.source}.", highlight=False)
    out.mkdir(parents=True, exist_ok=True)
    with _bar() as bar:
        tasks = {name: bar.add_task(name, total=request.steps) for name in ("vanilla", "reweighted", "freeu")}
        for event in engine.compare(request, chosen.scores):
            if isinstance(event, Step):
                bar.update(tasks[event.method], completed=event.step)
            elif isinstance(event, Notice):
                console.print(event.text)
            elif isinstance(event, Picture):
                sha = chosen.table.sha256 if chosen.table is not None else None
                settings = settings_of(request, engine.opened(model), event.method, event.weights, sha)
                save_png(out / f"{event.method}.png", event.image, settings)
    console.print(f"Wrote vanilla.png, reweighted.png and freeu.png to {out}.", highlight=False)


@app.command()
def probe(
    prompt: Prompt,
    out: Annotated[Path, typer.Option(help="The JSON file to write.")] = Path("importance.json"),
    figure: Annotated[Path | None, typer.Option(help="A PNG of the heatmap to write.")] = None,
    model: Model = "toy",
    preset: Annotated[str, typer.Option(help="paper-code or paper-text.")] = "paper-code",
    runs: Annotated[int | None, typer.Option(help="Runs that vote; by default the preset's.")] = None,
    seed: Annotated[int, typer.Option(help="Of the noise and the search.")] = 42,
    steps: Steps = None,
    guidance: Guidance = None,
    negative_prompt: Negative = None,
    device: Device = None,
) -> None:
    """Probe which block matters at which step for a prompt. Ctrl-C keeps what is done."""
    from .importance import ProbeSnapshot
    from .plots import importance_figure
    from .request import validate

    engine = _engine(model, device)
    request = validate(
        engine.card(model), prompt=prompt, seed=seed, steps=steps, guidance=guidance, negative_prompt=negative_prompt,
        model=model,
    )  # fmt: skip
    table = None
    events = engine.probe(request, preset=preset, runs=runs)
    with _bar() as bar:
        task = bar.add_task("probing", total=1.0)
        try:
            for event in events:
                if isinstance(event, ProbeSnapshot):
                    table = event.table
                    bar.update(task, completed=event.done, description=f"run {event.run + 1}")
        except KeyboardInterrupt:
            events.close()
    if table is None:
        raise ValueError("Stopped before the first iteration had ended: there is nothing to keep.")
    table.save(out)
    if figure is not None:
        importance_figure(table.scores, table.blocks, title=prompt).savefig(figure, dpi=160)
    console.print(f"Wrote {out}: {table.runs} runs, acceptance rate {table.diagnostics['acceptance_rate']:.0%}.")


def main() -> None:
    """Run, and say what goes wrong in one sentence."""
    import sys

    try:
        app(standalone_mode=False)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except (ValueError, OSError, FloatingPointError) as error:
        console.print(str(error), style="red", highlight=False, soft_wrap=True)
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)


if __name__ == "__main__":
    main()
