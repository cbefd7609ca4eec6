"""`python -m reweight bench surrogate`: whether a probe that foresees most errors finds what the whole search finds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ...models.loading import LoadedModel


@dataclass(frozen=True)
class Both:
    """One prompt probed by one preset, whole and with a surrogate.

    whole, foreseen: U-Net samples. gap: the largest difference between the two's thresholds.
    """

    preset: str
    prompt: str
    whole: int
    foreseen: int
    gap: float


def command(
    model: Annotated[str, typer.Option(help="A name, a folder, or owner/name on the hub.")] = "toy",
    limit: Annotated[int, typer.Option(help="Held-out captions of the embedded model's world.")] = 24,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; by default the model's.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Classifier-free guidance; by default the model's.")] = None,
    preset: Annotated[list[str] | None, typer.Option(help="A preset, again for each; by default the paper's.")] = None,
    runs: Annotated[int | None, typer.Option(help="Runs that vote; by default the preset's.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the best there is.")] = None,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """U-Net samples that a surrogate saves, and how many prompts come out otherwise."""
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from ...models.loading import load_model
    from ...probing.search import PRESETS
    from ..embedded.held_out import captions
    from ..stats.run_info import about

    presets = preset or [name for name, settings in PRESETS.items() if settings.foreseeable]
    if unknown := set(presets) - set(PRESETS):
        raise ValueError(f"There is no preset {min(unknown)!r}: choose from {', '.join(PRESETS)}.")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
    console, found = Console(stderr=True), []
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("loading", total=limit * len(presets))
        loaded = load_model(model, device=device, local=True)
        given = {
            "steps": steps or loaded.card.steps, "runs": runs,
            "guidance": loaded.card.guidance if guidance is None else guidance,
        }  # fmt: skip
        for both in compare(loaded, captions(limit), presets, **given):
            found.append(both)
            bar.update(task, advance=1, description=f"{both.preset}: {both.prompt}"[:60])
    table = Table(
        "", "U-Net samples, whole", "with a surrogate", "times fewer", "prompts that come out otherwise", "largest gap",
        title=f"{model}, {given['steps']} steps, {limit} prompts",
    )  # fmt: skip
    for name in presets:
        rows = [both for both in found if both.preset == name]
        whole, foreseen = (np.array([getattr(both, kind) for both in rows]) for kind in ("whole", "foreseen"))
        gaps = np.array([both.gap for both in rows])
        table.add_row(
            name, f"{whole.mean():.0f}", f"{foreseen.mean():.0f} ({foreseen.min()} to {foreseen.max()})",
            f"{whole.sum() / foreseen.sum():.1f}", f"{(gaps > 1e-6).sum()} of {len(rows)}", f"{gaps.max():.1e}",
        )  # fmt: skip
    Console(width=max(120, console.width)).print(table)
    if out is not None:
        rows = {"prompts": [asdict(both) for both in found]}
        out.write_text(json.dumps(about("surrogate", loaded, **given) | rows, indent=1) + "\n")


def compare(
    loaded: LoadedModel, prompts: Sequence[str], presets: Sequence[str], *, steps: int, guidance: float,
    runs: int | None = None, seed: int = 42,
) -> Iterator[Both]:  # fmt: skip
    """Probe every prompt by every preset, whole and with a surrogate."""
    import numpy as np

    from ...probing.importance_probe import iter_probe

    for prompt in prompts:
        for preset in presets:
            whole, foreseen = (
                last
                for surrogate in (False, True)
                for *_, last in [
                    iter_probe(
                        loaded.pipe, prompt, steps=steps, guidance_scale=guidance, preset=preset, runs=runs, seed=seed,
                        surrogate=surrogate,
                    )
                ]
            )  # fmt: skip
            samples = (last.table.diagnostics["unet_samples"] for last in (whole, foreseen))
            yield Both(preset, prompt, *samples, float(np.abs(whole.thresholds - foreseen.thresholds).max()))
