"""Shared by the commands: options, the console, and starting an engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from ..engine.engine import Engine
    from ..engine.request import Request

MODEL_HELP = "A name, a folder, or owner/name on the hub."
Steps = Annotated[int | None, typer.Option(help="Denoising steps; by default the model's.")]
Guidance = Annotated[float | None, typer.Option(help="Classifier-free guidance scale; by default the model's.")]
Negative = Annotated[str | None, typer.Option("--negative-prompt", help="What the picture should not show.")]
Size = Annotated[int | None, typer.Option(help="Side of the picture in pixels; by default the model's.")]
Device = Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the fastest available.")]

console = Console(stderr=True)


def progress_bar() -> Progress:
    """A progress bar with the remaining time, which disappears when it is done."""
    return Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
                    TimeRemainingColumn(), console=console, transient=True)  # fmt: skip


def say(text: str, **options: Any) -> None:
    """Print a line to stderr."""
    console.print(text, markup=False, highlight=False, soft_wrap=True, **options)


def start(model: str, device: str | None, **raw: Any) -> tuple[Engine, Request]:
    """The request, validated first because loading may take minutes, and an engine with the model loaded."""
    from ..engine.engine import Engine
    from ..engine.request import validate
    from ..models.registry import card_for

    validate(card_for(model, local=True), model=model, **raw)
    with console.status(f"Loading {escape(model)}"):
        engine = Engine((model,), local=True, device=device)
        engine.opened(model)
    return engine, validate(engine.card(model), model=model, **raw)


def writable(file: Path) -> None:
    """Create the folder of an output file. ValueError of one sentence if the file cannot be written there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.is_dir() or not os.access(file.parent, os.W_OK):
        raise ValueError(f"{file} cannot be written: give the name of a file in a folder of your own.")
