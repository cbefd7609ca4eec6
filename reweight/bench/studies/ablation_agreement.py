"""Does a probe measure importance? Its scores beside the damage that bypassing each block really does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...models.loading import LoadedModel
from ...patching.blocks import target_blocks
from ...patching.patch import bypassed
from ...probing.ablation import agreement, sensitivity
from ...probing.importance_probe import probe
from ...probing.search import PRESETS
from ...scoring import Scorer
from ..stats.intervals import bootstrap

OUTPUT, PICTURE, SCORE = "output", "picture", "score"
SCALING = "scaling by 2%"


@dataclass(frozen=True)
class Faithfulness:
    """What was found for each preset, over n prompts.

    damage: {kind: (T, m)} what bypassing each block alone does, mean over the prompts: the error of the U-Net's output,
    that of the picture and, where there is a scorer, how much lower it scores. tau: {preset: (n, kinds)} Kendall's tau-b
    of the scores with each kind of damage; also of the output's error when each block is scaled by 2%. acceptance,
    bypasses, spread: {preset: (n,)} acceptance rate, bypasses fired and mean bootstrap standard deviation of a score.
    samples: {preset: (n,)} U-Net samples. scores: {preset: (T, m)} mean over the prompts.
    """

    prompts: tuple[str, ...]
    tau: dict[str, np.ndarray]
    acceptance: dict[str, np.ndarray]
    bypasses: dict[str, np.ndarray]
    spread: dict[str, np.ndarray]
    samples: dict[str, np.ndarray]
    scores: dict[str, np.ndarray]
    damage: dict[str, np.ndarray]

    def sure(self, name: str, against: str) -> tuple[float, float, float]:
        """Mean tau-b over the prompts, with its 95% bootstrap interval."""
        taus = self.tau[name][:, list(self.damage).index(against)]
        return float(taus.mean()), *bootstrap(np.mean, taus)

    def as_json(self) -> dict[str, Any]:
        every = {name: value for name, value in vars(self).items() if name != "prompts"}
        return {"prompts": list(self.prompts)} | {
            name: {key: np.round(rows, 6).tolist() for key, rows in value.items()} for name, value in every.items()
        }


def measure(
    loaded: LoadedModel,
    prompts: Sequence[str],
    *,
    steps: int,
    guidance: float,
    presets: Sequence[str] = tuple(PRESETS),
    runs: int | None = None,
    candidates: int | None = None,
    surrogate: bool = False,
    scorer: Scorer | None = None,
    seed: int = 42,
    on_progress: Callable[[str, float], None] = lambda *_: None,
) -> Faithfulness:
    """Probe every prompt by every preset, and bypass every block. ValueError where there are no prompts.

    surrogate: for the presets that can have one.
    """
    if not prompts:
        raise ValueError("There are no prompts: give at least one.")
    pipe = loaded.pipe
    options = {"steps": steps, "seed": seed, "guidance_scale": guidance}
    tables: dict[str, list[Any]] = {name: [] for name in presets}
    damages: dict[str, list[np.ndarray]] = {OUTPUT: []}
    scaled = []
    for number, prompt in enumerate(prompts):
        on_progress(prompt, number / len(prompts))
        damages[OUTPUT].append(sensitivity(pipe, prompt, bypass=True, **options))
        for kind, damage in damage_to_picture(pipe, prompt, scorer=scorer, **options).items():
            damages.setdefault(kind, []).append(damage)
        scaled.append(sensitivity(pipe, prompt, **options))
        for part, name in enumerate(presets):
            on_progress(f"{name}: {prompt}", (number + (part + 1) / (len(presets) + 1)) / len(prompts))
            settings = {"runs": runs, "candidates": candidates, "surrogate": surrogate and PRESETS[name].foreseeable}
            tables[name].append(probe(pipe, prompt, preset=name, **settings, **options))
    ranked = {name: [table.scores for table in found] for name, found in tables.items()} | {SCALING: scaled}

    def diagnostic(name: str) -> dict[str, np.ndarray]:
        return {
            preset: np.array([np.mean(table.diagnostics[name]) for table in found]) for preset, found in tables.items()
        }

    return Faithfulness(
        prompts=tuple(prompts),
        tau={
            name: np.array([
                [agreement(scores, damage[n]) for damage in damages.values()] for n, scores in enumerate(found)
            ])
            for name, found in ranked.items()
        },
        acceptance=diagnostic("acceptance_rate"),
        bypasses=diagnostic("bypasses_fired"),
        spread=diagnostic("vote_spread"),
        samples=diagnostic("unet_samples"),
        scores={name: np.mean(found, axis=0) for name, found in ranked.items()},
        damage={kind: np.mean(damage, axis=0) for kind, damage in damages.items()},
    )  # fmt: skip


def damage_to_picture(
    pipe: Any, prompt: str, *, steps: int, seed: int, guidance_scale: float, scorer: Scorer | None = None,
    batch: int = 8,
) -> dict[str, np.ndarray]:  # fmt: skip
    """What becomes of the picture when a block is bypassed at one step: (T, m) each.

    "picture" is the mean squared difference from vanilla, in [0, 1]; "score", with a scorer, vanilla's score less its own.
    """
    m = len(target_blocks(pipe.unet))
    mask = np.eye(steps * m, dtype=bool).reshape(-1, steps, m)

    def draw(count: int) -> np.ndarray:
        noise = [torch.Generator().manual_seed(seed) for _ in range(count)]
        with torch.inference_mode():
            return pipe(
                prompt, num_inference_steps=steps, guidance_scale=guidance_scale, num_images_per_prompt=count,
                generator=noise, output_type="np",
            ).images  # fmt: skip

    vanilla, drawn = draw(1), []
    for part in np.array_split(mask, -(-len(mask) // batch)):
        with bypassed(pipe, part):
            drawn.append(draw(len(part)))
    pictures = np.concatenate(drawn)
    damage = {PICTURE: np.square(pictures - vanilla).mean((1, 2, 3))}
    if scorer is not None:
        scores = scorer.score(pipe.numpy_to_pil(np.concatenate([vanilla, pictures])), [prompt] * (1 + len(pictures)))
        damage[SCORE] = scores[0] - scores[1:]
    return {kind: np.asarray(values, float).reshape(steps, m) for kind, values in damage.items()}
