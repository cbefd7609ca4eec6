"""`python -m reweight generate`: pictures of a prompt by each method, one or many."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .shared import MODEL_HELP, Device, Guidance, Negative, Size, Steps, progress_bar, say, start, writable

if TYPE_CHECKING:
    from ..engine.engine import Engine
    from ..engine.request import Request


def command(
    prompt: Annotated[str | None, typer.Argument(help="What the picture should show.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the PNG files.")] = Path("."),
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    low: Annotated[float | None, typer.Option(help="Weight of the least important block.")] = None,
    high: Annotated[float | None, typer.Option(help="Weight of the most important block.")] = None,
    schedule: Annotated[
        str | None, typer.Option(help="How weights are chosen, such as importance, calibrated, tuned or flat.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="A method, or several joined by +, such as reweighted+freeu; repeat for more."),
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="A method's setting, such as freeu.b1=1.3; repeat for more.")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="A table (JSON) from `probe` or `tune`.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the initial noise; by default 7.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="A text file with one prompt per line; all are drawn.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Several seeds, such as 1-4 or 7,42.")] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            help="A setting and its values, such as low=0.9-1.1x5, block.3=off,1 or steps=1-4; repeat for more."
        ),
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="A PNG drawn by reweight; its settings are the defaults.")
    ] = None,
    lora: Annotated[Path | None, typer.Option(help="A LoRA for the model, as a .safetensors file.")] = None,
    lora_scale: Annotated[float, typer.Option(help="Scale of the LoRA.")] = 1.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing pictures.")] = False,
    steps: Steps = None,
    guidance: Guidance = None,
    negative_prompt: Negative = None,
    size: Size = None,
    device: Device = None,
) -> None:
    """Draw the prompt by each method from the same noise. The PNG files carry their settings."""
    from ..engine.engine import Notice, Picture, Step
    from ..engine.provenance import save_png, settings_of
    from ..engine.request import COLUMNS
    from ..schedule import CONTROLS
    from ..weight_table import WeightTable, load_table

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
    elif pinned is not None and not CONTROLS.named(schedule).probed:
        raise ValueError(f"The {schedule} schedule uses no table: leave out --table or --schedule {schedule}.")
    if pinned is not None and "steps" not in asked:
        asked["steps"] = pinned.steps
    files = {column: out / f"{column}.png" for column in columns}
    for file in files.values():
        writable(file)
        if file.exists() and not overwrite and not many:
            raise ValueError(f"{file} exists already: give another --out, or --overwrite.")
    engine, request = start(model, device, **asked)
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
    say(f"{'Importance' if chosen.weights is None else 'Schedule'}: {chosen.source}.")
    with progress_bar() as bar:
        tasks = {column: bar.add_task(column, total=request.steps) for column in columns}
        drawn = {}
        for event in engine.compare(request, chosen):
            if isinstance(event, Step):
                bar.update(tasks[event.column], completed=event.step)
            elif isinstance(event, Notice):
                say(event.text)
            elif isinstance(event, Picture):
                drawn[event.column] = event
                loaded = engine.opened(model)
                settings = settings_of(request, loaded, event.column, event.weights, event.table_sha256)
                save_png(files[event.column], event.image, settings)
    for line in _done(drawn):
        say(line)
    names = [file.name for file in files.values()]
    say(f"Wrote {' and '.join(filter(None, (', '.join(names[:-1]), names[-1])))} to {out}.")


def _done(drawn: dict[str, Any]) -> Iterator[str]:
    """Lines with the reports of each column's methods, and its distance from vanilla if that is drawn too."""
    from ..scoring.similarity import distance

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
        raise ValueError("There are both a prompt and a file of prompts: give only one.")
    from ..batch import read_prompts

    texts = read_prompts(file)
    asked["prompt"] = texts[0]
    return texts


def _asked(
    source: Path | None, model: str | None, given: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The request's settings, with a picture's as defaults if there is one; and that picture's settings."""
    from ..engine.provenance import read_png

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
    """The request with the picture's weights painted, if only its importance table is missing here."""
    from ..engine.drawing import drawing_of
    from ..engine.request import validate
    from ..engine.restoring import with_weights

    names = ("low", "high", "schedule", "steps", "first_step", "last_step", "blocks", "prompt", "painted")
    now, then = request.settings(), picture["request"]
    other_model = then["model"] not in (
        request.model,
        Path(request.model).resolve().name,
    )  # a PNG has only a folder's last part
    if pinned is not None or other_model or any(now.get(name) != then.get(name) for name in names):
        return request
    drawing = drawing_of(request, engine.chosen(request), engine.opened(request.model))
    weights, _ = request.reweighting.tables(drawing)
    asked, painted = with_weights({**picture, "request": now}, request, weights)
    if painted:
        say("The picture's importance table is not available here: the weights saved in the picture are used.")
    return validate(engine.card(request.model), **asked) if painted else request


def _many(
    engine: Engine, request: Request, out: Path, pinned: Any, texts: list[str], seeds: str | None, vary: list[str], overwrite: bool
) -> None:  # fmt: skip
    """Draw prompts × seeds × methods × settings, with a CSV; existing pictures are not drawn again."""
    from ..batch import Batch, plan

    batch = Batch(engine, plan(engine, request, out, texts, seeds, vary), out, pinned)
    missing = batch.missing(overwrite=overwrite)
    there = len(batch.items) - len(missing)
    if there:
        say(f"{there} of {len(batch.items)} pictures exist already.")
    with progress_bar() as bar:
        task = bar.add_task(f"{len(missing)} pictures", total=sum(item.request.steps for item in missing))
        for done in batch.run(missing):
            bar.update(task, completed=done.step)
    say(f"Wrote {len(missing)} pictures and {batch.table.name} to {out}.")


def _settings(given: list[str]) -> dict[str, Any]:
    """Settings by method, parsed from texts such as "freeu.b1=1.3"."""
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
