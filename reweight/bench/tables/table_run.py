"""Makes one table, from its pictures to its files; resumable, in one process or several."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ...engine.provenance import current_versions
from ...models.loading import LoadedModel
from ...patching.blocks import target_blocks
from ...scoring import Scorer
from ...storage.rowfile import Row, RowFile, check_settings, read_rows
from ..stats.result_file import write_figure, write_json, write_text
from . import cells, paired
from .experiments import Experiment, experiment, range_of
from .paper import paper_tables
from .prompts import Prompts
from .sampling import Sampler, items, keys, picture_name
from .score_source import Ranking

FORMAT = "reweight-bench-1"
NO_SCORER = "none (not asked for, or no weights here)"


@dataclass(frozen=True)
class Share:
    """This process's index, from 0, and the number of processes."""

    process: int = 0
    processes: int = 1

    @property
    def device(self) -> str | None:
        """This process's GPU, if there are several processes and a GPU; else None."""
        if self.processes == 1 or not torch.cuda.is_available():
            return None
        return f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"


def share() -> Share:
    """The share of this process under `accelerate launch` or `torchrun`, from RANK and WORLD_SIZE."""
    return Share(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))


class Bench:
    """A table or figure that is being made in a folder.

    Processes do not communicate: each draws every processes-th (prompt, seed), and the last to finish finds all rows in
    the shared folder. They can be restarted in any number. ValueError of one sentence if the folder has rows with other
    settings.
    """

    def __init__(
        self, name: str, loaded: LoadedModel, prompts: Prompts, folder: Path, *, seeds: Sequence[int],
        steps: tuple[int, ...] = (), ranking: Ranking, scorer: Scorer | None = None, batch_size: int = 1,
        place: Share | None = None,
    ) -> None:  # fmt: skip
        if not seeds:
            raise ValueError("There are no seeds: give at least one, such as --seeds 42.")
        labels = [block.label for block in target_blocks(loaded.pipe.unet)]
        self.place = place or Share()
        self.experiment: Experiment = experiment(name, loaded.card, labels, steps)
        self.loaded, self.folder, self.ranking, self.scorer = loaded, folder, ranking, scorer
        self.work = items(prompts, seeds)
        self.keys = keys(self.experiment, self.work)
        timed = self.experiment.measure == "seconds"
        pictures = folder / "pictures" if self.experiment.pictures else None
        self.sampler = Sampler(
            loaded, self.experiment, ranking, scorer, batch_size=1 if timed else batch_size, pictures=pictures
        )
        for steps_ in dict.fromkeys(variant.steps for variant in self.experiment.variants):
            for item in self.work:
                self.sampler.request(item.prompt, item.seed, steps_)
        folder.mkdir(parents=True, exist_ok=True)
        check_settings(folder, self._settings())

    @property
    def scored_by(self) -> str:
        """The scorer's name and version, or a note that there is none."""
        return f"{self.scorer.name} {self.scorer.version}" if self.scorer else NO_SCORER

    def draw(self, on_progress: Callable[[int, int], object] = lambda done, total: None) -> None:
        """Draw this process's share of the missing rows; on_progress(rows done, rows in the share).

        If it is stopped, no row that was reported to on_progress is lost.
        """
        done = read_rows(self.folder)
        file = RowFile(self.folder, self.place.process)
        own = self.work[self.place.process :: self.place.processes]
        wanted = keys(self.experiment, own)
        count = sum(key in done for key in wanted)
        on_progress(count, len(wanted))
        for item in own:
            for row in self.sampler.rows(item, done):
                file.append(row)
                count += 1
                on_progress(count, len(wanted))

    def rows(self) -> list[Row]:
        """All processes' rows of this table, in a fixed order."""
        wanted = set(self.keys)
        return [row for key, row in read_rows(self.folder).items() if key in wanted]

    def write(self) -> tuple[cells.Cells, list[paired.Paired]]:
        """Write table.csv, table.png and results.json from the existing rows, atomically.

        Also paired.csv, if there are scores of two or more prompts. results.json has the content of both CSV files, with
        provenance. Returns the content of the two CSV files.
        """
        rows = self.rows()
        found, pairs = cells.cells(self.experiment, rows), paired.differences(self.experiment, rows)
        write_text(self.folder / "table.csv", cells.as_csv(self.experiment, found))
        if pairs:
            write_text(self.folder / "paired.csv", paired.as_csv(pairs))
        write_figure(self.folder / "table.png", self._figure(rows, found))
        results = self._settings() | {
            "title": self.experiment.title, "score": self.scored_by, "pictures": len(rows), "wanted": len(self.keys),
            "seeds": sorted({item.seed for item in self.work}), "prompts": len({item.prompt for item in self.work}),
            "paper": paper_tables()["source"], "paper_model": self.experiment.paper_model, "device": self.loaded.device,
            "processes": self.place.processes, "versions": current_versions(),
            "paired": [asdict(pair) for pair in pairs], "cells": cells.as_json(found),
        }  # fmt: skip
        write_json(self.folder / "results.json", results)
        return found, pairs

    def _figure(self, rows: list[Row], found: cells.Cells) -> Any:
        if not self.experiment.pictures:
            return cells.figure(self.experiment, found, self.scored_by)
        pictures = self.folder / "pictures"
        names = {i: picture_name(row) for i, row in enumerate(rows) if (pictures / picture_name(row)).is_file()}
        return cells.sheet(rows, self.experiment, pictures, names)

    def _settings(self) -> dict[str, Any]:
        """The settings common to all rows of a folder."""
        low, high = range_of(self.loaded.card)
        request = self.sampler.request(self.work[0].prompt, self.work[0].seed, self.experiment.variants[0].steps)
        return {
            "format": FORMAT, "name": self.experiment.name, "model": self.loaded.source,
            "revision": self.loaded.revision, "dtype": self.loaded.dtype, "size": request.size,
            "guidance": request.guidance, "negative_prompt": request.negative_prompt, "low": low,
            "high": high, "scheduler": type(self.loaded.pipe.scheduler).__name__, "scorer": self.scored_by,
            "importance": self.ranking.source, "runs": self.ranking.runs,
        }  # fmt: skip
