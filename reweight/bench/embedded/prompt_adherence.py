"""Prompt adherence and picture quality of the embedded model.

Pictures of held-out combinations are classified by the judge, a classifier trained separately from the generator, and
every figure is compared with the judge's result on real pictures.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...engine.drawing import draw
from ...engine.request import validate
from ...models.loading import LoadedModel, load_model
from ...models.registry import ASSETS, ModelCard, card_for
from ...toy.judges.classifier import ATTRIBUTES, Judge, tally, unspoilt
from ...toy.train.autoencoder import to_tensor
from ...toy.world.paint import World, read_art
from ...toy.world.scenes import Scene, draw_caption, parse
from ..stats.figure import Figure
from ..stats.frechet import frechet
from ..stats.intervals import bootstrap, wilson
from .held_out import captions
from .levels import levels_in_use
from .speed import sizes, timing

SEED = 202  # of the held-out scenes; the judge's ceilings use other scenes
BATCH = 16
PROMPTS = 8  # for the test of the U-Net's levels
ATTRIBUTE_GOALS = {"base": {20: 0.95}, "turbo": {2: 0.92, 1: 0.85}}  # shares of the ceiling, by number of steps
RELATION_GOAL = 0.85
PSNR_GOAL = 32.0
FRECHET_GOALS = {"base": 2.0, "turbo": 1.5}  # multiples of the autoencoder's distance, and of the base model's
Report = Callable[[str, float], None]


def draw_all(loaded: LoadedModel, scenes: list[Scene], steps: int, on_progress: Report = lambda *_: None) -> np.ndarray:
    """A picture of each scene at the model's default guidance, uint8 (n, 128, 128, 3); scene i has seed i."""
    card = loaded.card
    parts: list[np.ndarray] = []
    for i in range(0, len(scenes), BATCH):
        prompts = [full_caption(scene, i + k) for k, scene in enumerate(scenes[i : i + BATCH])]
        request = validate(card, prompt=prompts[0], model=card.key, steps=steps)
        drawn = draw(loaded, request, prompts=prompts, seeds=range(i, i + len(prompts)))
        parts += [np.asarray(image) for image in drawn.images]
        on_progress(f"{steps} steps", len(parts) / len(scenes))
    return np.stack(parts)


def full_caption(scene: Scene, index: int) -> str:
    """A caption that describes the scene completely."""
    rng = np.random.default_rng([SEED, index, 3])
    while parse(caption := draw_caption(scene, rng)) != scene:
        pass
    return caption


def adherence(
    loaded: LoadedModel, judge: Judge, scenes: list[Scene], steps: int, on_progress: Report = lambda *_: None
) -> tuple[list[Figure], np.ndarray]:
    """Adherence of attributes and relations at a number of steps, and features (n, 128) of single subjects."""
    answers, features = judge.read(draw_all(loaded, scenes, steps, on_progress))
    goals = {name: ATTRIBUTE_GOALS[kind(loaded.card)].get(steps) for name in ATTRIBUTES}
    goals["relation"] = RELATION_GOAL
    figures = []
    for name, (right, of) in tally(scenes, answers).items():
        ceiling = judge.ceilings.get(name)
        figures.append(
            Figure(
                name,
                right / of,
                *wilson(right, of),
                steps=steps,
                ceiling=ceiling and ceiling[0] / ceiling[1],
                goal=goals.get(name),
                against="share",
            )
        )
    return figures, features[[len(scene.things) == 1 for scene in scenes]]


def distance(name: str, features: np.ndarray, judge: Judge, **beside: Any) -> Figure:
    """The Fréchet distance of features (n, 128) from those of real pictures."""

    def measure(rows: np.ndarray) -> float:
        return frechet(rows, judge.mean, judge.covariance)

    return Figure(name, measure(features), *bootstrap(measure, features, draws=50, biased=True), less=True, **beside)


@torch.inference_mode()
def autoencoder(loaded: LoadedModel, judge: Judge, real: np.ndarray) -> list[Figure]:
    """The reconstruction quality of the autoencoder on real pictures of single subjects, uint8 (n, 128, 128, 3)."""
    vae = loaded.pipe.vae
    made = []
    for i in range(0, len(real), BATCH):
        latents = vae.encode(to_tensor(real[i : i + BATCH], loaded.device).to(vae.dtype)).latent_dist.mode()
        decoded = vae.decode(latents).sample.float().clamp(-1, 1).permute(0, 2, 3, 1).cpu().numpy()
        made.append(((decoded + 1) * 127.5).round().astype(np.uint8))
    again = np.concatenate(made)
    errors = ((real.astype(np.float64) - again) ** 2).mean((1, 2, 3))
    psnr = 10 * np.log10(255**2 / np.maximum(errors, 1e-12))
    return [
        Figure("autoencoder PSNR", float(psnr.mean()), *bootstrap(np.mean, psnr), unit="dB", goal=PSNR_GOAL),
        distance("Frechet distance of other real pictures", judge.read(real)[1], judge),
        distance("Frechet distance of the autoencoder's own", judge.read(again)[1], judge),
    ]


def measure(
    model: str, judge: Judge, *, singles: int, pairs: int, steps: tuple[int, ...] = (), art: Path | None = None,
    timed: bool = True, on_progress: Report = lambda *_: None,
) -> dict[str, Any]:  # fmt: skip
    """Every figure of a model, as in `metrics.json`. singles, pairs: the number of held-out scenes of each kind.

    steps: by default those that have goals. art: the archive of images that scenes are painted from; without it there
    are no real pictures, and the autoencoder is not measured.
    """
    if not card_for(model, local=True).embedded:
        raise ValueError(f"{model} is not an embedded model: only those draw the world that the judge knows.")
    took = []
    if timed:  # in a separate process where, as in the app, only the engine's thread computes
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
            took = apart.submit(timing, model, hurried=kind(card_for(model, local=True)) == "turbo").result()
    world = None if art is None else World(read_art(art))
    loaded = load_model(model)
    alone = unspoilt(SEED, singles, pairs=0.0)
    scenes = [*alone.values(), *unspoilt(SEED, pairs, pairs=1.0).values()]
    found = []
    if world is not None:
        real = [world.render(scene, np.random.default_rng([SEED, i, 1])) for i, scene in alone.items()]
        found = autoencoder(loaded, judge, np.stack(real))
    yardsticks = {"base": found[-1].value if found else None, "turbo": _base_distance()}
    for number in steps or tuple(ATTRIBUTE_GOALS[kind(loaded.card)]):
        adhered, features = adherence(loaded, judge, scenes, number, on_progress)
        far = distance(
            "Frechet distance", features, judge, steps=number, ceiling=yardsticks[kind(loaded.card)],
            goal=FRECHET_GOALS[kind(loaded.card)], against="share",
        )  # fmt: skip
        found += [*adhered, far]
    found += [*levels_in_use(loaded, captions(PROMPTS)), *sizes(model), *took]
    return {
        "format": "reweight-metrics-1", "model": model, "revision": loaded.revision, "judge": judge.digest[:12],
        "seed": SEED, "singles": len(alone), "pairs": len(scenes) - len(alone), "guidance": loaded.card.guidance,
        "device": loaded.device, "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(), "torch": torch.__version__,
        "figures": [figure.as_json() for figure in found], "said": [figure.line() for figure in found],
    }  # fmt: skip


def kind(card: ModelCard) -> str:
    """The kind of a model: "turbo" if it runs without guidance, else "base"."""
    return "base" if card.guidance > 1 else "turbo"


def _base_distance() -> float | None:
    """The base model's Fréchet distance at its largest number of steps, if it has been measured."""
    path = ASSETS / "toy" / "metrics.json"
    if not path.is_file():
        return None
    figures = [
        figure
        for figure in json.loads(path.read_text(encoding="utf-8"))["figures"]
        if figure["name"] == "Frechet distance"
    ]
    return max(figures, key=lambda figure: figure["steps"])["value"] if figures else None
