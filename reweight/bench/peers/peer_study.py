"""`python -m reweight bench peers`: compares the training-free methods on the embedded models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    model: Annotated[str, typer.Option(help="The embedded model: toy or toy-turbo.")] = "toy",
    steps: Annotated[list[int] | None, typer.Option(help="Numbers of steps; by default those with methods to show.")] = None,
    limit: Annotated[int, typer.Option(min=2, help="Held-out prompts.")] = 64,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures drawn together.")] = 4,
    minutes: Annotated[float | None, typer.Option(help="Stop after this many minutes; run again to continue.")] = None,
    rows: Annotated[Path, typer.Option(help="A folder for the rows, from which a later run resumes.")] = Path("bench/peers"),
    out: Annotated[Path, typer.Option(help="A folder for the table and the figure.")] = Path("bench"),
) -> None:  # fmt: skip
    """Compare training-free methods: time, FLOPs, score, prompt adherence, Fréchet distance and SSIM with vanilla."""
    from rich.console import Console
    from rich.progress import Progress

    from ...models.loading import load_model
    from ...scoring.scorers import scorer_named
    from ...storage.rowfile import read_rows
    from ...toy.judges.classifier import load_judge
    from ..embedded.held_out import captions
    from ..stats.result_file import write_figure, write_json, write_text
    from ..stats.run_info import run_info
    from . import peer_pictures, peer_summary
    from .variants import FEWER, STEPS, VANILLA, variants

    if model not in STEPS:
        raise ValueError(f"{model} is not an embedded model: only those draw the world that the judge knows.")
    chosen = tuple(sorted(steps or (*STEPS[model], *FEWER.get(model, ()))))
    loaded, judge, scorer = load_model(model), load_judge(), scorer_named("toy")
    loaded.pipe.set_progress_bar_config(disable=True)
    console, folder = Console(stderr=True, width=160), rows / model
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("drawing", total=1.0)
        whole = peer_pictures.draw_all(
            loaded, captions(limit), folder, steps=chosen, judge=judge, scorer=scorer, batch=batch_size, minutes=minutes,
            on_progress=lambda text, done: bar.update(task, completed=done, description=text),
        )  # fmt: skip
    found = [row for row in read_rows(folder).values() if row["steps"] in chosen]
    if not whole:
        console.print(f"{len(found)} rows so far: run the command again to continue.")
        return
    first = captions(1)[0]
    flops, left_out = {}, {}
    for number in chosen:
        for variant in variants(model, number):
            reason = peer_pictures.why_not(loaded, variant, number)
            if reason:
                left_out[f"{variant.label}, {number} steps"] = reason
            else:
                flops[variant.label, number] = peer_pictures.cost_in_flops(loaded, variant, number, first)
    lines = peer_summary.lines(found, flops, judge)
    packages: dict[str, Any] = {
        f"{kind} of {variant.ours} over {variant.label}, {number} steps":
            peer_summary.ratio(found, variant.ours, variant.label, number, kind)
        for number in chosen for variant in variants(model, number) if variant.ours
        for kind in ("seconds", "cpu")
    }  # fmt: skip
    told = run_info(
        "peers", loaded, prompts=limit, batch=batch_size, guidance=loaded.card.guidance, judge=judge.digest[:12],
        scorer=f"{scorer.name} {scorer.version}",
    ) | {
        "lines": [line.as_json() for line in lines], "packages": packages, "does_nothing": left_out,
    }  # fmt: skip
    write_json(out / f"peers-{model}.json", told)
    write_text(out / f"peers-{model}.csv", peer_summary.as_csv(lines))
    write_figure(out / f"peers-{model}.png", peer_summary.pareto(lines, model), dpi=110)
    Console(width=160).print(peer_summary.table(lines, model))
    for name, (value, low, high) in packages.items():
        console.print(f"{name}: {value:.3f} [{low:.3f}, {high:.3f}].", highlight=False)
    for name, reason in left_out.items():
        console.print(f"{name}: {reason}", highlight=False)
    console.print(f"Wrote {out}; {VANILLA} is the model as it is.", highlight=False)
