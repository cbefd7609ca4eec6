"""Which importance table serves a request: one probed for it, the mean of the shipped ones, or the empirical strategy."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..models.registry import ASSETS, REGISTRY
from ..patching.blocks import TargetBlock
from ..schedule import ImportanceTable, empirical

log = logging.getLogger(__name__)
EXAMPLES = (
    "a photo of a penguin on a beach",
    "a painting of a fox in the snow",
    "concept art of a castle at sunset",
    "anime style, a blue rocket under a night sky",
    "a photo of a red apple on a wooden table",
    "a photo of a yellow duck next to a red gift in a meadow",
)


@dataclass(frozen=True)
class Chosen:
    """Scores (T, m), where they come from in words, and the table itself where one was probed for this prompt."""

    scores: np.ndarray
    source: str
    table: ImportanceTable | None = None


def shipped(model: str) -> tuple[ImportanceTable, ...]:
    """The tables that come with a model of the registry, really probed on example prompts; none for any other.

    A file that is no table, or another model's, is left out with a warning in the log.
    """
    return _tables(ASSETS / model / "tables", model) if model in REGISTRY else ()


def choose(
    model: str, prompt: str, steps: int, blocks: Sequence[TargetBlock], probed: Iterable[ImportanceTable] = (),
    strategy: str = "importance", pinned: ImportanceTable | None = None, *, revision: str | None = None,
) -> Chosen:  # fmt: skip
    """The scores for a prompt at a number of steps.

    The first of these that there is: `pinned`, a table that the person loaded, for whatever prompt and model, as long
    as it has these steps and blocks; of `probed`, the person's own, newest last, the newest for this prompt; the
    shipped one for this prompt; the mean of the shipped ones; the empirical strategy (Sec. III-F). Probed and shipped
    tables serve only the model they are of, in the revision they name, with the same steps and blocks.
    strategy: "empirical" asks for that whatever was probed; any other name is a control of the scores.
    """
    labels = tuple(block.label for block in blocks)

    def fits(table: ImportanceTable) -> bool:
        return table.steps == steps and table.blocks == labels

    def serves(table: ImportanceTable) -> bool:
        known = revision is None or table.revision in (None, revision)
        return table.model == model and known and fits(table)

    if strategy != "empirical":
        if pinned is not None and fits(pinned):
            return Chosen(pinned.scores, f"loaded from a file, probed on “{pinned.prompt}” with {pinned.model}", pinned)
        for table in reversed([table for table in probed if serves(table) and table.prompt == prompt]):
            how = table.method.removeprefix("probe:")
            return Chosen(table.scores, f"probed for this prompt just now ({how})", table)
        ready = [table for table in shipped(model) if serves(table)]
        for table in ready:
            if table.prompt == prompt:
                return Chosen(table.scores, "probed for this prompt, shipped with the model", table)
        if ready:
            mean = np.mean([table.scores for table in ready], axis=0)
            return Chosen(mean, f"the mean of {len(ready)} other prompts' probes; “Probe now” makes this prompt's own")
    places = [(block.stage, block.level) for block in blocks]
    note = "" if strategy == "empirical" else "; “Probe now” measures instead"
    return Chosen(empirical(places, steps), f"the paper's empirical strategy with our numbers, not probed{note}")


@lru_cache(maxsize=16)
def _tables(folder: Path, model: str) -> tuple[ImportanceTable, ...]:
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            table = ImportanceTable.load(path)
        except (OSError, ValueError) as error:
            log.warning("%s is left out: %s", path.name, error)
            continue
        if table.model == model:
            found.append(table)
        else:
            log.warning("%s is left out: it is of the model %r.", path.name, table.model)
    return tuple(found)
