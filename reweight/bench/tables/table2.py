"""`python -m reweight bench table2`: the ranking of the blocks at each step, compared with the paper's Table II."""

from __future__ import annotations

import csv
import io
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer

from .paper import paper_tables, table_2
from .table_commands import Device, Dtype, Model, Out, Runs

if TYPE_CHECKING:
    from ...schedule import ImportanceTable

PROMPT = paper_tables()["table_2"]["prompt"]


def as_csv(table: ImportanceTable, printed: tuple[tuple[str, ...], ...]) -> str:
    """The rankings as CSV, a line for each step, least important first, with the paper's if it has one."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "ours", "paper"])
    for step, ranking in enumerate(table.ranking()):
        theirs = " ".join(printed[step]) if printed else ""
        writer.writerow([step + 1, " ".join(ranking), theirs])
    return text.getvalue()


def tau(table: ImportanceTable, printed: tuple[tuple[str, ...], ...]) -> float | None:
    """Kendall's tau-b of our scores with the paper's ranks, mean over the steps; None if the blocks are not the same."""
    from ...probing.ablation import agreement

    if len(printed) != table.steps or any(set(row) != set(table.blocks) for row in printed):
        return None
    ranks = np.array([[row.index(block) for block in table.blocks] for row in printed], float)
    return float(agreement(table.scores, ranks))


def command(
    prompt: str = typer.Option(PROMPT, help="By default the paper's."), model: Model = "toy",
    steps: int = typer.Option(2, help="Denoising steps; the paper's are 2."), runs: Runs = None, dtype: Dtype = None,
    device: Device = None, out: Out = Path("bench"),
) -> None:  # fmt: skip
    """Measure Table II: the ranking of the blocks at each step by the Importance Probe."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from ...engine.request import validate
    from ...models.loading import load_model
    from ...probing.plots import importance_figure
    from ..stats.result_file import write_figure, write_json, write_text
    from .score_source import Ranking

    loaded = load_model(model, device=device, dtype=dtype, local=True)
    loaded.pipe.set_progress_bar_config(disable=True)
    request = validate(loaded.card, prompt=prompt, model=loaded.card.key, steps=steps)
    folder = out / "table2"
    said = Console(stderr=True)
    with Progress(console=said, transient=True) as bar:
        task = bar.add_task("probing", total=1.0)
        ranking = Ranking("probe", out / "probes", runs)
        table = ranking.table(loaded, request, lambda snapshot: bar.update(task, completed=snapshot.done))
    printed = table_2(loaded.card.family, steps)
    found = tau(table, printed)
    write_text(folder / "table.csv", as_csv(table, printed))
    write_figure(folder / "table.png", importance_figure(table.scores, table.blocks, title=prompt))
    origin = {item.name: getattr(table, item.name) for item in fields(table) if item.name not in ("scores", "blocks")}
    origin |= {"paper": paper_tables()["source"], "paper_model": "SD-Turbo", "kendall_tau_b": found}
    origin |= {"ranking": [list(row) for row in table.ranking()], "printed": [list(row) for row in printed]}
    write_json(folder / "results.json", {"name": "table2"} | origin)
    shown = Table("step", "ours, least important first", "the paper's (SD-Turbo)", title=f"Table II: “{prompt}”")
    for step, row in enumerate(table.ranking()):
        shown.add_row(str(step + 1), " ".join(row), " ".join(printed[step]) if printed else "–")
    shown.caption = f"acceptance rate {table.diagnostics['acceptance_rate']:.0%}" + (
        "" if found is None else f"; Kendall's tau-b with the paper's {found:.2f}"
    )
    Console(width=100).print(shown)
    said.print(f"Wrote {folder}.", markup=False, highlight=False, soft_wrap=True)
