"""Which importance table serves a request: one probed for it, the mean of the shipped ones, or the empirical strategy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from .blocks import TargetBlock
from .schedule import ImportanceTable, empirical

ASSETS = Path(__file__).resolve().parent.parent / "assets"
EXAMPLES = (
    "a photo of a red apple on a wooden table",
    "a painting of a fox in the snow",
    "anime style, a blue rocket under a night sky",
    "concept art of a castle at sunset",
    "a photo of a penguin on a beach",
    "a photo of a yellow duck next to a red gift in a meadow",
)


@dataclass(frozen=True)
class Chosen:
    """Scores (T, m), where they come from in words, and the table itself where one was probed for this prompt."""

    scores: np.ndarray
    source: str
    table: ImportanceTable | None = None


@lru_cache(maxsize=8)
def shipped(model: str) -> tuple[ImportanceTable, ...]:
    """The tables that come with an embedded model, really probed on its example prompts; none for other models."""
    return tuple(ImportanceTable.load(path) for path in sorted((ASSETS / model / "tables").glob("*.json")))


def choose(
    model: str, prompt: str, steps: int, blocks: Sequence[TargetBlock], probed: Iterable[ImportanceTable] = (),
    strategy: str = "importance", pinned: ImportanceTable | None = None,
) -> Chosen:  # fmt: skip
    """The scores for a prompt at a number of steps; `probed` are tables made by this person, newest last.

    `pinned`: a table that the person loaded, which serves any prompt as long as its shape fits.
    `strategy` "empirical" asks for the empirical strategy (Sec. III-F) whatever was probed. A shipped table of another
    model, or with other blocks, never serves.
    """
    labels = tuple(block.label for block in blocks)

    def fits(table: ImportanceTable) -> bool:
        return table.model == model and table.steps == steps and table.blocks == labels

    if strategy != "empirical":
        if pinned is not None and pinned.scores.shape == (steps, len(labels)):
            return Chosen(pinned.scores, f"loaded from a file, probed on “{pinned.prompt}” with {pinned.model}", pinned)
        for table in reversed([t for t in probed if fits(t) and t.prompt == prompt]):
            return Chosen(table.scores, "probed for this prompt, just now", table)
        ready = [table for table in shipped(model) if fits(table)]
        for table in ready:
            if table.prompt == prompt:
                return Chosen(table.scores, "probed for this prompt, shipped with the model", table)
        if ready:
            mean = np.mean([table.scores for table in ready], axis=0)
            return Chosen(mean, f"the mean of {len(ready)} other prompts' probes; “Probe now” makes this prompt's own")
    places = [(block.stage, block.level) for block in blocks]
    note = "" if strategy == "empirical" else "; “Probe now” measures instead"
    return Chosen(empirical(places, steps), f"the paper's empirical strategy with our numbers, not probed{note}")
