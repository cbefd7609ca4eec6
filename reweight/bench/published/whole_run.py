"""`python -m reweight bench all`: runs every study and table of a model, resumable, with a time estimate."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

TABLES = ("table5", "table6", "table1", "table3", "table4", "fig1", "fig4")


@dataclass(frozen=True)
class Study:
    """A result file and the command that makes it.

    name: the file in docs/results, without its suffix. arguments: of `python -m reweight bench`; "{out}" in them stands
    for the run's folder, where tables share their probes. written: the result's path in that folder.
    """

    name: str
    arguments: tuple[str, ...]
    written: str


def studies(model: str, card: Any) -> list[Study]:
    """The studies of a model: for the embedded models those in the documents, for others those practical on a GPU."""
    if model == "toy":
        return [
            _importance(model, 38, steps=10), _agreement(model, 20, steps=4), _surrogate(model, 8, steps=4),
        ]  # fmt: skip
    if model == "toy-turbo":
        prompt = "a photo of a red apple on a wooden table"
        return [
            _importance(model, 64, steps=2), *(_table(name, model, "5", "--batch-size", "8") for name in TABLES),
            _table("fig3", model, "2", "--batch-size", "8"), _ranking(model), _agreement(model, 24, steps=2),
            _surrogate(model, 24, steps=2), _surrogate(model, 6, steps=2, preset="paper-text", suffix="-text"),
            _in_file(f"probe-{model}", ("probe", "--model", model)),
            _pruning(model, "--prompt", prompt, "--seeds", "32", "--epochs", "20", "--rate", "1e-4"),
        ]  # fmt: skip
    hpd = ("--prompts", "hpd", "--scorer", "hps", "--batch-size", "8")
    return [
        _agreement(model, 24, steps=card.steps if card.guidance > 1 else 2),
        *(_table(name, model, "200", *hpd) for name in TABLES), _table("fig3", model, "25"), _ranking(model),
        _pruning(model),
    ]  # fmt: skip


def command(
    model: Annotated[str, typer.Option(help="A name, a folder, or owner/name on the hub.")] = "toy-turbo",
    out: Annotated[Path, typer.Option(help="A folder for intermediate files, from which a later run resumes.")] = Path("bench/all"),
    results: Annotated[Path, typer.Option(help="The folder of the results.")] = Path("docs/results"),
    only: Annotated[list[str] | None, typer.Option(help="A result's name; repeat for more; by default all.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only list what is missing, with an estimate of the time.")] = False,
) -> None:  # fmt: skip
    """Measure every result of a model that is missing for its revision."""
    from rich.console import Console

    from ...models.loading import load_model
    from ...models.registry import card_for
    from ..stats.result_file import write_json

    console = Console(stderr=True)
    wanted = studies(model, card_for(model, local=True))
    if unknown := set(only or ()) - {study.name for study in wanted}:
        known = ", ".join(study.name for study in wanted)
        raise ValueError(f"There is no result {min(unknown)!r} of {model}: choose from {known}.")
    wanted = [study for study in wanted if not only or study.name in only]
    loaded = load_model(model, local=True)
    missing = [study for study in wanted if not is_there(results / f"{study.name}.json", study, loaded.revision)]
    console.print(forecast(wanted, missing, results), markup=False, highlight=False, soft_wrap=True)
    del loaded
    if plan:
        return
    for study in missing:
        with timed(out / f"{study.name}.seconds.json") as seconds:
            run(study, out, console)
        found = json.loads((out / study.written).read_text(encoding="utf-8"))
        write_json(results / f"{study.name}.json", found | {"command": line(study), "seconds": round(seconds())})
    console.print(
        "Everything is there. `python -m reweight bench report` writes it into the documents.", highlight=False
    )


def is_there(path: Path, study: Study, revision: str | None) -> bool:
    """Whether a result is of this revision and, if it records its command, of this command."""
    if not path.is_file():
        return False
    found = json.loads(path.read_text(encoding="utf-8"))
    return found.get("revision") == revision and found.get("command", line(study)) == line(study)


def forecast(wanted: list[Study], missing: list[Study], results: Path) -> str:
    """The missing results, and how long each took the last time, as text."""
    from ..overhead.time_estimates import duration

    if not missing:
        return f"All {len(wanted)} results are there for this revision."
    known, unknown = 0.0, []
    for study in missing:
        path = results / f"{study.name}.json"
        seconds = json.loads(path.read_text(encoding="utf-8")).get("seconds") if path.is_file() else None
        if seconds is None:
            unknown.append(study.name)
        else:
            known += seconds
    text = f"{len(missing)} of {len(wanted)} results are missing: {', '.join(study.name for study in missing)}."
    if known:
        text += f" By earlier runs, this takes about {duration(known)}"
        text += f", and besides {', '.join(unknown)}, for which no time is recorded." if unknown else "."
    elif unknown:
        text += " No time is recorded for them: `bench plan` estimates the tables."
    return text


def line(study: Study) -> str:
    """The command line."""
    words = [f'"{part}"' if " " in part else part for part in study.arguments]
    return " ".join(["python -m reweight bench", *words]).replace("{out}", "OUT")


def run(study: Study, out: Path, console: Console) -> None:
    """Run a study's command in this process, resuming if it was interrupted."""
    from .. import app

    out.mkdir(parents=True, exist_ok=True)
    arguments = [part.replace("{out}", str(out)) for part in study.arguments]
    console.print(f"{study.name}: {line(study)}", markup=False, highlight=False, soft_wrap=True)
    app(arguments, standalone_mode=False)
    if not (out / study.written).is_file():
        raise ValueError(f"{study.name} was interrupted: run the same command to resume.")


@contextmanager
def timed(path: Path) -> Iterator[Any]:
    """Add the seconds spent in this context to those in a file, also on an exception; yields a function that gives the
    total."""
    from ..stats.result_file import write_json

    before = json.loads(path.read_text(encoding="utf-8"))["seconds"] if path.is_file() else 0.0
    start = time.perf_counter()

    def seconds() -> float:
        return before + time.perf_counter() - start

    try:
        yield seconds
    finally:
        write_json(path, {"seconds": seconds()})


def _importance(model: str, limit: int, *, steps: int) -> Study:
    arguments = "importance", "--model", model, "--steps", str(steps), "--limit", str(limit), "--seeds", "42,21"
    return _in_folder(f"importance-{model}", arguments, "importance.json")


def _agreement(model: str, limit: int, *, steps: int) -> Study:
    arguments = "agreement", "--model", model, "--limit", str(limit), "--steps", str(steps), "--surrogate"
    return _in_file(f"agreement-{_file(model)}", arguments)


def _surrogate(model: str, limit: int, *, steps: int, preset: str = "paper-code", suffix: str = "") -> Study:
    arguments = "surrogate", "--model", model, "--limit", str(limit), "--steps", str(steps), "--preset", preset
    return _in_file(f"surrogate-{model}{suffix}", arguments)


def _table(name: str, model: str, limit: str, *options: str) -> Study:
    arguments = name, "--model", model, "--limit", limit, *options, "--out", "{out}"
    return Study(f"{name}-{_file(model)}", arguments, f"{name}/results.json")


def _ranking(model: str) -> Study:
    return Study(f"table2-{_file(model)}", ("table2", "--model", model, "--out", "{out}"), "table2/results.json")


def _pruning(model: str, *options: str) -> Study:
    return _in_folder(f"pruning-{_file(model)}", ("pruning", "--model", model, *options), "pruning.json")


def _in_file(name: str, arguments: tuple[str, ...]) -> Study:
    return Study(name, (*arguments, "--out", f"{{out}}/{name}.json"), f"{name}.json")


def _in_folder(name: str, arguments: tuple[str, ...], file: str) -> Study:
    return Study(name, (*arguments, "--out", f"{{out}}/{name}"), f"{name}/{file}")


def _file(model: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in model)
