"""`python -m reweight bench toy-scorer`: the toy scorer's caption retrieval and sensitivity to damage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np

    from ...scoring.toy_scorer import ToyScorer
    from ...toy.world.scenes import Scene

SEED = 303  # of the held-out scenes
AMONG = 64
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
RETRIEVAL_GOAL, DAMAGE_GOAL = 0.95, 0.97


def measure(scorer: ToyScorer, scenes: list[Scene], real: np.ndarray) -> dict[str, Any]:
    """Retrieval among 64 captions, and how often damage lowers the score, on held-out scenes and their pictures.

    real: uint8 (n, 128, 128, 3). The last figure is how often the score falls from one level of damage to the next.
    """
    import numpy as np
    import torch
    from PIL import Image

    from ...scoring.convnet import as_batch
    from ...toy.judges.damage import DAMAGES, damaged
    from ..stats.figure import Figure
    from ..stats.intervals import wilson
    from .prompt_adherence import full_caption

    captions = [full_caption(scene, i) for i, scene in enumerate(scenes)]
    images = [Image.fromarray(picture) for picture in real]
    alike = scorer.features(images) @ scorer.text_features(captions).T
    found = np.concatenate([
        alike[i : i + AMONG, i : i + AMONG].argmax(1) == np.arange(min(AMONG, len(images) - i))
        for i in range(0, len(images), AMONG)
    ])  # fmt: skip
    lower, falling = [], []
    for kind in DAMAGES:
        scores = []
        for level in LEVELS:
            x = damaged(as_batch(real), kind, level, torch.Generator().manual_seed(SEED))
            altered = ((x.permute(0, 2, 3, 1).numpy() + 1) * 127.5).round().astype(np.uint8)
            scores.append(scorer.score([Image.fromarray(picture) for picture in altered], captions))
        lower.append(np.stack(scores[1:]) < scores[0])
        falling.append(np.diff(scores, axis=0) < 0)

    def figure(name: str, hits: Any, goal: float | None = None) -> Figure:
        right, of = int(np.sum(hits)), int(np.size(hits))
        return Figure(name, right / of, *wilson(right, of), goal=goal)

    figures = [
        figure(f"retrieval among {AMONG}", found, RETRIEVAL_GOAL),
        figure("damaged scored lower", lower, DAMAGE_GOAL),
        *(figure(f"damaged scored lower, {kind}", hits) for kind, hits in zip(DAMAGES, lower, strict=True)),
        figure("steps of damage that lower the score", falling),
    ]
    return {
        "format": "reweight-metrics-1", "model": scorer.name, "version": scorer.version, "seed": SEED,
        "pictures": len(images), "levels": LEVELS, "figures": [one.as_json() for one in figures],
        "said": [one.line() for one in figures],
    }  # fmt: skip


def command(
    art: Annotated[Path, typer.Option(help="The training art, from which real pictures are painted.")],
    count: Annotated[int, typer.Option(help="Held-out scenes.")] = 512,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("assets/toy-scorer/metrics.json"),
) -> None:
    """Measure the toy scorer on real pictures of held-out scenes."""
    import numpy as np
    from rich.console import Console

    from ...scoring.toy_scorer import load_toy_scorer
    from ...toy.judges.classifier import unspoilt
    from ...toy.world.paint import World, read_art
    from ..stats.result_file import file_for, write_json

    console, scorer, world = Console(stderr=True), load_toy_scorer(), World(read_art(art))
    file_for(out)
    scenes = unspoilt(SEED, count, pairs=0.25)
    with console.status("Painting and measuring"):
        real = [world.render(scene, np.random.default_rng([SEED, i, 1])) for i, scene in scenes.items()]
        metrics = measure(scorer, [*scenes.values()], np.stack(real))
    write_json(out, metrics)
    for sentence in [*metrics["said"], f"Wrote {out}."]:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
