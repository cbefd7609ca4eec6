"""`python -m reweight bench surrogate`: whether a probe with a surrogate gives the same result as the full search.

A surrogate estimates most candidates' errors by a linear approximation instead of evaluating them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ...models.loading import LoadedModel


@dataclass(frozen=True)
class SearchPair:
    """One prompt probed with one preset, by the full search and with a surrogate.

    full, surrogate: U-Net samples. gap: the largest difference between their thresholds.
    """

    preset: str
    prompt: str
    full: int
    surrogate: int
    gap: float


def command(
    model: Annotated[str, typer.Option(help="A name, a folder, or owner/name on the hub.")] = "toy",
    limit: Annotated[int, typer.Option(help="Held-out captions of the embedded model's world.")] = 24,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; by default the model's.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Classifier-free guidance; by default the model's.")] = None,
    preset: Annotated[list[str] | None, typer.Option(help="A preset; repeat for more; by default the paper's.")] = None,
    runs: Annotated[int | None, typer.Option(help="Runs that vote; by default the preset's.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; by default the fastest available.")] = None,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Measure the U-Net samples that a surrogate saves, and on how many prompts the thresholds differ."""
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from ...models.loading import load_model
    from ...probing.search import PRESETS
    from ..embedded.held_out import captions
    from ..stats.choices import check_presets
    from ..stats.result_file import file_for, write_json
    from ..stats.run_info import run_info

    presets = preset or [name for name, settings in PRESETS.items() if settings.allows_surrogate]
    check_presets(presets)
    file_for(out)
    console, found = Console(stderr=True), []
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("loading", total=limit * len(presets))
        loaded = load_model(model, device=device, local=True)
        given = {
            "steps": steps or loaded.card.steps, "runs": runs,
            "guidance": loaded.card.guidance if guidance is None else guidance,
        }  # fmt: skip
        for pair in compare(loaded, captions(limit), presets, **given):
            found.append(pair)
            bar.update(task, advance=1, description=f"{pair.preset}: {pair.prompt}"[:60])
    table = Table(
        "", "U-Net samples, full search", "with a surrogate", "times fewer", "prompts with other thresholds", "largest gap",
        title=f"{model}, {given['steps']} steps, {limit} prompts",
    )  # fmt: skip
    for name in presets:
        rows = [pair for pair in found if pair.preset == name]
        full, fewer = (np.array([getattr(pair, kind) for pair in rows]) for kind in ("full", "surrogate"))
        gaps = np.array([pair.gap for pair in rows])
        table.add_row(
            name, f"{full.mean():.0f}", f"{fewer.mean():.0f} ({fewer.min()} to {fewer.max()})",
            f"{full.sum() / fewer.sum():.1f}", f"{(gaps > 1e-6).sum()} of {len(rows)}", f"{gaps.max():.1e}",
        )  # fmt: skip
    Console(width=max(120, console.width)).print(table)
    if out is not None:
        rows = {"prompts": [asdict(pair) for pair in found]}
        write_json(out, run_info("surrogate", loaded, **given) | rows)


def compare(
    loaded: LoadedModel, prompts: Sequence[str], presets: Sequence[str], *, steps: int, guidance: float,
    runs: int | None = None, seed: int = 42,
) -> Iterator[SearchPair]:  # fmt: skip
    """Probe every prompt with every preset, by the full search and with a surrogate."""
    import numpy as np

    from ...probing.importance_probe import iter_probe
    from ...probing.probe_request import ProbeRequest

    for prompt in prompts:
        for preset in presets:
            full, fewer = (
                last
                for surrogate in (False, True)
                for *_, last in [
                    iter_probe(
                        loaded.pipe,
                        ProbeRequest.of(
                            prompt, steps=steps, guidance_scale=guidance, preset=preset, runs=runs, seed=seed,
                            surrogate=surrogate,
                        ),
                    )
                ]
            )  # fmt: skip
            samples = (last.table.diagnostics["unet_samples"] for last in (full, fewer))
            yield SearchPair(preset, prompt, *samples, float(np.abs(full.thresholds - fewer.thresholds).max()))
