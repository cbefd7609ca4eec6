"""`python -m reweight bench agreement`: whether a probe's scores agree with the damage of bypassing blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[str, typer.Option(help="A name, a folder, or owner/name on the hub.")] = "toy",
    limit: Annotated[int, typer.Option(help="Held-out captions of the embedded model's world.")] = 20,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; by default the model's.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Classifier-free guidance; by default the model's.")] = None,
    preset: Annotated[list[str] | None, typer.Option(help="A preset; repeat for more; by default all.")] = None,
    runs: Annotated[int | None, typer.Option(help="Runs that vote; by default the preset's.")] = None,
    candidates: Annotated[int | None, typer.Option(help="Candidates per iteration; by default the preset's.")] = None,
    surrogate: Annotated[
        bool, typer.Option("--surrogate", help="Predict most errors of the paper's presets by a linear approximation.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the fastest available.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="A JSON file for the figures. A command that was stopped goes on from the rows beside it."),
    ] = None,
) -> None:
    """Measure Kendall's tau-b of each preset's scores with the damage of bypassing each block."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from ...models.loading import load_model
    from ...probing.search import PRESETS
    from ...scoring import scorer_named
    from ...scoring.scorers import Loading
    from ..embedded.held_out import captions
    from ..stats.choices import check_presets
    from ..stats.result_file import file_for, write_json
    from ..stats.run_info import run_info
    from .ablation_agreement import measure

    check_presets(preset or ())
    prompts = captions(limit)
    file_for(out)
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("loading", total=1.0)
        loaded = load_model(model, device=device, local=True)
        scale = loaded.card.guidance if guidance is None else guidance
        found = measure(
            loaded, prompts, steps=steps or loaded.card.steps, guidance=scale, presets=preset or tuple(PRESETS),
            runs=runs, candidates=candidates, surrogate=surrogate,
            scorer=scorer_named("auto", embedded=loaded.card.embedded, options=Loading(device=loaded.device)),
            folder=None if out is None else out.parent / f"{out.stem}-rows",
            on_progress=lambda text, done: bar.update(task, completed=done, description=text[:60]),
        )  # fmt: skip
    against = [f"tau-b with the {kind}" for kind in found.damage]
    columns = ("", *against, "accepted", "bypasses", "vote SD", "U-Net samples")
    table = Table(*columns, title=f"{model}: scores against bypassing each block alone, {len(found.prompts)} prompts")
    for name in found.tau:
        taus = ("{:+.2f} [{:+.2f}, {:+.2f}]".format(*found.mean_tau(name, kind)) for kind in found.damage)
        rest = (
            (f"{found.acceptance[name].mean():.0%}", f"{found.bypasses[name].mean():.0f}",
             f"{found.spread[name].mean():.3f}", f"{found.samples[name].mean():.0f}")
            if name in found.acceptance else ("",) * 4
        )  # fmt: skip
        table.add_row(name, *taus, *rest)
    Console(width=max(130, console.width)).print(table)
    if out is not None:
        settings = {"steps": steps or loaded.card.steps, "runs": runs, "candidates": candidates, "surrogate": surrogate}
        write_json(out, run_info("agreement", loaded, **settings, guidance=scale) | found.as_json())
