"""`python -m reweight bench tuned-captions`: how many captions a tuning takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..tables.table_commands import whole_numbers
from .report import interval

SEEDS = {0: "dynamic", 1: "dynamic, other seed"}


def command(
    out: Annotated[
        Path, typer.Option(help="A folder for tables, rows and the result, from which a later run resumes.")
    ],
    model: Annotated[str, typer.Option(help="An embedded model.")] = "toy-turbo",
    steps: Annotated[int, typer.Option(min=1, max=50, help="Denoising steps.")] = 2,
    sizes: Annotated[str, typer.Option(help="Numbers of captions to tune on; each set begins with the smaller one.")] = "3,6,12,24,48,96",
    validation: Annotated[int, typer.Option(help="Captions to validate on, the same for every size.")] = 24,
    limit: Annotated[int, typer.Option(help="Captions to test on, half of them of held-out combinations.")] = 64,
    seeds: Annotated[str, typer.Option(help="Seeds of the test's noise.")] = "42,21",
    batch: Annotated[int, typer.Option(help="Pictures an iteration.")] = 8,
    iterations: Annotated[int, typer.Option(help="Gradient steps, at most.")] = 20,
    patience: Annotated[int, typer.Option(help="Validations without a gain after which a tuning stops.")] = 3,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the fastest available.")] = None,
) -> None:  # fmt: skip
    """Tune dynamic weights from two seeds on more and more captions; compare the gains on held-out captions."""
    from rich.console import Console
    from rich.table import Table

    from ...models.loading import load_model
    from ...scoring.toy_scorer import load_toy_scorer
    from ...toy.judges.classifier import load_judge
    from ..stats.progress import progress
    from ..stats.result_file import write_json
    from ..stats.run_info import run_info
    from .captions import caption_sets
    from .tuned_rows import draw_rows
    from .tunings import tuned

    counts, noises = sorted(set(whole_numbers(sizes, "captions"))), whole_numbers(seeds, "seeds")
    if not counts or not noises:
        raise ValueError("Give at least one number of captions and one seed.")
    out.mkdir(parents=True, exist_ok=True)
    with progress() as say:
        loaded = load_model(model, device=device, local=True)
        scorer, judge, guidance = load_toy_scorer(device=loaded.device), load_judge(), loaded.card.guidance
        sets = caption_sets(max(counts), validation, limit)
        made = {
            (size, seed): tuned(
                loaded, sets, scorer, way, out, steps=steps, guidance=guidance, on_progress=say, captions=size,
                batch=batch, iterations=iterations, patience=patience,
            )
            for size in counts for seed, way in SEEDS.items()
        }  # fmt: skip
        tables = {f"{size} captions, seed {seed}": table.weights for (size, seed), table in made.items()}
        rows = draw_rows(loaded, sets.test(), noises, steps, guidance, tables, out / "rows", scorer, judge, say)
    result = run_info(
        "captions", loaded, steps=steps, guidance=guidance, batch=batch, iterations=iterations, patience=patience,
        captions={"validation": validation, "test": limit}, seeds=list(noises), scorer=scorer.version,
        judge=judge.digest[:12],
    ) | {"lines": lines(rows, {key: table.diagnostics for key, table in made.items()})}  # fmt: skip
    write_json(out / f"captions-{model}.json", result)
    table = Table(
        "captions", "score, tuned - vanilla", "judge", "gain on the tuning's validation", "pictures", "CPU minutes",
        title=f"{model}, {steps} steps, {limit} test captions, the mean of {len(SEEDS)} tunings",
    )  # fmt: skip
    for line in result["lines"]:
        table.add_row(
            str(line["captions"]), interval(line["score"]), interval(line["obeyed"], 3),
            f"{line['validation_gain']:+.4f}", f"{line['pictures']:.0f}", f"{line['cpu_seconds'] / 60:.1f}",
        )  # fmt: skip
    Console(width=150).print(table)


def lines(rows: list[dict[str, Any]], tunings: dict[tuple[int, int], dict[str, Any]]) -> list[dict[str, Any]]:
    """For each number of captions, over its tunings: paired differences from vanilla, and those of each tuning.

    A picture's difference is the mean over the tunings, so the interval is over captions. cpu_seconds, pictures and
    validation_gain: means. over_most: the paired difference from the largest number of captions.
    """
    from ..stats.intervals import paired_difference

    sizes = sorted({size for size, _ in tunings})

    def values(size: int, measure: str, seed: int | None = None) -> dict[tuple[str, int], float]:
        chosen = [f"{size} captions, seed {s}" for n, s in tunings if n == size and seed in (None, s)]
        found: dict[tuple[str, int], list[float]] = {}
        for row in rows:
            if row["variant"] in chosen:
                found.setdefault((row["prompt"], row["seed"]), []).append(row[measure])
        return {key: sum(each) / len(each) for key, each in found.items()}

    def vanilla(measure: str) -> dict[tuple[str, int], float]:
        return {(row["prompt"], row["seed"]): row[measure] for row in rows if row["variant"] == "vanilla"}

    found = []
    for size in sizes:
        own = [told for (n, _), told in tunings.items() if n == size]
        found.append(
            {"captions": size}
            | {m: paired_difference(values(size, m), vanilla(m)) for m in ("score", "obeyed")}
            | {"over_most": paired_difference(values(size, "score"), values(sizes[-1], "score"))}
            | {
                name: sum(told[name] for told in own) / len(own)
                for name in ("validation_gain", "pictures", "cpu_seconds")
            }
            | {
                "tunings": [
                    paired_difference(values(size, "score", s), vanilla("score")) for n, s in tunings if n == size
                ]
            }
        )
    return found
