"""Draws what a table needs, picture by picture, and judges it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ...engine.drawing import draw, sentences
from ...engine.request import Request, validate
from ...models.loading import LoadedModel
from ...patching.blocks import target_blocks
from ...patching.patch import bypassed, reweighted
from ...scoring import ImageFeatures, Scorer, distance, feature_cosine
from ...storage.atomic import write_whole
from ...storage.rowfile import Key, Row, key_of
from ..stats.random_order import order_seed
from .experiments import Experiment, Variant
from .prompts import Prompts
from .score_source import Ranking


@dataclass(frozen=True)
class Item:
    """One prompt with one noise: the unit that processes share out."""

    category: str
    prompt: str
    seed: int


def items(prompts: Prompts, seeds: Sequence[int]) -> list[Item]:
    """Every prompt with every seed, seed by seed, the categories in turn."""
    order = [(category, prompt) for category, listed in prompts.items() for prompt in listed]
    return [Item(category, prompt, seed) for seed in seeds for category, prompt in order]


def keys(experiment: Experiment, work: Sequence[Item]) -> list[Key]:
    """The keys of all rows that an experiment will have."""
    variants = experiment.variants
    return [
        (item.category, item.prompt, item.seed, variant.steps, variant.name) for item in work for variant in variants
    ]


class Sampler:
    """Draws an item's variants from the same noise. batch_size: how many re-weighted ones are drawn together.

    Vanilla is drawn without any patch, and for each item anew if another variant has to be compared with it.
    """

    def __init__(
        self, loaded: LoadedModel, experiment: Experiment, ranking: Ranking, scorer: Scorer | None, *,
        batch_size: int = 1, pictures: Path | None = None,
    ) -> None:  # fmt: skip
        if batch_size < 1:
            raise ValueError(f"The batch size is at least 1, not {batch_size}.")
        self.loaded, self.experiment, self.ranking, self.scorer = loaded, experiment, ranking, scorer
        self.batch_size, self.pictures = batch_size, pictures

    def rows(self, item: Item, done: Collection[Key]) -> Iterator[Row]:
        """A row for each variant that is not done yet, as soon as its picture is judged."""
        for steps in dict.fromkeys(variant.steps for variant in self.experiment.variants):
            variants = [variant for variant in self.experiment.variants if variant.steps == steps]
            due = [variant for variant in variants if key_of(_named(item, variant)) not in done]
            if due:
                yield from self._at(item, steps, due)

    def _at(self, item: Item, steps: int, due: list[Variant]) -> Iterator[Row]:
        request = self.request(item.prompt, item.seed, steps)
        (vanilla,), seconds = _timed(lambda: [draw(self.loaded, request, "vanilla")])
        for group in self._groups(due):
            if group[0].method == "vanilla":
                pictures, each = [vanilla], seconds
            else:
                tables = self._tables(group, request)
                pictures, took = _timed(lambda group=group, tables=tables: self._draw(request, group, tables))
                each = took / len(group)
            scores = None if self.scorer is None else self.scorer.score(pictures, [item.prompt] * len(pictures))
            alike = self._cosines(pictures, vanilla)
            for i, (variant, picture) in enumerate(zip(group, pictures, strict=True)):
                far = distance(picture, vanilla)
                row = _named(item, variant) | {
                    "score": None if scores is None else float(scores[i]), "ssim": far.ssim,
                    "mean_difference": far.mean_difference, "cosine": alike and alike[i], "seconds": round(each, 4),
                }  # fmt: skip
                if self.pictures is not None:
                    self._keep(picture, row)
                yield row

    def request(self, prompt: str, seed: int, steps: int) -> Request:
        """What is asked of the model. ValueError of one sentence where it cannot do that."""
        card = self.loaded.card
        return validate(card, prompt=prompt, model=card.key, seed=seed, steps=steps)

    def _cosines(self, pictures: list[Image.Image], vanilla: Image.Image) -> list[float] | None:
        """Cosines with vanilla in the scorer's image features, None where it has no such features."""
        if not isinstance(self.scorer, ImageFeatures):
            return None
        return feature_cosine(pictures, [vanilla] * len(pictures), self.scorer).tolist()

    def _groups(self, due: list[Variant]) -> Iterator[list[Variant]]:
        for variant in due:
            if variant.method != "weights":
                yield [variant]
        weighted = [variant for variant in due if variant.method == "weights"]
        for i in range(0, len(weighted), self.batch_size):
            yield weighted[i : i + self.batch_size]

    def _tables(self, group: list[Variant], request: Request) -> list[np.ndarray]:
        """Weights or masks (T, m), one for each variant that has them."""
        made = [variant for variant in group if variant.table is not None]
        if any(variant.probed for variant in made):
            scores = self.ranking.scores(self.loaded, request)
        else:
            scores = np.ones((request.steps, len(target_blocks(self.loaded.pipe.unet))))
        return [variant.table(scores, order_seed(request.prompt, request.seed, variant.draw or 0)) for variant in made]

    def _draw(self, request: Request, group: list[Variant], tables: list[np.ndarray]) -> list[Image.Image]:
        if group[0].method == "freeu":
            return [draw(self.loaded, request, "freeu")]
        if group[0].method == "skip":
            with bypassed(self.loaded.pipe, tables[0]):
                return [draw(self.loaded, request, "vanilla")]
        if len(group) > 1 and (pictures := _together(self.loaded, request, np.stack(tables))):
            return pictures
        return [draw(self.loaded, request, "reweighted", table) for table in tables]

    def _keep(self, picture: Image.Image, row: Row) -> None:
        self.pictures.mkdir(parents=True, exist_ok=True)
        file = BytesIO()
        picture.save(file, format="PNG")
        write_whole(self.pictures / picture_name(row), file.getvalue())


def picture_name(row: Row) -> str:
    """The file name of a row's picture."""
    return hashlib.sha256(repr(key_of(row)).encode()).hexdigest()[:24] + ".png"


def _named(item: Item, variant: Variant) -> Row:
    return {
        "category": item.category, "prompt": item.prompt, "seed": item.seed, "steps": variant.steps,
        "variant": variant.name,
    }  # fmt: skip


def _together(loaded: LoadedModel, request: Request, weights: np.ndarray) -> list[Image.Image]:
    """One picture for each of the weights (n, T, m), from the same noise; none where a value is not finite."""
    n = len(weights)
    with sentences(), reweighted(loaded.pipe, weights):
        pixels = loaded.pipe(
            [request.prompt] * n,
            negative_prompt=[request.negative_prompt] * n if request.negative_prompt else None,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            height=request.size,
            width=request.size,
            generator=[torch.Generator("cpu").manual_seed(request.seed) for _ in range(n)],
            output_type="np",
        ).images
    if not np.isfinite(pixels).all():
        return []
    return [Image.fromarray(picture) for picture in (pixels * 255).round().astype(np.uint8)]


def _timed(work: Callable[[], list[Image.Image]]) -> tuple[list[Image.Image], float]:
    start = time.perf_counter()
    pictures = work()
    return pictures, time.perf_counter() - start
