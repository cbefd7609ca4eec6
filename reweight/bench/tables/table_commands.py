"""`python -m reweight bench table1 | table3 | …`: measures a table or figure of the paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

SUMMARY = {
    "table1": "Table I: one block at 1.1, over numbers of steps.",
    "table3": "Table III: ranges of weights for SD-Turbo.",
    "table4": "Table IV: ranges of weights for SDXL-Turbo.",
    "table5": "Table V: importance, inverted, and our controls, [0.98, 1.1].",
    "table6": "Table VI: importance, inverted, and our controls, [0.95, 1.15].",
    "fig1": "Figure 1: fewer steps re-weighted, higher weights, FreeU; as pictures.",
    "fig3": "Figure 3: blocks left out, by rank and by place.",
    "fig4": "Figure 4: the low weight varied.",
    "efficiency": "Seconds for a picture: vanilla, re-weighted, FreeU.",
}

Model = Annotated[str, typer.Option(help="A name, a folder, or owner/name on the hub.")]
PromptSource = Annotated[str, typer.Option("--prompts", help="embedded, hpd, a folder of HPD v2's files, or a file.")]
Limit = Annotated[int, typer.Option(help="Prompts per category; the paper has 200.")]
Seeds = Annotated[str, typer.Option(help="Seeds of the noise; 42 is the paper's train, 21 its test.")]
Steps = Annotated[str, typer.Option(help="Numbers of steps, such as 1,2,3; by default the paper's.")]
Importance = Annotated[str, typer.Option(help="The source of the scores: probe, shipped or empirical.")]
Runs = Annotated[int | None, typer.Option(help="Runs of each probe; by default the paper's code's.")]
ScorerName = Annotated[str, typer.Option("--scorer", help="auto, toy, hps, hps-v2.1, hpsv2, hpsv2-v2.1 or none.")]
Checkpoint = Annotated[Path | None, typer.Option(help="A local HPS checkpoint file.")]
Tokenizer = Annotated[Path | None, typer.Option(help="A local folder of CLIP's tokenizer.")]
Dtype = Annotated[str | None, typer.Option(help="float16 or float32; by default the device's.")]
Device = Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the fastest available.")]
Batch = Annotated[int, typer.Option("--batch-size", help="Re-weighted pictures per batch.")]
Out = Annotated[Path, typer.Option(help="The folder for the results, from which a later run resumes.")]


def command_for(name: str) -> Callable[..., None]:
    """The command of one table or figure."""

    def command(
        model: Model = "toy", prompts: PromptSource = "embedded", limit: Limit = 5, seeds: Seeds = "42,21",
        steps: Steps = "", importance: Importance = "probe", runs: Runs = None, scorer: ScorerName = "auto",
        checkpoint: Checkpoint = None, tokenizer: Tokenizer = None, dtype: Dtype = None, device: Device = None,
        batch_size: Batch = 1, out: Out = Path("bench"),
    ) -> None:  # fmt: skip
        from ...models.loading import load_model
        from ...scoring import scorer_named
        from ...scoring.scorers import Loading
        from ..stats.choices import check_scorer
        from .prompts import read_prompts
        from .score_source import Ranking
        from .table_run import Bench, share

        check_scorer(scorer)
        place, folder = share(), out / name
        drawn, numbers, counts = (
            read_prompts(prompts, limit),
            whole_numbers(seeds, "seeds"),
            whole_numbers(steps, "steps"),
        )
        ranking = Ranking("empirical" if name == "efficiency" else importance, out / "probes", runs)
        loaded = load_model(model, device=device or place.device, dtype=dtype, local=True)
        judge = scorer_named(
            "none" if name == "efficiency" else scorer, embedded=loaded.card.embedded,
            options=Loading(checkpoint, tokenizer, loaded.device),
        )  # fmt: skip
        loaded.pipe.set_progress_bar_config(disable=True)
        bench = Bench(
            name, loaded, drawn, folder, seeds=numbers, steps=counts, ranking=ranking, scorer=judge,
            batch_size=batch_size, place=place,
        )  # fmt: skip
        _finish(bench)

    command.__doc__ = SUMMARY[name]
    return command


def whole_numbers(text: str, what: str) -> tuple[int, ...]:
    """Integers from a text such as "42,21". ValueError of one sentence for anything else."""
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",") if part.strip()))
    except ValueError as error:
        raise ValueError(f"The {what} are whole numbers such as 1,2,3, not {text!r}.") from error


def _finish(bench) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from . import cells, paired

    said = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    stopped = False
    with Progress(*columns, console=said, transient=True, disable=bench.place.process > 0) as bar:
        task = bar.add_task("pictures", total=None)
        try:
            bench.draw(lambda done, total: bar.update(task, completed=done, total=total))
        except KeyboardInterrupt:
            stopped = True
    there, wanted = len(bench.rows()), len(bench.keys)
    if there == wanted or (there and stopped and bench.place.process == 0):
        found, pairs = bench.write()
        console = Console(width=max(Console().width, 24 + 18 * len({column for _, column in found})))
        console.print(cells.screen(bench.experiment, found, bench.scored_by))
        if pairs:
            console.print(paired.screen(pairs, bench.scored_by))
    left = "" if there == wanted else f" of {wanted}; run the same command to resume"
    said.print(f"{there} pictures{left}: {bench.folder}.", markup=False, highlight=False, soft_wrap=True)
