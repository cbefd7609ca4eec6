"""`python -m reweight probe`: the Importance Probe on a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .shared import MODEL_HELP, Device, Guidance, Negative, Size, Steps, progress_bar, say, start, writable


def command(
    prompt: Annotated[str, typer.Argument(help="What the picture should show.")],
    out: Annotated[Path, typer.Option(help="The JSON file to write.")] = Path("importance.json"),
    figure: Annotated[Path | None, typer.Option(help="A figure of the heatmap to write: .png, .svg or .pdf.")] = None,
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "toy-turbo",
    preset: Annotated[str, typer.Option(help="paper-code, paper-text or calibrated.")] = "paper-code",
    runs: Annotated[int | None, typer.Option(help="Number of runs that vote; by default the preset's.")] = None,
    candidates: Annotated[int | None, typer.Option(help="Candidates per iteration; by default the preset's.")] = None,
    precision: Annotated[
        float | None, typer.Option(help="Stop once every score's 95% interval is narrower than this.")
    ] = None,
    surrogate: Annotated[
        bool,
        typer.Option(
            "--surrogate",
            help="Evaluate only candidates near the tolerance; predict the others by a linear approximation.",
        ),
    ] = False,
    resume: Annotated[
        Path | None, typer.Option(help="A file for the probe's state; an interrupted probe resumes from it.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise and of the search.")] = 42,
    steps: Steps = None,
    guidance: Guidance = None,
    negative_prompt: Negative = None,
    size: Size = None,
    device: Device = None,
) -> None:
    """Estimate how much each block matters at each step for a prompt. Ctrl-C keeps the result so far."""
    from ..bench.stats.choices import check_presets
    from ..probing.importance_probe import ProbeSnapshot

    check_presets([preset])
    for file in (out, figure, resume):
        if file is not None:
            writable(file)
    if figure is not None:
        _check_figure(figure)
    engine, request = start(
        model, device, prompt=prompt, seed=seed, steps=steps, guidance=guidance, negative_prompt=negative_prompt,
        size=size,
    )  # fmt: skip
    table = None
    events = engine.probe(
        request, preset=preset, runs=runs, candidates=candidates, precision=precision, surrogate=surrogate or None,
        resume=resume,
    )  # fmt: skip
    with progress_bar() as bar:
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
        from ..probing.plots import importance_figure

        importance_figure(table.scores, table.blocks, title=prompt).savefig(figure, dpi=160)
    say(
        f"Wrote {out}: {table.runs} run{'s' * (table.runs > 1)}, acceptance rate {table.diagnostics['acceptance_rate']:.0%}."
    )


def _check_figure(file: Path) -> None:
    """ValueError for a suffix that matplotlib cannot write; checked before the probe runs."""
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    if file.suffix.lower().removeprefix(".") not in known:
        raise ValueError(f"A figure cannot be written as {file.name}: end its name in .png, .svg or .pdf.")
