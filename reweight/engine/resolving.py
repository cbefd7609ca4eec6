"""Chooses the scores for a request: a table probed for it, the mean of the shipped tables, or the empirical strategy."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..methods.base import Chosen
from ..models.registry import ASSETS, REGISTRY
from ..patching.blocks import TargetBlock, columns, places_of, stage_of
from ..schedule import ImportanceTable, empirical
from ..weight_table import WeightTable
from .request import Request, RequestError

T = TypeVar("T", ImportanceTable, WeightTable)
log = logging.getLogger(__name__)
EXAMPLES = (
    "a painting of a castle at sunset",
    "anime style, a penguin in the snow",
    "a photo of a boat on a beach",
    "anime style, a blue butterfly in a meadow",
    "a photo of a gift on a table",
    "a painting of a house in the snow",
)
CALIBRATED = "calibrated"  # a preset of the probe, and the schedule that uses its tables
EMPIRICAL = "empirical"  # a schedule, and the method of its scores


def shipped(model: str) -> tuple[ImportanceTable, ...]:
    """The importance tables that ship with a model of the registry, probed on example prompts; empty for other models.

    Files that cannot be read, or belong to another model, are skipped with a warning in the log.
    """
    return _tables(ASSETS / model / "tables", model, ImportanceTable) if model in REGISTRY else ()


def shipped_weights(model: str) -> tuple[WeightTable, ...]:
    """The tuned weight tables that ship with a model of the registry; empty for other models. See `shipped`."""
    return _tables(ASSETS / model / "tuned", model, WeightTable) if model in REGISTRY else ()


def choose(
    request: Request, blocks: Sequence[TargetBlock], probed: Iterable[ImportanceTable | WeightTable] = (),
    pinned: ImportanceTable | WeightTable | None = None, *, revision: str | None = None,
) -> Chosen:  # fmt: skip
    """The scores, or weights, for a request.

    The first that exists of: `pinned`, a table that the user loaded, for any prompt; the newest of `probed`, the
    user's own tables (newest last), for this prompt; the shipped table for this prompt; the mean of the shipped
    tables; the empirical strategy (Sec. III-F). A table is used only for its own model and revision, with the same
    steps and blocks. The schedule "calibrated" uses tables of that preset only, and any other schedule none of them;
    only a pinned one is used as it is. A schedule that ignores scores, such as "empirical", uses no table. A pinned weight table is
    applied unchanged, so only with schedules that do not modify scores. With the schedule "tuned", a weight table in
    `probed`, tuned for this prompt, comes before the shipped ones; RequestError if there is none for this many steps.
    """
    control = request.reweighting.control()
    labels = {per: columns(blocks, per)[0] for per in ("stage", "transformer")}
    ours = control.preset == CALIBRATED

    def serves(table: ImportanceTable | WeightTable) -> bool:
        known = revision is None or table.revision in (None, revision)
        per = table.per if isinstance(table, WeightTable) else "stage"
        return table.model == request.model and known and table.steps == request.steps and table.blocks == labels[per]

    if isinstance(pinned, WeightTable) and control.key in ("importance", CALIBRATED, "tuned") and serves(pinned):
        return as_chosen(
            pinned, blocks,
            f"weights loaded from a file, {pinned.method} with {pinned.model}{_guided(pinned, request)}",
        )  # fmt: skip
    probed = list(probed)
    if control.shipped:
        for weights in reversed([table for table in probed if isinstance(table, WeightTable)]):
            if serves(weights):
                return as_chosen(weights, blocks, f"weights tuned for this prompt just now{_guided(weights, request)}")
        ready = shipped_weights(request.model)
        for weights in ready:
            if serves(weights):
                return as_chosen(
                    weights, blocks,
                    f"weights tuned on {_prompts(weights)}, shipped with the model{_guided(weights, request)}{_tested(weights)}",
                )  # fmt: skip
        raise RequestError(_none_tuned(request, sorted({w.steps for w in ready})))
    if not control.probed:
        scores = control.apply(np.ones((request.steps, len(blocks))), places_of(blocks), request.seed)
        return Chosen(scores, f"{control.title.partition(' (')[0]}: made without a probe", method=EMPIRICAL)
    if isinstance(pinned, ImportanceTable) and serves(pinned):
        source = f"loaded from a file, probed on “{pinned.prompt}” with {pinned.model}"
        return Chosen(pinned.scores, source, pinned, method=pinned.method)
    own = [table for table in probed if isinstance(table, ImportanceTable) and serves(table)]
    own = [table for table in own if table.prompt == request.prompt]
    for table in reversed([table for table in own if is_calibrated(table) == ours]):
        source = (
            f"probed for this prompt just now ({table.method.removeprefix('probe:')}){_differences(table, request)}"
        )
        return Chosen(table.scores, source, table, method=table.method)
    ready = [table for table in shipped(request.model) if serves(table) and is_calibrated(table) == ours]
    for table in ready:
        if table.prompt == request.prompt:
            how = "with our calibrated preset" if ours else "with the paper's settings"
            source = f"probed for this prompt {how}, shipped with the model{_differences(table, request)}"
            return Chosen(table.scores, source, table, method=table.method)
    if ready:
        mean = np.mean([table.scores for table in ready], axis=0)
        how = "calibrated probes" if ours else "probes"
        source = f"the mean of {len(ready)} other prompts' {how}; a probe makes this prompt's own"
        return Chosen(mean, source, method=ready[0].method)
    scores = empirical(places_of(blocks), request.steps)
    source = "the paper's empirical strategy with our numbers, not probed; a probe measures instead"
    return Chosen(scores, source, method=EMPIRICAL)


def is_calibrated(table: ImportanceTable) -> bool:
    """Whether a table was made by our calibrated preset, so that it serves the schedule of that name alone."""
    return table.method == f"probe:{CALIBRATED}"


def as_chosen(table: WeightTable, blocks: Sequence[TargetBlock], source: str) -> Chosen:
    """A weight table as `Chosen`. A block is bypassed where all of its Transformers are."""
    w, off = table.weights, table.bypass
    if table.per == "transformer":
        own = [np.flatnonzero(np.equal(stage_of(blocks), block.index)) for block in blocks]
        w = np.stack([w[:, columns_of].mean(1) for columns_of in own], axis=1)
        off = None if off is None else np.stack([off[:, columns_of].all(1) for columns_of in own], axis=1)
    return Chosen(w / 2, source, weights=w, weight_table=table, bypass=off)


def _guided(table: WeightTable, request: Request) -> str:
    differs = table.guidance_scale != request.guidance
    return f", at guidance {table.guidance_scale:g}, not {request.guidance:g}" if differs else ""


def _prompts(table: WeightTable) -> str:
    count, scorer = table.provenance.get("prompts"), (table.scorer or "").rpartition(" ")[0]
    return f"{f'{count} ' if count else ''}other prompts{f' for the {scorer}' if scorer else ''}"


def _tested(table: WeightTable) -> str:
    """What a test on further prompts found that a shipped table gains and costs, as text; empty if there was none."""
    test = table.diagnostics.get("test")
    if test is None:
        return ""
    score, adherence = test["score_over_vanilla"][0], test["obeyed_over_vanilla"][0]
    return f"; on {test['captions']} further prompts score {score:+.3f}, prompt adherence {adherence:+.3f} from vanilla"


def _none_tuned(request: Request, counts: Sequence[int]) -> str:
    there = f": choose {' or '.join(map(str, counts))} steps" if counts else ""
    return (
        f"No tuned weights are shipped for {request.steps} step{'s' * (request.steps > 1)} of {request.model}{there}"
        f"{', or tune' if counts else ': tune'} your own with `python -m reweight tune`."
    )


def _differences(table: ImportanceTable, request: Request) -> str:
    """How the settings that a table was probed with differ from a request's, as text; empty if they do not."""
    differing = []
    if table.guidance_scale != request.guidance:
        differing.append(f"at guidance {table.guidance_scale:g}, not {request.guidance:g}")
    if table.negative_prompt != request.negative_prompt and max(table.guidance_scale, request.guidance) > 1:
        differing.append("with another negative prompt")
    return "".join(f", {text}" for text in differing)


@lru_cache(maxsize=16)
def _tables(folder: Path, model: str, kind: type[T]) -> tuple[T, ...]:
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            table = kind.load(path)
        except (OSError, ValueError) as error:
            log.warning("%s is left out: %s", path.name, error)
            continue
        if table.model == model:
            found.append(table)
        else:
            log.warning("%s is left out: it is of the model %r.", path.name, table.model)
    return tuple(found)
