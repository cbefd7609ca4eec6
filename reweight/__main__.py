"""`python -m reweight generate | probe | bench`: the demo's work without a browser."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .bench import app as bench

if TYPE_CHECKING:
    from .engine.engine import Engine
    from .engine.request import Request

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(bench, name="bench")
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
Size = Annotated[int | None, typer.Option(help="The picture's side in pixels; by default the model's.")]
Device = Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the best there is.")]


def _bar() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
                    TimeRemainingColumn(), console=console, transient=True)  # fmt: skip


def _start(model: str, device: str | None, **raw: Any) -> tuple[Engine, Request]:
    """The engine with the model in it, and the request: checked before the model is loaded, which may take minutes."""
    from .engine.engine import Engine
    from .engine.request import validate
    from .models.registry import card_for

    validate(card_for(model, local=True), model=model, **raw)
    with console.status(f"Loading {escape(model)}"):
        engine = Engine((model,), local=True, device=device)
        engine.opened(model)
    return engine, validate(engine.card(model), model=model, **raw)


def _folder_for(file: Path) -> None:
    """Make the folder of a file that is yet to be written, and find out now if that cannot be."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.is_dir() or not os.access(file.parent, os.W_OK):
        raise ValueError(f"{file} cannot be written: give the name of a file in a folder of your own.")


def _say(text: str, **options: Any) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True, **options)


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
    size: Size = None,
    device: Device = None,
) -> None:
    """Draw vanilla, re-weighted and FreeU from the same noise, as PNG files that carry their settings."""
    from .engine.engine import METHODS, Notice, Picture, Step
    from .engine.provenance import save_png, settings_of
    from .schedule import ImportanceTable

    pinned = ImportanceTable.load(table) if table else None
    if pinned is not None and schedule is ScheduleName.empirical:
        raise ValueError("The empirical schedule uses no table: leave out --table or --schedule empirical.")
    if pinned is not None and steps is None:
        steps = pinned.steps
    for method in METHODS:
        _folder_for(out / f"{method}.png")
    engine, request = _start(
        model, device, prompt=prompt, low=low, high=high, schedule=schedule.value, seed=seed, steps=steps,
        guidance=guidance, negative_prompt=negative_prompt, size=size,
    )  # fmt: skip
    chosen = engine.chosen(request, pinned=pinned)
    if pinned is not None and chosen.table is not pinned:
        raise ValueError(
            f"The table has {pinned.steps} steps and {len(pinned.blocks)} blocks, which does not fit {request.steps} "
            f"steps of {engine.card(model).title} with its {len(engine.blocks(model))}: probe again, or give --steps."
        )
    _say(f"Importance: {chosen.source}.")
    with _bar() as bar:
        tasks = {method: bar.add_task(method, total=request.steps) for method in METHODS}
        for event in engine.compare(request, chosen.scores):
            if isinstance(event, Step):
                bar.update(tasks[event.method], completed=event.step)
            elif isinstance(event, Notice):
                _say(event.text)
            elif isinstance(event, Picture):
                sha = chosen.table.sha256 if chosen.table is not None and event.method == "reweighted" else None
                settings = settings_of(request, engine.opened(model), event.method, event.weights, sha)
                save_png(out / f"{event.method}.png", event.image, settings)
    _say(f"Wrote vanilla.png, reweighted.png and freeu.png to {out}.")


@app.command()
def probe(
    prompt: Prompt,
    out: Annotated[Path, typer.Option(help="The JSON file to write.")] = Path("importance.json"),
    figure: Annotated[Path | None, typer.Option(help="A PNG of the heatmap to write.")] = None,
    model: Model = "toy",
    preset: Annotated[str, typer.Option(help="paper-code, paper-text or calibrated.")] = "paper-code",
    runs: Annotated[int | None, typer.Option(help="Runs that vote; by default the preset's.")] = None,
    candidates: Annotated[int | None, typer.Option(help="Tries per iteration; by default the preset's.")] = None,
    precision: Annotated[
        float | None, typer.Option(help="Stop once every score's 95% interval is narrower than this.")
    ] = None,
    surrogate: Annotated[
        bool, typer.Option("--surrogate", help="Evaluate only what comes near its tolerance; foresee the rest.")
    ] = False,
    resume: Annotated[
        Path | None, typer.Option(help="A file that keeps the probe's state; a killed probe goes on from it.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the noise and the search.")] = 42,
    steps: Steps = None,
    guidance: Guidance = None,
    negative_prompt: Negative = None,
    size: Size = None,
    device: Device = None,
) -> None:
    """Probe which block matters at which step for a prompt. Ctrl-C keeps what is done."""
    from .probing.importance_probe import ProbeSnapshot

    for file in (out, figure, resume):
        if file is not None:
            _folder_for(file)
    engine, request = _start(
        model, device, prompt=prompt, seed=seed, steps=steps, guidance=guidance, negative_prompt=negative_prompt,
        size=size,
    )  # fmt: skip
    table = None
    events = engine.probe(
        request, preset=preset, runs=runs, candidates=candidates, precision=precision, surrogate=surrogate or None,
        resume=resume,
    )  # fmt: skip
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
        from .probing.plots import importance_figure

        importance_figure(table.scores, table.blocks, title=prompt).savefig(figure, dpi=160)
    _say(
        f"Wrote {out}: {table.runs} run{'s' * (table.runs > 1)}, acceptance rate {table.diagnostics['acceptance_rate']:.0%}."
    )


def main() -> None:
    """Run, and say what goes wrong in one sentence."""
    for library in ("DIFFUSERS", "TRANSFORMERS"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")  # what matters to a person is said here
    try:
        app()
    except OSError as error:
        _say(f"{error.filename}: {error.strerror}." if error.filename and error.strerror else str(error), style="red")
    except (ValueError, FloatingPointError) as error:
        _say(str(error), style="red")
    else:
        return
    sys.exit(1)


if __name__ == "__main__":
    main()
