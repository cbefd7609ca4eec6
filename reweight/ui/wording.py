"""What the app says: names of blocks, explanations of cells and captions, all as plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from ..engine.engine import Picture, Waiting
from ..engine.request import Request
from ..methods import columns
from ..models.loading import LoadedModel
from ..patching.blocks import TargetBlock
from ..schedule import ImportanceTable
from ..scoring import Distance
from .panels.names import block_name
from .verdict import score_interval

STAGES = {"down": "encoder", "mid": "bottleneck", "up": "decoder"}
PAPER = {
    "down": "the paper finds encoder blocks less important than the decoder's",
    "mid": "the paper finds the bottleneck highly important at every step",
    "up": "the paper finds decoder blocks more important than the encoder's",
}
CHANGES = (  # from which SSIM on, in a word, in a phrase, and how many of four bars
    (0.99, "barely", "barely changed", 0),
    (0.9, "slightly", "slightly changed", 1),
    (0.7, "clearly", "clearly changed", 2),
    (0.45, "a lot", "changed a lot", 3),
    (-2.0, "totally", "totally changed", 4),
)


def change(far: Distance) -> dict[str, Any]:
    """How far two pictures are apart: in words and in bars of four, by SSIM; "not at all" only where no pixel differs.

    word: after "changed: "; phrase: in a sentence.
    """
    word, phrase, bars = next(words for least, *words in CHANGES if far.ssim >= least)
    if far.mean_difference == 0:
        word, phrase, bars = "not at all", "not changed at all", 0
    return {
        "word": word, "phrase": phrase, "bars": bars, "ssim": round(far.ssim, 3), "difference": round(far.mean_difference, 1),
    }  # fmt: skip


def waiting(event: Waiting) -> dict[str, Any] | None:
    """How many have a turn before this visitor, as an event for the page; None where nobody has."""
    return {"kind": "status", "done": 0, "text": f"{event.ahead} ahead of you in the queue…"} if event.ahead else None


def cell_notes(
    blocks: Sequence[TargetBlock], side: int, scores: np.ndarray, table: ImportanceTable | None
) -> np.ndarray:
    """Sentences for every cell of a heatmap of scores, (T, m)."""
    T, m = scores.shape
    interval = score_interval(table)
    notes = np.empty((T, m), dtype=object)
    for t in range(T):
        for i, block in enumerate(blocks):
            low, high = (None, None) if interval is None else (end[t, i] for end in interval)
            doubt = "" if interval is None else f" (95% interval {low:.2f} to {high:.2f})"
            size = max(1, side >> block.level)
            notes[t, i] = (
                f"{block_name(block, side)}, step {t + 1} of {T}: score {scores[t, i]:.2f}{doubt}. The paper's block "
                f"{block.label}, in the {STAGES[block.stage]} ({block.name}), works on {size}×{size} features with "
                f"{len(block.transformers)} Transformer{'s' if len(block.transformers) > 1 else ''}; {PAPER[block.stage]}, "
                "on the models that it studies."
            )
    return notes


def caption(picture: Picture, request: Request) -> str:
    """The details under a picture: the settings of its methods, what they report, and the time."""
    time = "from cache" if picture.cached else f"{picture.seconds:.2f} s"
    settings = columns.caption(picture.column, request.methods, picture.drawing)
    if picture.weights is not None:
        low, high = picture.weights.min(), picture.weights.max()
        between = f"weights {low:.3f} to {high:.3f}" if low < high else f"every weight {low:.3f}, whatever the ranking"
        settings = f"{settings}: {between}"
    said = [settings, *(report.sentence() for report in picture.reports.values()), time]
    return "; ".join(filter(None, said))


def about_model(loaded: LoadedModel) -> str:
    """Where a model comes from, under what licence, and what it runs on."""
    revision = f", revision {loaded.revision[:12]}" if loaded.revision else ""
    checker = loaded.card.embedded or getattr(loaded.pipe, "safety_checker", None) is not None
    note = "" if checker else " This model has no safety checker."
    return (
        f"<p><b>{escape(loaded.card.title)}</b> from {escape(loaded.source)}{escape(revision)} · licence "
        f"{escape(loaded.card.licence)} · {escape(loaded.device)}, {escape(loaded.dtype)}.{note}</p>"
    )


def shortened(text: str) -> str:
    """A prompt at the length of a line."""
    return text if len(text) <= 60 else text[:59] + "…"
