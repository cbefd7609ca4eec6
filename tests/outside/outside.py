"""What a package of somebody else's brings: a method, a control, a scorer and a screen, found by its entry points."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from reweight.methods.base import Drawing, Method, Report
from reweight.methods.settings import setting
from reweight.patching.blocks import concatenations
from reweight.patching.patch import edited_concatenations
from reweight.schedule import Control
from reweight.scoring.scorers import ScorerEntry
from reweight.ui.screens.base import Screen


@dataclass(frozen=True)
class DimSkips:
    """factor: what every skip tensor is multiplied by. deepest: only where h comes from the deepest level."""

    factor: float = setting("Factor", low=0, high=2, step=0.05, default=0.8)
    deepest: bool = setting("Deepest only", default=False)


class DimSkipsMethod(Method):
    """Every skip tensor, or the deepest ones, times a factor."""

    key = "dim-skips"
    title = "Dim skips"
    settings = DimSkips

    @contextmanager
    def apply(self, pipe: Any, settings: DimSkips, drawing: Drawing) -> Iterator[Report]:
        places = concatenations(pipe.unet)
        if settings.deepest:
            places = [place for place in places if place.level == places[0].level]
        report = Report(modules=len(places))

        def edit(place: Any, h: Any, skip: Any) -> tuple[Any, Any]:
            report.add("skips dimmed")
            return h, skip * settings.factor

        with edited_concatenations(pipe.unet, places, edit, method=self.title):
            yield report

    def inert(self, settings: DimSkips, drawing: Drawing) -> str:
        return "A factor of 1 changes nothing." if settings.factor == 1 else ""


class Redness:
    name, version = "redness", "1"

    def score(self, images, prompts):
        return np.array([np.asarray(image, float)[..., 0].mean() for image in images])


def zigzag(scores: np.ndarray, blocks: Any, seed: int) -> np.ndarray:
    return np.broadcast_to(np.arange(scores.shape[1]) % 2, scores.shape).astype(float)


class Mood(Screen):
    """Says how bright the weights are."""

    key = "mood"
    title = "Mood"

    def build(self, page):
        page.html('<div class="rw-card"><button type="button" onclick="reweight.act(`mood`, `say`, {}, (e) => '
                  '(document.querySelector(`#mood`).textContent = e.mood ?? ``))">How?</button><p id="mood"></p></div>'
                  '<div class="rw-slot"></div>')  # fmt: skip

    def acts(self):
        return {"say": say}


def say(call):
    request = call.request()
    yield {"kind": "mood", "mood": f"bright up to {request.reweighting.high:g}"}


MOOD = Mood()
DIM_SKIPS = DimSkipsMethod()
ZIGZAG = Control("zigzag", "Zigzag", zigzag, probed=False)
REDNESS = ScorerEntry("redness", "how red a picture is", lambda options: Redness())
