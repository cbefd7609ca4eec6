"""`python -m reweight bench tuned`: whether tuned weights are worth it, and whether they need to be dynamic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..tables.table_commands import whole_numbers


def command(
    out: Annotated[
        Path, typer.Option(help="A folder for tables, rows and the result, from which a later run resumes.")
    ],
    model: Annotated[str, typer.Option(help="An embedded model.")] = "toy-turbo",
    steps: Annotated[str, typer.Option(help="Numbers of steps to test at, such as 1,2,3.")] = "2",
    tune_at: Annotated[str, typer.Option("--tune", help="Those at which to tune; by default all.")] = "",
    vanilla: Annotated[
        str, typer.Option(help="Numbers of steps at which only vanilla is drawn, to compare fewer steps with.")
    ] = "",
    ways: Annotated[
        str, typer.Option(help="What to tune, separated by semicolons; static@2: only at 2 steps.")
    ] = "dynamic;static;one number",
    other: Annotated[list[Path] | None, typer.Option("--also", help="A table of another model to apply.")] = None,
    captions: Annotated[int, typer.Option(help="To tune on.")] = 96,
    validation: Annotated[int, typer.Option(help="Captions to validate on.")] = 24,
    limit: Annotated[int, typer.Option(help="Captions to test on, half of them of held-out combinations.")] = 64,
    seeds: Annotated[str, typer.Option(help="Seeds of the test's noise.")] = "42,21",
    batch: Annotated[int, typer.Option(help="Pictures an iteration.")] = 8,
    iterations: Annotated[int, typer.Option(help="Gradient steps.")] = 20,
    probed: Annotated[int, typer.Option(help="Number of tuning captions whose rankings are averaged; 0 for none.")] = 4,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the fastest available.")] = None,
) -> None:
    """Tune weights, then compare tuned, ranked and vanilla on held-out captions and noises, paired by noise."""
    from rich.console import Console

    from ...models.loading import load_model
    from ...patching.blocks import target_blocks
    from ...scoring.toy_scorer import load_toy_scorer
    from ...storage.atomic import write_atomic
    from ...toy.judges.classifier import load_judge
    from ...weight_table import WeightTable
    from ..stats.progress import progress
    from ..stats.run_info import run_info
    from .best_tables import best_ways, with_figures
    from .captions import caption_sets
    from .report import screen
    from .seconds import measured_seconds
    from .tuned_figure import SHOWN, figure, pairs
    from .tuned_rows import draw_rows
    from .tuned_summary import claims, differences, effects, fewer_steps, likeness
    from .tunings import WAYS, ranked, resampled, tuned

    counts, noises = whole_numbers(steps, "steps"), whole_numbers(seeds, "seeds")
    asked = [tuple(part.strip() for part in way.partition("@")[::2]) for way in ways.split(";")]
    if unknown := [way for way, _ in asked if way not in WAYS]:
        raise ValueError(f"There is no way {unknown[0]!r} to tune: choose from {'; '.join(WAYS)}.")
    if not counts or not noises:
        raise ValueError("Give at least one number of steps and one seed.")
    out.mkdir(parents=True, exist_ok=True)
    with progress() as say:
        loaded = load_model(model, device=device, local=True)
        if not loaded.card.embedded:
            raise ValueError(
                "The judge reads the embedded models' world only: use `python -m reweight tune` for another."
            )
        scorer, judge, guidance = load_toy_scorer(device=loaded.device), load_judge(), loaded.card.guidance
        sets, blocks = caption_sets(captions, validation, limit), target_blocks(loaded.pipe.unet)
        made: dict[tuple[str, int], WeightTable] = {}
        for way, only in asked:
            for count in whole_numbers(only or tune_at, "steps") or counts:
                if count > 1 or way != "static":  # with one step static and dynamic weights are the same
                    made[way, count] = tuned(
                        loaded, sets, scorer, way, out, steps=count, guidance=guidance, on_progress=say, batch=batch,
                        iterations=iterations,
                    )  # fmt: skip
        strangers = {f"dynamic of {table.model}": table.weights for table in map(WeightTable.load, other or [])}
        rows = {}
        for count in (*counts, *(n for n in whole_numbers(vanilla, "steps") if n not in counts)):
            tables = {way: table.weights for (way, at), table in made.items() if at == count}
            if probed and count in {at for _, at in made}:
                tables |= {
                    preset: ranked(loaded, sets.tuning[:probed], preset, out, steps=count, guidance=guidance)
                    for preset in ("calibrated", "paper-code")
                }
            if count in counts:
                tables |= {
                    f"{way} of {at} step{'s' * (at > 1)}": resampled(table.weights, count)
                    for (way, at), table in made.items() if way == "dynamic" and at != count
                } | {name: resampled(w, count) for name, w in strangers.items()}  # fmt: skip
            rows[count] = draw_rows(
                loaded, sets.test(), noises, count, guidance, tables, out / "rows", scorer, judge, say
            )  # fmt: skip
        dynamic = {at: table.weights for (way, at), table in made.items() if way == "dynamic"}
        seconds = measured_seconds(loaded, sorted(rows), dynamic, guidance)
    rivals = [way for way in WAYS if way != "dynamic"] + ["calibrated", "paper-code"]
    against = [("dynamic", name) for name in rivals]
    result = run_info(
        "tuned", loaded, guidance=guidance, captions={"tuning": captions, "validation": validation, "test": limit},
        seeds=list(noises), scorer=scorer.version, judge=judge.digest[:12],
    ) | {
        "steps": {
            str(count): {"effects": effects(found, judge), "differences": differences(found, against)}
            for count, found in rows.items()
        },
        "tables": [
            {
                "way": way, "steps": at, "weights": table.weights.round(4).tolist(), "sha256": table.sha256,
                "claims": claims(table.weights, blocks), "tuning": table.diagnostics,
            }
            for (way, at), table in made.items()
        ],
        "likeness": [
            {"a": [*a], "b": [*b], **likeness(made[a].weights, resampled(made[b].weights, a[1]))}
            for a in made for b in made
            if a < b and a[0].startswith("dynamic") and b[0].startswith("dynamic")
        ],
        "fewer_steps": fewer_steps(rows, "dynamic", counts, seconds),
        "seconds": seconds,
    }  # fmt: skip
    text = json.dumps(result, ensure_ascii=False, indent=1) + "\n"
    write_atomic(out / f"tuned-{model}.json", text.encode())
    figure([result], out / f"tuned-{model}.png")
    shown = [prompt for _, prompt in caption_sets(captions, validation, max(limit, SHOWN)).test()]
    for at, (way, effect) in best_ways(result).items():
        write_atomic(out / f"best-{at}.json", with_figures(made[way, at], effect).encode())
        pairs(loaded, shown, at, made[way, at].weights, out / f"pairs-{model}-{at}.jpg")
    for part in screen(result):
        Console(width=max(150, Console().width)).print(part)
