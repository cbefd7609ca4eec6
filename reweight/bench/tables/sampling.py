"""Draws and scores the pictures of a table."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ...engine.drawing import draw, picture_of
from ...engine.pictures import Pictures
from ...engine.request import Request, validate
from ...methods.base import Drawing
from ...models.loading import LoadedModel
from ...patching.blocks import target_blocks
from ...scoring import ImageFeatures, Scorer, feature_cosine
from ...scoring.similarity import ssims
from ...storage.atomic import write_atomic
from ...storage.rowfile import Key, Row, key_of
from ..stats.random_order import order_seed
from .experiments import Experiment, Variant
from .prompts import Prompts
from .score_source import Ranking


@dataclass(frozen=True)
class Item:
    """One prompt with one noise: the unit of work that is distributed over processes."""

    category: str
    prompt: str
    seed: int


def items(prompts: Prompts, seeds: Sequence[int]) -> list[Item]:
    """Every prompt with every seed, ordered by seed, alternating between categories."""
    order = [(category, prompt) for category, listed in prompts.items() for prompt in listed]
    return [Item(category, prompt, seed) for seed in seeds for category, prompt in order]


def keys(experiment: Experiment, work: Sequence[Item]) -> list[Key]:
    """The keys of all rows of an experiment."""
    variants = experiment.variants
    return [
        (item.category, item.prompt, item.seed, variant.steps, variant.name) for item in work for variant in variants
    ]


class Sampler:
    """Draws an item's variants from the same noise. batch_size: how many re-weighted ones are drawn in one batch.

    Vanilla is drawn unpatched for each item, if any variant has to be compared with it.
    """

    def __init__(
        self, loaded: LoadedModel, experiment: Experiment, ranking: Ranking, scorer: Scorer | None, *,
        batch_size: int = 1, pictures: Path | None = None,
    ) -> None:  # fmt: skip
        if batch_size < 1:
            raise ValueError(f"The batch size is at least 1, not {batch_size}.")
        self.loaded, self.experiment, self.ranking, self.scorer = loaded, experiment, ranking, scorer
        self.batch_size, self.pictures, self._pictures = batch_size, pictures, Pictures()

    def rows(self, item: Item, done: Collection[Key]) -> Iterator[Row]:
        """Yield a row for each variant that is not done, as soon as its picture is scored."""
        for steps in dict.fromkeys(variant.steps for variant in self.experiment.variants):
            variants = [variant for variant in self.experiment.variants if variant.steps == steps]
            missing = [variant for variant in variants if key_of(_row_of(item, variant)) not in done]
            if missing:
                yield from self._at(item, steps, missing)

    def _at(self, item: Item, steps: int, missing: list[Variant]) -> Iterator[Row]:
        request = self.request(item.prompt, item.seed, steps)
        vanilla = picture_of(self._pictures, self.loaded, request, "vanilla", self._drawing(request))
        for group in self._groups(missing):
            if group[0].column == "vanilla":
                pictures, each = [vanilla.image], vanilla.seconds
            else:
                pictures, took = _timed(lambda group=group: self._draw(request, group))
                each = took / len(group)
            scores = None if self.scorer is None else self.scorer.score(pictures, [item.prompt] * len(pictures))
            cosines, alike = self._cosines(pictures, vanilla.image), ssims(pictures, vanilla.image)
            for i, (variant, picture) in enumerate(zip(group, pictures, strict=True)):
                moved = np.abs(np.asarray(picture, float) - np.asarray(vanilla.image, float)).mean()
                row = _row_of(item, variant) | {
                    "score": None if scores is None else float(scores[i]), "ssim": float(alike[i]),
                    "mean_difference": float(moved), "cosine": cosines and cosines[i], "seconds": round(each, 4),
                }  # fmt: skip
                if self.pictures is not None:
                    self._keep(picture, row)
                yield row

    def request(self, prompt: str, seed: int, steps: int) -> Request:
        """The request of a picture. ValueError of one sentence if the model cannot draw it."""
        card = self.loaded.card
        return validate(card, prompt=prompt, model=card.key, seed=seed, steps=steps)

    def _cosines(self, pictures: list[Image.Image], vanilla: Image.Image) -> list[float] | None:
        """Cosines with vanilla in the scorer's image features; None if it has none."""
        if not isinstance(self.scorer, ImageFeatures):
            return None
        return feature_cosine(pictures, [vanilla] * len(pictures), self.scorer).tolist()

    def _groups(self, missing: list[Variant]) -> Iterator[list[Variant]]:
        """Groups of variants to draw together: up to batch_size of those with weights; others alone."""
        for variant in missing:
            if variant.table is None:
                yield [variant]
        weighted = [variant for variant in missing if variant.table is not None]
        for i in range(0, len(weighted), self.batch_size):
            yield weighted[i : i + self.batch_size]

    def _draw(self, request: Request, group: list[Variant]) -> list[Image.Image]:
        """A picture for each variant of a group; a group of one is drawn as in the app."""
        column = group[0].column
        if group[0].table is None:
            return draw(self.loaded, request, column, self._drawing(request)).images
        shape = request.steps, len(target_blocks(self.loaded.pipe.unet))
        probed = any(variant.probed for variant in group)
        scores = self.ranking.scores(self.loaded, request) if probed else np.ones(shape)
        tables = [
            variant.table(scores, order_seed(request.prompt, request.seed, variant.draw or 0)) for variant in group
        ]
        masks = [table if table.dtype == bool else np.zeros(shape, bool) for table in tables]
        weights = [np.ones(shape) if table.dtype == bool else table for table in tables]
        if len(group) == 1:
            weights, masks = weights[0], masks[0]
        drawing = replace(self._drawing(request), weights=np.asarray(weights), bypass=np.asarray(masks))
        return draw(self.loaded, request, column, drawing).images

    def _drawing(self, request: Request) -> Drawing:
        return Drawing(request.steps, request.guidance, self.loaded.card.family)

    def _keep(self, picture: Image.Image, row: Row) -> None:
        self.pictures.mkdir(parents=True, exist_ok=True)
        file = BytesIO()
        picture.save(file, format="PNG")
        write_atomic(self.pictures / picture_name(row), file.getvalue())


def picture_name(row: Row) -> str:
    """The file name of a row's picture."""
    return hashlib.sha256(repr(key_of(row)).encode()).hexdigest()[:24] + ".png"


def _row_of(item: Item, variant: Variant) -> Row:
    return {
        "category": item.category, "prompt": item.prompt, "seed": item.seed, "steps": variant.steps,
        "variant": variant.name,
    }  # fmt: skip


def _timed(work: Callable[[], list[Image.Image]]) -> tuple[list[Image.Image], float]:
    start = time.perf_counter()
    pictures = work()
    return pictures, time.perf_counter() - start
