"""`python -m reweight bench proposition`: Proposition 1 on real pictures, and each block's weight with the least error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...probing.proposition import Parabolas

SEED = 404  # of the held-out scenes


def command(
    art: Annotated[Path, typer.Option(help="The training art, from which real pictures are painted.")],
    model: Annotated[str, typer.Option(help="An embedded model, or a folder with one of its world.")] = "toy",
    count: Annotated[int, typer.Option(min=2, help="Real pictures of held-out scenes.")] = 64,
    timesteps: Annotated[str, typer.Option(help="Training timesteps, separated by commas.")] = "949,749,549,349,149",
    out: Annotated[Path, typer.Option(help="A folder for proposition.json and proposition.png.")] = Path("bench"),
) -> None:
    """Measure Var(eps - eps_hat) against each block's weight, and its parabola's minimum: at most 1, by Eq. 4."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from ...models.loading import load_model
    from ...probing.proposition import proposition_1
    from ...toy.judges.classifier import unspoilt
    from ...toy.train.autoencoder import to_tensor
    from ...toy.world.paint import World, read_art
    from ..embedded.prompt_adherence import full_caption
    from ..stats.result_file import write_figure, write_json
    from ..stats.run_info import run_info
    from ..tables.table_commands import whole_numbers

    console, world = Console(stderr=True), World(read_art(art))
    out.mkdir(parents=True, exist_ok=True)
    loaded = load_model(model, local=True)
    scenes = unspoilt(SEED, count, pairs=0.25)
    pictures = np.stack([world.render(scene, np.random.default_rng([SEED, i, 1])) for i, scene in scenes.items()])
    vae = loaded.pipe.vae
    with torch.inference_mode(), console.status("Measuring"):
        latents = vae.encode(to_tensor(pictures, loaded.device).to(vae.dtype)).latent_dist.mode()
        found = proposition_1(
            loaded.pipe, [full_caption(scene, i) for i, scene in enumerate(scenes.values())],
            latents * vae.config.scaling_factor, timesteps=whole_numbers(timesteps, "timesteps"),
        )  # fmt: skip
    table = Table(
        "block", *(f"t = {t}" for t in found.timesteps),
        title=f"{model}: weight of least error, {len(pictures)} real pictures, 95% intervals",
    )  # fmt: skip
    for i, block in enumerate(found.blocks):
        cells = zip(found.minimum[:, i], found.low[:, i], found.high[:, i], strict=True)
        table.add_row(
            block, *("{:.3f} [{:.3f}, {:.3f}]".format(*cell) if np.isfinite(cell).all() else "–" for cell in cells)
        )
    Console(width=max(130, Console().width)).print(table)
    console.print(sentence(found), highlight=False, soft_wrap=True)
    values = {name: getattr(found, name) for name in vars(found)}
    figures = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}
    origin = run_info("proposition", loaded, seed=SEED, pictures=len(pictures))
    write_json(out / "proposition.json", origin | figures)
    write_figure(out / "proposition.png", figure(found))


def sentence(found: Parabolas) -> str:
    """How many minima have a 95% interval below 1, around 1, above 1, and none, as text."""
    known = np.isfinite(found.low) & np.isfinite(found.high)
    below, above = int((known & (found.high < 1)).sum()), int((known & (found.low > 1)).sum())
    around = int(known.sum()) - below - above
    return (
        f"Of {found.minimum.size} minima {below} have a 95% interval below 1, {around} one that holds 1 and {above} one "
        f"above 1; {int((~known).sum())} have none, as some resamples have no minimum. "
        f"A parabola explains at least {found.explained.min():.1%} of each curve."
    )


def figure(found: Parabolas) -> Figure:
    """A figure of each block's weight with the least error over the timesteps, where it has an interval."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(7, 4), layout="constrained")
    axes = drawn.subplots()
    places = np.arange(len(found.timesteps))
    for i, block in enumerate(found.blocks):
        known = np.isfinite(found.low[:, i]) & np.isfinite(found.high[:, i])
        at = np.where(known, found.minimum[:, i], np.nan)
        ends = np.abs(np.stack([found.low[:, i], found.high[:, i]]) - at)
        axes.errorbar(
            places + 0.05 * (i - len(found.blocks) / 2), at, ends, marker="o", ms=4, lw=1, label=f"block {block}"
        )
    axes.axhline(1, color="grey", lw=1, ls="--")
    axes.set_xticks(places, [f"t = {t}" for t in found.timesteps])
    axes.set_ylabel("weight of least error")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return drawn
