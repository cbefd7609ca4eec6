"""`python -m reweight bench report`: writes the numbers in FINDINGS.md, README.md, BENCHMARKS.md and the model cards."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from .markers import filled
from .results import Results

DOCUMENTS = (
    "README.md",
    "docs/FINDINGS.md",
    "docs/BENCHMARKS.md",
    "docs/PEERS.md",
    "docs/TUNED.md",
    "docs/RELIABILITY.md",
    "docs/TRAINING.md",
)


def command(
    root: Annotated[Path, typer.Option(help="A checkout, with docs/results.")] = Path("."),
    check: Annotated[bool, typer.Option("--check", help="Change nothing; fail where a document differs.")] = False,
) -> None:
    """Write the results' numbers into the marked places of the documents."""
    from rich.console import Console

    from ..stats.result_file import write_text

    changed = {
        path: text for path, text in documents(Results(root)).items() if text != path.read_text(encoding="utf-8")
    }
    names = ", ".join(str(path) for path in changed)
    if check and changed:
        raise ValueError(f"{names} differ from docs/results: run `python -m reweight bench report`.")
    for path, text in changed.items():
        write_text(path, text)
    Console(stderr=True).print(
        f"Wrote {names}." if changed else "Nothing differs from the results.", markup=False, highlight=False
    )


def documents(results: Results) -> dict[Path, str]:
    """Each document's text with current numbers. ValueError of one sentence for a name missing in the results."""
    from .numbers import numbers

    values, made = numbers(results), tables(results)
    paths = [results.root / name for name in DOCUMENTS]
    paths += sorted(results.assets.glob("*/README.md"))
    texts = {}
    for path in paths:
        try:
            texts[path] = filled(path.read_text(encoding="utf-8"), made, values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return texts


def tables(results: Results) -> dict[str, Callable[[], str]]:
    """Functions that make each table, by the name in its marker."""
    from . import machine_tables as machines
    from . import paper_table_texts as paper
    from . import peer_tables as peers
    from . import readme_tables as readme
    from . import study_tables as studies
    from . import training_tables as training
    from . import tuned_tables as tuned

    made = {
        "agreement toy-turbo": partial(studies.agreement, results, "agreement-toy-turbo"),
        "agreement toy": partial(studies.agreement, results, "agreement-toy"),
        "surrogate": partial(studies.surrogate, results),
        "importance toy-turbo": partial(studies.importance, results, "importance-toy-turbo"),
        "importance toy": partial(studies.importance, results, "importance-toy"),
        "proposition": partial(studies.proposition, results),
        "pruning": partial(studies.pruning, results),
        "levels": partial(studies.levels, results),
        "table 1": partial(paper.by_steps, results, "table1-toy-turbo"),
        "table 2": partial(paper.table_2, results),
        "tables 3 and 4": partial(paper.paired, results, "table3-toy-turbo", "table4-toy-turbo"),
        "table 5": partial(paper.paired, results, "table5-toy-turbo"),
        "table 6": partial(paper.paired, results, "table6-toy-turbo"),
        "figure 1": partial(paper.by_steps, results, "fig1-toy-turbo"),
        "figure 3": partial(paper.pruned, results),
        "figure 4": partial(paper.paired, results, "fig4-toy-turbo"),
        "key results": partial(readme.key_results, results),
        "adherence": partial(readme.adherence, results),
        "scaling": readme.scaling,
        "peers toy": partial(peers.comparison, results, "toy"),
        "peers toy-turbo": partial(peers.comparison, results, "toy-turbo"),
        **{f"peers {key}": partial(peers.of_method, results, key) for key in peers.METHODS},
        **{
            f"tuned {kind.__name__} {model}": partial(kind, results, model)
            for kind in (tuned.study, tuned.dynamic, tuned.claims)
            for model in tuned.MODELS
        },
        **{
            f"tuned {kind.__name__}": partial(kind, results)
            for kind in (tuned.cost, tuned.captions, tuned.fewer, tuned.similarity)
        },
        "peers packages": partial(peers.packages, results),
        "peers full size": partial(peers.full_size, results),
        "peers full size times": partial(peers.full_size_times, results),
        "peers steps": partial(peers.steps, results),
        "peers cells": partial(peers.cells, results),
        "parts": partial(machines.parts, results),
        **({"toy throughput": partial(training.throughput, results)} if "toy-throughput" in results.found else {}),
        **{
            f"toy study {kind}": partial(training.study, results, kind)
            for kind in training.KINDS
            if training.of_kind(results, kind)
        },
    }
    return made
