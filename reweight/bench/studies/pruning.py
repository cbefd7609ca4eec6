"""`python -m reweight bench pruning`: Figure 3, with fine-tuning after pruning."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROMPT = "Some cut up fruit is sitting in a blender."
MAY_CHANGE = ("device", "threads", "versions")
KINDS = ("static", "symmetric", "skip-1", "skip-2")


def command(
    out: Annotated[Path, typer.Option(help="A folder for the results, from which a later run resumes.")],
    model: Annotated[str, typer.Option(help="A name, a folder, or owner/name on the hub.")] = "toy",
    prompt: Annotated[str, typer.Option(help="The prompt; by default the paper's.")] = PROMPT,
    steps: Annotated[int, typer.Option(min=1, max=4, help="Denoising steps.")] = 2,
    kind: Annotated[list[str] | None, typer.Option(help="static, symmetric, skip-1, skip-2; by default all.")] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Number of evaluated pictures, with seeds from 42.")] = 100,
    epochs: Annotated[int, typer.Option(min=0, help="Epochs of fine-tuning; 0 for none.")] = 300,
    batch: Annotated[int, typer.Option(min=1, help="Pictures per epoch.")] = 8,
    rate: Annotated[float, typer.Option(help="Adam's learning rate; the paper's code has 5e-6.")] = 5e-6,
    scorer: Annotated[
        str, typer.Option(help="The scorer whose features are compared: auto, toy, hps, hps-v2.1 or none.")
    ] = "auto",
    perceptual: Annotated[
        bool,
        typer.Option("--lpips", help="Measure LPIPS too: needs torchvision, and downloads AlexNet's weights once."),
    ] = False,
    device: Annotated[str | None, typer.Option(help="cuda or cpu; by default the fastest available.")] = None,
) -> None:
    """Prune blocks by rank and by position, fine-tune, and compare with the whole model's pictures."""
    from PIL import Image
    from rich.console import Console
    from rich.progress import Progress

    from ...models.loading import load_model
    from ...patching.blocks import target_blocks
    from ...probing.importance_probe import probe
    from ...scoring import lpips, scorer_named
    from ...scoring.scorers import Loading
    from ..stats.choices import check_scorer
    from ..stats.result_file import write_figure, write_json
    from ..stats.run_info import run_info
    from ..tables.experiments import experiment
    from .pruned_student import fine_tuned, likeness, pictures

    if unknown := set(kind or ()) - set(KINDS):
        raise ValueError(f"There is no kind {min(unknown)!r}: choose from {', '.join(KINDS)}.")
    check_scorer(scorer)
    if perceptual:
        lpips(*[[Image.new("RGB", (64, 64))]] * 2)  # fails early if LPIPS is unavailable
    loaded = load_model(model, device=device, dtype="float32", local=True)
    judge = scorer_named(scorer, embedded=loaded.card.embedded, options=Loading(device=loaded.device))
    pipe, guidance = loaded.pipe, loaded.card.guidance
    pipe.set_progress_bar_config(disable=True)
    settings = run_info(
        "pruning", loaded, prompt=prompt, steps=steps, guidance=guidance, seeds=seeds, epochs=epochs, batch=batch,
        rate=rate, scorer=f"{judge.name} {judge.version}" if judge else "none",
    ) | ({"lpips": True} if perceptual else {})  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    path = out / "pruning.json"
    done = _resumed(path, settings)
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("probing", total=1.0)
        scores = probe(pipe, prompt, steps=steps, guidance_scale=guidance).scores
        labels = [block.label for block in target_blocks(pipe.unet)]
        strategies = [
            variant for variant in experiment("fig3", loaded.card, labels, (steps,)).variants
            if variant.table is not None and variant.label.split()[0] in (kind or KINDS)
        ]  # fmt: skip
        numbers = range(42, 42 + seeds)
        drawn = {"steps": steps, "guidance": guidance, "batch": batch}
        judged = {"scorer": judge, "lpips_on": loaded.device if perceptual else None}
        whole = pictures(loaded, prompt, numbers, **drawn)
        for number, variant in enumerate(strategies):
            if variant.label in done:
                continue
            mask = variant.table(scores, 0)
            bar.update(task, description=variant.label, completed=number / len(strategies))
            before = likeness(pictures(loaded, prompt, numbers, mask=mask, **drawn), whole, **judged)
            student = fine_tuned(
                pipe, mask, prompt, guidance=guidance, epochs=epochs, batch=batch, rate=rate,
                on_progress=lambda part, number=number: bar.update(task, completed=(number + part) / len(strategies)),
            )  # fmt: skip
            after = likeness(pictures(loaded, prompt, numbers, mask=mask, unet=student, **drawn), whole, **judged)
            done[variant.label] = {"skipped": mask.tolist(), "before": asdict(before), "after": asdict(after)}
            write_json(path, settings | {"strategies": done})
    _print(done, settings)
    write_figure(out / "pruning.png", figure(done, settings))
    console.print(f"Wrote {out}.", markup=False, highlight=False, soft_wrap=True)


def figure(done: dict[str, Any], settings: dict[str, Any]) -> Figure:
    """A figure of every strategy's error after fine-tuning and distance in features, or SSIM without a scorer."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(7, 4.5), layout="constrained")
    axes = drawn.subplots()
    featured = all(found["after"]["frechet"] is not None for found in done.values())
    for kind, marker in zip(KINDS, "osv^", strict=True):
        points = [found["after"] for label, found in done.items() if label.split()[0] == kind]
        heights = [point["frechet"] if featured else 1 - point["ssim"][0] for point in points]
        if points:
            axes.scatter([point["mse"][0] for point in points], heights, label=kind, marker=marker, alpha=0.7, s=60)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("mean squared error from the whole model's picture")
    axes.set_ylabel(f"Frechet distance ({settings['scorer']})" if featured else "1 - SSIM")
    axes.set_title(
        f"Blocks left out at {settings['steps']} steps, {settings['epochs']} epochs of fine-tuning", fontsize=10
    )
    axes.legend()
    return drawn


def _resumed(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The strategies measured by an earlier run. ValueError if its settings differ."""
    if not path.is_file():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    for name, value in settings.items():
        if name in MAY_CHANGE:
            continue
        if found.get(name) != value:
            raise ValueError(f"{path} was made with {name} {found.get(name)!r}, not {value!r}: give another --out.")
    return found["strategies"]


def _print(done: dict[str, Any], settings: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    n = settings["seeds"]
    table = Table(
        "", "MSE before", "MSE after", "SSIM after", "LPIPS after", "cosine after", "Frechet before", "Frechet after",
        title=f"{settings['model']}, {settings['steps']} steps, {n} pictures: mean ± standard deviation",
    )  # fmt: skip
    for label, found in done.items():
        before, after = found["before"], found["after"]
        cells = [before["mse"], after["mse"], after["ssim"], after.get("lpips"), after["cosine"]]
        frechets = [part["frechet"] for part in (before, after)]
        table.add_row(
            label, *("" if cell is None else f"{cell[0]:.4f} ± {cell[1]:.4f}" for cell in cells),
            *("" if value is None else f"{value:.4f}" for value in frechets),
        )  # fmt: skip
    Console(width=max(130, Console().width)).print(table)
