"""What the app says: names of blocks, explanations of cells, captions and findings, all as plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

STAGES = {"down": "encoder", "mid": "bottleneck", "up": "decoder"}
PAPER = {
    "down": "the paper finds encoder blocks less important than the decoder's",
    "mid": "the paper finds the bottleneck highly important at every step",
    "up": "the paper finds decoder blocks more important than the encoder's",
}
NO_BETTER_THAN_CHANCE = 0.3
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


def agrees(tau: float) -> str:
    """What Kendall's tau-b between a ranking and the direct check says, as a verb with its object."""
    if tau < -NO_BETTER_THAN_CHANCE:
        return "contradicts the direct check"
    if tau < NO_BETTER_THAN_CHANCE:
        return "agrees with the direct check no better than chance"
    return "agrees with the direct check"


def signed(value: float) -> str:
    """A number with its sign: +0.90, −0.70."""
    return f"{value:+.2f}".replace("-", "−")


def verdict(taus: Mapping[str, float | None], followed: str) -> str:
    """One sentence on two rankings, and which one the weights follow. taus: by name, None where not measured."""
    known = [f"{name} {agrees(tau)} (tau-b {signed(tau)})" for name, tau in taus.items() if tau is not None]
    said = (
        "; ".join(known)
        if known
        else "Not checked directly yet for this prompt: the direct check switches each block off and measures how much the output changes"
    )
    return f"{said[:1].upper()}{said[1:]}. The weights follow {followed}."


def findings(table: ImportanceTable | None) -> str:
    """What may be said for and against a table, in plain words."""
    if table is None:
        return (
            "<p>These scores were not probed for this prompt. <b>Probe this prompt</b> measures the importance of every block at "
            "every step, and says here how far to trust it.</p>"
        )
    rate, fired = (_diagnostic(table, name) for name in ("acceptance_rate", "bypasses_fired"))
    spread = vote_spread(table)
    alone = "; one run cannot tell how uncertain a score is"
    doubt = (
        ""
        if spread is None
        else alone
        if table.runs < 2
        else f"; a score is uncertain by about ±{spread.mean():.2f} (bootstrap over the runs)"
    )
    m = len(table.blocks)
    runs = f"{table.runs} run{'s' if table.runs != 1 else ''}"
    under_way = _diagnostic(table, "runs_completed") == 0
    says = [
        f"{runs} in progress: the scores are averaged over the finished runs{doubt}."
        if under_way
        else f"{runs} voted{doubt}."
    ]
    if rate is not None:
        much = ": too few to learn from, so the order is mostly noise." if rate < 0.02 else "."
        says.append(
            f"On average a candidate met {rate:.0%} of the graded error tolerances."
            if table.method == "probe:calibrated"
            else f"The search accepted {rate:.0%} of its candidates{much}"
        )
    if fired is not None:
        why = "." if fired else ", so the ranking comes from how far weights drifted down, not from skipping blocks."
        says.append(f"A bypass fired {fired:.0f} times{why}")
    if table.settings.get("surrogate") is True:
        says.append(
            "Only candidates whose error was predicted to be near the tolerance were evaluated; for the others, a linear "
            "approximation of the model's output decided."
        )
    tau, scaling = (_diagnostic(table, f"tau_b_{error}") for error in ("bypass", "scaling"))
    if tau is not None and scaling is not None:
        verdict = (
            "this ranking contradicts what bypassing the blocks does"
            if tau < -NO_BETTER_THAN_CHANCE
            else "this ranking is no better than chance at saying which block matters"
            if tau < NO_BETTER_THAN_CHANCE
            else "this ranking agrees with what bypassing the blocks does"
        )
        says.insert(
            0,
            f"Checked directly: {verdict}. Kendall's tau-b is {tau:+.2f} against the error of bypassing each block and "
            f"{scaling:+.2f} against the error of scaling it by 2%. (1 agrees, 0 is chance, −1 is the opposite; "
            f"{m} blocks.)",
        )
    return "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in says) + "</ul>"


def vote_spread(table: ImportanceTable | None) -> np.ndarray | None:
    """How far each score may be off, (T, m), where the table tells; a table from a file may tell anything."""
    return None if table is None else _of_cells(table, "vote_spread")


def score_interval(table: ImportanceTable | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Both ends of every score's 95% interval over the runs, each (T, m) in [0, 1], where the table tells."""
    low, high = (None if table is None else _of_cells(table, f"interval_{end}") for end in ("low", "high"))
    return None if low is None or high is None else (low.clip(0, 1), high.clip(0, 1))


def _of_cells(table: ImportanceTable, name: str) -> np.ndarray | None:
    told = table.diagnostics.get(name)
    try:
        values = np.asarray(told, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return values if told is not None and values.shape == table.scores.shape and np.isfinite(values).all() else None


def _diagnostic(table: ImportanceTable, name: str) -> float | None:
    value = table.diagnostics.get(name)
    return value if type(value) in (int, float) and np.isfinite(value) else None
