"""`python -m reweight.toy study | throughput`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def study(
    art: Annotated[Path, typer.Option(help="The archive that `npm pack @lobehub/fluent-emoji-3d@1.1.0` makes.")],
    minutes: Annotated[
        int, typer.Option(help="Of each arm: on the processor, all threads together; on CUDA as they pass.")
    ] = 5,
    arms: Annotated[str, typer.Option(help="Their names with commas between, or all.")] = "all",
    work: Annotated[Path, typer.Option(help="Where checkpoints and what is made beforehand are kept.")] = Path(
        "work/study"
    ),
    base: Annotated[str, typer.Option(help="The model whose weights every arm begins with.")] = "toy",
    new: Annotated[
        bool, typer.Option("--new", help="Begin with random weights instead; for arms of the base model.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The results, as JSON.")] = Path("docs/results/toy-study.json"),
    figure: Annotated[Path | None, typer.Option(help="The plot, as PNG.")] = None,
    pictures: int = 2048,
    held: Annotated[int, typer.Option(help="Pictures of held-out combinations for the validation loss.")] = 192,
    pairs: Annotated[int, typer.Option(help="Pairs of noise and endpoint that reflow learns from.")] = 256,
    workers: int = 1,
) -> None:
    """Train every arm from the same weights, on the same batches, for the same minutes; measure each. Resumable."""
    from ...bench.stats.result_file import file_for, write_json
    from .arms import chosen
    from .run import Size, Study, results, train

    wanted = chosen(arms)
    if minutes < 1:
        raise ValueError(f"An arm needs at least 1 minute, not {minutes}.")
    for name, count, least in (("pictures", pictures, 64), ("held", held, 64), ("pairs", pairs, 64)):
        if count < least:
            raise ValueError(f"--{name} {count} is too few: ask for at least {least}.")
    if new and (wrong := [arm.key for arm in wanted if arm.kind != "base"]):
        raise ValueError(f"The arm {wrong[0]!r} needs a teacher: leave it out, or --new.")
    file_for(out)
    console = Console()

    def report(stage: str, fraction: float, text: str) -> None:
        console.print(f"{stage:>16} {fraction:6.1%}  {text}", highlight=False)

    size = Size(pictures=pictures, held=held, pairs=pairs, held_pairs=min(48, held))
    study = Study(work, art, base, size, workers, report, new)
    found = results(study, train(study, wanted, minutes), minutes)
    write_json(out, found)
    console.print(f"Wrote {out}.")
    if figure is not None:
        from .plot import draw

        draw(found, figure)
        console.print(f"Wrote {figure}.")


def throughput(
    model: Annotated[str, typer.Option(help="An embedded model, or its folder.")] = "toy",
    threads: Annotated[str, typer.Option(help="Numbers of threads, with commas between.")] = "1,2",
    batch: int = 64,
    tries: Annotated[int, typer.Option(help="Steps timed in each way; the fastest is shown.")] = 3,
    ways: Annotated[
        str, typer.Option(help="Of computing: those whose name contains this. Compiling takes minutes.")
    ] = "",
    out: Annotated[
        Path, typer.Option(help="The results, as JSON; other ways measured there of the same model stay.")
    ] = Path("docs/results/toy-throughput.json"),
) -> None:
    """Measure a training step by stage, and its share of this machine's matrix speed."""
    import torch

    from ...bench.stats.result_file import file_for, write_json
    from ...models.loading import load_model
    from ..train.throughput import VARIANTS, joined, measure

    try:
        counts = tuple(int(part) for part in threads.split(","))
    except ValueError:
        raise ValueError(f"{threads!r} are no numbers of threads: give such as 1,2.") from None
    variants = tuple(variant for variant in VARIANTS if ways in variant.name)
    if not variants:
        raise ValueError(f"No way of computing is called {ways!r}: there are {'; '.join(v.name for v in VARIANTS)}.")
    file_for(out)
    console = Console()
    loaded = load_model(model, device="cuda" if torch.cuda.is_available() else "cpu", dtype="float32", local=True)
    for count in counts:
        for variant in variants:
            found = measure(loaded, variants=(variant,), threads=(count,), batch=batch, tries=tries)
            if out.exists():
                found = joined(json.loads(out.read_text(encoding="utf-8")), found)
            write_json(out, found)
            console.print(f"{count} threads, {variant.name}: written.", highlight=False)
    console.print(f"Wrote {out}.")
