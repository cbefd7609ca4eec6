"""`python -m reweight demo | generate | probe | tune | doctor | space | bench`: the demo, and its work without a browser."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .bench import app as bench
from .serving.commands import add_commands
from .tuning.command import command as tune

if TYPE_CHECKING:
    from .engine.engine import Engine
    from .engine.request import Request

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(bench, name="bench")
app.command("tune")(tune)
add_commands(app)
console = Console(stderr=True)


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


def _check_figure(file: Path) -> None:
    """ValueError for a suffix that matplotlib cannot write, before a probe is made for it."""
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    if file.suffix.lower().removeprefix(".") not in known:
        raise ValueError(f"A figure cannot be written as {file.name}: end its name in .png, .svg or .pdf.")


def _say(text: str, **options: Any) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True, **options)


@app.command()
def generate(
    prompt: Annotated[str | None, typer.Argument(help="What the picture should show.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the PNG files.")] = Path("."),
    model: Annotated[str | None, typer.Option(help="A name, a folder, or owner/name on the hub.")] = None,
    low: Annotated[float | None, typer.Option(help="Weight of the least important block.")] = None,
    high: Annotated[float | None, typer.Option(help="Weight of the most important block.")] = None,
    schedule: Annotated[str | None, typer.Option(help="What the weights follow, such as importance or flat.")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="A method or several joined by +, such as reweighted+freeu; again for each."),
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="A method's setting, such as freeu.b1=1.3; again for each.")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="A table (JSON) from `probe` or `tune`.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the initial noise; by default 7.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="A text file with a prompt a line: draw them all.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Several seeds, such as 1-4 or 7,42.")] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            help="A setting and its values, such as low=0.9-1.1x5, block.3=off,1 or steps=1-4; again for each."
        ),
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="A PNG made here, whose settings hold where nothing else is given.")
    ] = None,
    lora: Annotated[Path | None, typer.Option(help="A LoRA as a .safetensors file, for the model.")] = None,
    lora_scale: Annotated[float, typer.Option(help="How strongly the LoRA works.")] = 1.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace pictures that are there already.")] = False,
    steps: Steps = None,
    guidance: Guidance = None,
    negative_prompt: Negative = None,
    size: Size = None,
    device: Device = None,
) -> None:
    """Draw by each method from the same noise, as PNG files that carry their settings."""
    from .engine.engine import Notice, Picture, Step
    from .engine.provenance import save_png, settings_of
    from .engine.request import COLUMNS
    from .schedule import CONTROLS
    from .weight_table import WeightTable, load_table

    many = bool(prompts or seeds or vary)
    asked, picture = _asked(source, model, {
        "prompt": prompt, "low": low, "high": high, "schedule": schedule, "seed": seed, "steps": steps, "guidance": guidance,
        "negative_prompt": negative_prompt, "size": size, "columns": tuple(method) if method else None,
    } | _settings(setting or []))  # fmt: skip
    model = asked.pop("model")
    columns = tuple(asked.setdefault("columns", COLUMNS))
    texts = _prompts(prompts, asked)
    pinned = load_table(table) if table else None
    schedule = asked.get("schedule", "importance")
    if isinstance(pinned, WeightTable):
        if schedule not in ("importance", "tuned"):
            raise ValueError(f"A table of weights is applied as it is: leave out --schedule {schedule}.")
        if pinned.per != "stage":
            raise ValueError("The table has a weight for each Transformer, and only one for each block is drawn with.")
    elif pinned is not None and not CONTROLS.named(schedule).probed:
        raise ValueError(f"The {schedule} schedule uses no table: leave out --table or --schedule {schedule}.")
    if pinned is not None and "steps" not in asked:
        asked["steps"] = pinned.steps
    files = {column: out / f"{column}.png" for column in columns}
    for file in files.values():
        _folder_for(file)
        if file.exists() and not overwrite and not many:
            raise ValueError(f"{file} is there already: give another --out, or --overwrite.")
    engine, request = _start(
        model, device, **asked,
    )  # fmt: skip
    if lora is not None:
        engine.add_lora(model, lora, lora_scale)
    if picture is not None:
        request = _restored(engine, request, picture, pinned)
    if many:
        return _many(engine, request, out, pinned, texts, seeds, vary or [], overwrite)
    chosen = engine.chosen(request, pinned=pinned)
    if pinned is not None and chosen.table is not pinned and chosen.weight_table is not pinned:
        raise ValueError(
            f"The table is of {pinned.model} with {pinned.steps} steps and {len(pinned.blocks)} blocks, which does not fit "
            f"{request.steps} steps of {engine.card(model).title} with its {len(engine.blocks(model))}: probe or tune again."
        )
    _say(f"{'Importance' if chosen.weights is None else 'Schedule'}: {chosen.source}.")
    with _bar() as bar:
        tasks = {column: bar.add_task(column, total=request.steps) for column in columns}
        drawn = {}
        for event in engine.compare(request, chosen):
            if isinstance(event, Step):
                bar.update(tasks[event.column], completed=event.step)
            elif isinstance(event, Notice):
                _say(event.text)
            elif isinstance(event, Picture):
                drawn[event.column] = event
                loaded = engine.opened(model)
                settings = settings_of(request, loaded, event.column, event.weights, event.table_sha256)
                save_png(files[event.column], event.image, settings)
    for line in _done(drawn):
        _say(line)
    names = [file.name for file in files.values()]
    _say(f"Wrote {' and '.join(filter(None, (', '.join(names[:-1]), names[-1])))} to {out}.")


def _done(drawn: dict[str, Any]) -> Iterator[str]:
    """What each column's methods report, and how far its picture is from vanilla's where that is drawn too."""
    from .scoring.similarity import distance

    vanilla = drawn.get("vanilla")
    for column, picture in drawn.items():
        said = list(filter(None, (report.sentence() for report in picture.reports.values())))
        if vanilla is not None and picture is not vanilla:
            far = distance(picture.image, vanilla.image)
            said.append(f"SSIM with vanilla {far.ssim:.3f}, mean difference {far.mean_difference:.1f}/255")
        if said:
            yield f"{column}: {'; '.join(said)}."


def _prompts(file: Path | None, asked: dict[str, Any]) -> list[str]:
    """The prompts of a file; the first is checked with the other settings, before the model is loaded."""
    if file is None:
        if "prompt" not in asked:
            raise ValueError("There is no prompt: give one, or --prompts with a file, or --from with a picture.")
        return []
    if "prompt" in asked:
        raise ValueError("There is a prompt and a file of prompts: give one of them.")
    from .batch import read_prompts

    texts = read_prompts(file)
    asked["prompt"] = texts[0]
    return texts


def _asked(
    source: Path | None, model: str | None, given: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What is asked for, over the settings of a picture where there is one; and that picture's settings."""
    from .engine.provenance import read_png

    given = {name: value for name, value in given.items() if value is not None}
    if source is None:
        return {"seed": 7, "schedule": "importance"} | given | {"model": model or "toy-turbo"}, None
    picture = read_png(source)
    base = dict(picture["request"])
    if model is not None and base["model"] not in (model, Path(model).resolve().name):
        base = {"prompt": base["prompt"], "seed": base["seed"]}
    if "steps" in given and given["steps"] != base.get("steps"):
        base = {name: value for name, value in base.items() if name not in ("first_step", "last_step", "painted")}
    return base | {"columns": [picture["method"]]} | given | {"model": model or base["model"]}, picture


def _restored(engine: Engine, request: Request, picture: dict[str, Any], pinned: Any) -> Request:
    """The request with the picture's own weights, where only its importance table is missing here."""
    from .engine.drawing import drawing_of
    from .engine.request import validate
    from .engine.restoring import with_weights

    names = ("model", "low", "high", "schedule", "steps", "first_step", "last_step", "blocks", "prompt", "painted")
    now, then = request.settings(), picture["request"]
    if pinned is not None or any(now.get(name) != then.get(name) for name in names):
        return request
    weights = drawing_of(request, engine.chosen(request), engine.opened(request.model)).weights
    asked, painted = with_weights({**picture, "request": now}, request, weights)
    if painted:
        _say("The picture's importance table is not here: its weights are used as they were.")
    return validate(engine.card(request.model), **asked) if painted else request


def _many(
    engine: Engine, request: Request, out: Path, pinned: Any, texts: list[str], seeds: str | None, vary: list[str], overwrite: bool
) -> None:  # fmt: skip
    """Draw prompts × seeds × methods × settings, with a CSV; what is there already is not drawn again."""
    from .batch import Batch, plan

    batch = Batch(engine, plan(engine, request, out, texts, seeds, vary), out, pinned)
    missing = batch.missing(overwrite=overwrite)
    there = len(batch.items) - len(missing)
    if there:
        _say(f"{there} of {len(batch.items)} pictures are there already.")
    with _bar() as bar:
        task = bar.add_task(f"{len(missing)} pictures", total=sum(item.request.steps for item in missing))
        for done in batch.run(missing):
            bar.update(task, completed=done.step)
    _say(f"Wrote {len(missing)} pictures and {batch.table.name} to {out}.")


def _settings(given: list[str]) -> dict[str, Any]:
    """Settings by method from texts such as "freeu.b1=1.3"."""
    found: dict[str, dict[str, Any]] = {}
    for text in given:
        match = re.fullmatch(r"([a-z0-9-]+)\.(\w+)=(.*)", text)
        if match is None:
            raise ValueError(f"--set takes method.setting=value, such as freeu.b1=1.3, not {text!r}.")
        key, name, value = match.groups()
        try:
            found.setdefault(key, {})[name] = json.loads(value)
        except ValueError:
            found[key][name] = value
    return found


@app.command()
def probe(
    prompt: Prompt,
    out: Annotated[Path, typer.Option(help="The JSON file to write.")] = Path("importance.json"),
    figure: Annotated[Path | None, typer.Option(help="A PNG of the heatmap to write.")] = None,
    model: Model = "toy-turbo",
    preset: Annotated[str, typer.Option(help="paper-code, paper-text or calibrated.")] = "paper-code",
    runs: Annotated[int | None, typer.Option(help="Runs that vote; by default the preset's.")] = None,
    candidates: Annotated[int | None, typer.Option(help="Tries per iteration; by default the preset's.")] = None,
    precision: Annotated[
        float | None, typer.Option(help="Stop once every score's 95% interval is narrower than this.")
    ] = None,
    surrogate: Annotated[
        bool,
        typer.Option(
            "--surrogate",
            help="Evaluate only what comes near its tolerance; predict the rest by a linear approximation.",
        ),
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
    from .bench.stats.choices import check_presets
    from .probing.importance_probe import ProbeSnapshot

    check_presets([preset])
    for file in (out, figure, resume):
        if file is not None:
            _folder_for(file)
    if figure is not None:
        _check_figure(figure)
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
