"""Agreement of a probe's scores with the measured damage of bypassing each block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ...engine.drawing import draw
from ...engine.request import validate
from ...methods.base import Drawing
from ...models.loading import LoadedModel
from ...patching.blocks import target_blocks
from ...probing.ablation import agreement, sensitivity
from ...probing.importance_probe import probe
from ...probing.search import PRESETS
from ...scoring import Scorer
from ...storage.rowfile import Row, RowFile, check_settings, key_of, read_rows
from ..stats.intervals import bootstrap

OUTPUT, PICTURE, SCORE = "output", "picture", "score"
SCALING = "scaling by 2%"
DIAGNOSTICS = {
    "acceptance": "acceptance_rate", "bypasses": "bypasses_fired", "spread": "vote_spread", "samples": "unet_samples",
}  # fmt: skip


@dataclass(frozen=True)
class AblationAgreement:
    """Results for each preset, over n prompts.

    damage: {kind: (T, m)}, the damage of bypassing each block alone, mean over the prompts: the error of the U-Net's
    output, that of the picture and, with a scorer, the loss of score. tau: {preset: (n, kinds)}, Kendall's tau-b of the
    scores with each kind of damage, and with the output's error when each block is scaled by 2%. acceptance, bypasses,
    spread: {preset: (n,)}, acceptance rate, bypasses fired, and mean bootstrap standard deviation of a score. samples:
    {preset: (n,)}, U-Net samples. scores: {preset: (T, m)}, mean over the prompts.
    """

    prompts: tuple[str, ...]
    tau: dict[str, np.ndarray]
    acceptance: dict[str, np.ndarray]
    bypasses: dict[str, np.ndarray]
    spread: dict[str, np.ndarray]
    samples: dict[str, np.ndarray]
    scores: dict[str, np.ndarray]
    damage: dict[str, np.ndarray]

    def mean_tau(self, name: str, against: str) -> tuple[float, float, float]:
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
    folder: Path | None = None,
    on_progress: Callable[[str, float], None] = lambda *_: None,
) -> AblationAgreement:
    """Probe every prompt with every preset, and bypass every block. ValueError if there are no prompts.

    surrogate: used for the presets that allow one. folder: stores a row for each prompt and preset, from which another
    call resumes; ValueError if its rows have other settings.
    """
    if not prompts:
        raise ValueError("There are no prompts: give at least one.")
    if folder is None:
        with TemporaryDirectory() as place:
            return measure(
                loaded, prompts, steps=steps, guidance=guidance, presets=presets, runs=runs, candidates=candidates,
                surrogate=surrogate, scorer=scorer, seed=seed, folder=Path(place), on_progress=on_progress,
            )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    check_settings(folder, {
        "model": loaded.source, "revision": loaded.revision, "dtype": loaded.dtype, "guidance": guidance, "runs": runs,
        "candidates": candidates, "surrogate": surrogate,
        "scorer": f"{scorer.name} {scorer.version}" if scorer else "none",
    })  # fmt: skip
    file, done = RowFile(folder), read_rows(folder)
    options = {"steps": steps, "seed": seed, "guidance_scale": guidance}
    names = ("bypassed", *presets)
    rows: dict[tuple[str, str], Row] = {}
    for number, prompt in enumerate(prompts):
        for part, name in enumerate(names):
            on_progress(f"{name}: {prompt}", (number + part / len(names)) / len(prompts))
            row = {"category": "held out", "prompt": prompt, "seed": seed, "steps": steps, "variant": name}
            if (key := key_of(row)) not in done:
                if name == "bypassed":
                    row |= _damage(loaded, prompt, scorer, options)
                else:
                    settings = {"runs": runs, "candidates": candidates}
                    settings["surrogate"] = surrogate and PRESETS[name].allows_surrogate
                    table = probe(loaded.pipe, prompt, preset=name, **settings, **options)
                    row |= {"scores": table.scores.tolist()} | {
                        ours: float(np.mean(table.diagnostics[theirs])) for ours, theirs in DIAGNOSTICS.items()
                    }
                file.append(row)
                done[key] = row
            rows[prompt, name] = done[key]
    return _gathered(prompts, presets, rows)


def _damage(loaded: LoadedModel, prompt: str, scorer: Scorer | None, options: dict[str, Any]) -> Row:
    damage = {OUTPUT: sensitivity(loaded.pipe, prompt, bypass=True, **options)}
    damage |= damage_to_picture(loaded, prompt, scorer=scorer, **options)
    scaled = sensitivity(loaded.pipe, prompt, **options)
    return {"damage": {kind: values.tolist() for kind, values in damage.items()}, "scores": scaled.tolist()}


def _gathered(
    prompts: Sequence[str], presets: Sequence[str], rows: dict[tuple[str, str], Row]
) -> AblationAgreement:  # fmt: skip
    damages = [rows[prompt, "bypassed"]["damage"] for prompt in prompts]
    kinds = list(damages[0])
    scores = {name: [np.array(rows[prompt, name]["scores"]) for prompt in prompts] for name in presets}
    scores[SCALING] = [np.array(rows[prompt, "bypassed"]["scores"]) for prompt in prompts]
    return AblationAgreement(
        prompts=tuple(prompts),
        tau={
            name: np.array([
                [agreement(one, np.array(damage[kind])) for kind in kinds]
                for one, damage in zip(found, damages, strict=True)
            ])
            for name, found in scores.items()
        },
        scores={name: np.mean(found, axis=0) for name, found in scores.items()},
        damage={kind: np.mean([damage[kind] for damage in damages], axis=0) for kind in kinds},
        **{
            what: {name: np.array([rows[prompt, name][what] for prompt in prompts]) for name in presets}
            for what in DIAGNOSTICS
        },
    )  # fmt: skip


def damage_to_picture(
    loaded: LoadedModel, prompt: str, *, steps: int, seed: int, guidance_scale: float, scorer: Scorer | None = None,
    batch: int = 8,
) -> dict[str, np.ndarray]:  # fmt: skip
    """The damage to the picture when a block is bypassed at one step, (T, m) for each kind.

    "picture": mean squared difference from vanilla, in [0, 1]; "score", with a scorer: vanilla's score minus its own.
    """
    m = len(target_blocks(loaded.pipe.unet))
    masks = np.eye(steps * m, dtype=bool).reshape(-1, steps, m)
    card = loaded.card
    request = validate(card, prompt=prompt, model=card.key, seed=seed, steps=steps, guidance=guidance_scale)
    plain = Drawing(steps, guidance_scale, card.family)
    drawn = [draw(loaded, request, "vanilla", plain)]
    for part in np.array_split(masks, -(-len(masks) // batch)):
        bypassing = Drawing(steps, guidance_scale, card.family, weights=np.ones(part.shape), bypass=part)
        drawn.append(draw(loaded, request, "reweighted", bypassing))
    pictures = np.concatenate([part.pixels for part in drawn])
    damage = {PICTURE: np.square(pictures[1:] - pictures[0]).mean((1, 2, 3))}
    if scorer is not None:
        images = [image for part in drawn for image in part.images]
        scores = scorer.score(images, [prompt] * len(images))
        damage[SCORE] = scores[0] - scores[1:]
    return {kind: np.asarray(values, float).reshape(steps, m) for kind, values in damage.items()}
