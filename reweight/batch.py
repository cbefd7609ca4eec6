"""Batches of pictures for a study: prompts × seeds × methods × settings, as PNG files and a CSV; resumable."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image

from .engine.axes import Axis, changed, offered, read_axis
from .engine.engine import Engine, Scores, Waiting
from .engine.naming import cell_name
from .engine.points import Cell, Done, Point
from .engine.provenance import read_png, save_png, settings_of
from .engine.request import REWEIGHTED, Request
from .engine.resolving import Chosen
from .scoring import distance
from .storage.atomic import write_atomic

MOST = 100_000
BASIC = ("file", "prompt", "seed", "method")
FIGURES = ("ssim_with_vanilla", "mean_difference", "score", "scorer", "seconds", "report")


@dataclass(frozen=True)
class Item:
    """A picture of the batch: its file, request, column, and varied settings."""

    file: Path
    request: Request
    column: str
    changes: Mapping[str, Any]


@dataclass
class Batch:
    """The pictures to draw, and the CSV of those already drawn.

    items: every picture. rows: of the CSV, by file name, including those of an earlier run. pinned: an importance or
    weight table to use for every prompt. save: called with each finished picture. choose: gives the scores for a
    request; by default the engine's `chosen`. client: the caller's name.
    """

    engine: Engine
    items: list[Item]
    out: Path
    pinned: Any = None
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    save: Callable[[Path, Image.Image, dict[str, Any]], object] = save_png
    choose: Callable[[Request], Chosen] | None = None
    client: str = ""

    @property
    def table(self) -> Path:
        """The CSV's path."""
        return self.out / "pictures.csv"

    def missing(self, *, overwrite: bool = False) -> list[Item]:
        """The pictures that are not drawn or measured yet. ValueError if a file exists with other settings."""
        self.rows = {} if overwrite else _rows(self.table)
        left = []
        for item in self.items:
            there = item.file.exists() and not overwrite
            if there and not self._same(item):
                raise ValueError(f"{item.file} exists already with other settings: give another --out, or --overwrite.")
            if not there or item.file.name not in self.rows:
                left.append(item)
        return left

    def _same(self, item: Item) -> bool:
        try:
            found = read_png(item.file)
        except ValueError:
            return False
        loaded = self.engine.opened(item.request.model)
        mine = settings_of(item.request, loaded, item.column)
        return all(found[name] == mine[name] for name in ("request", "method", "source", "revision", "dtype"))

    def run(self, items: Sequence[Item]) -> Iterator[Done]:
        """Draw, save and measure pictures, prompt by prompt; saved pictures remain if this is stopped."""
        total, before = sum(item.request.steps for item in items), 0
        for prompt in dict.fromkeys(item.request.prompt for item in items):
            some = [item for item in items if item.request.prompt == prompt]
            for event in self.draw(some):
                if isinstance(event, Done):
                    yield Done(min(total, before + event.step), total)
            before += sum(item.request.steps for item in some)
            write_atomic(self.table, self.as_csv().encode())

    def draw(self, items: Sequence[Item]) -> Iterator[Done | Waiting]:
        """Draw, save and measure pictures of one model in one sweep."""
        loaded = self.engine.opened(items[0].request.model)
        chosen = {item.file: self._chosen(item.request) for item in items}
        points = [Point(item.file, item.request, item.column, chosen[item.file]) for item in items]
        baselines = {item.request.vanilla_key(): item for item in items}
        points += [Point(key, item.request, "vanilla", chosen[item.file]) for key, item in baselines.items()]
        images: dict[Any, Image.Image] = {}
        wanted = {item.file: item for item in items}
        for event in self.engine.sweep(points, client=self.client):
            if isinstance(event, Done | Waiting):
                yield event
            if not isinstance(event, Cell):
                continue
            place, image = event.point.place, event.made.image
            images[place] = image
            if place in wanted:
                item = wanted[place]
                weights = event.drawing.weights if REWEIGHTED in item.column.split("+") else None
                table = chosen[place].weight_table or chosen[place].table
                sha256 = table.sha256 if weights is not None and table else None
                self.save(place, image, settings_of(item.request, loaded, item.column, weights, sha256))
                self.rows[place.name] = {
                    "file": place.name, "prompt": item.request.prompt, "seed": item.request.seed, "method": item.column,
                    **item.changes, "seconds": round(event.made.seconds, 3),
                    "report": "; ".join(filter(None, (found.sentence() for found in event.made.reports.values()))),
                }  # fmt: skip
        pictures, prompts = [images[item.file] for item in items], [item.request.prompt for item in items]
        found = self.engine.scores(items[0].request.model, pictures, prompts, client=self.client)
        scores = next((event for event in found if isinstance(event, Scores)), None)
        for n, item in enumerate(items):
            far = distance(images[item.file], images[item.request.vanilla_key()])
            self.rows[item.file.name] |= {
                "ssim_with_vanilla": round(far.ssim, 5),
                "mean_difference": round(far.mean_difference, 4),
            }
            if scores is not None:
                self.rows[item.file.name] |= {"score": round(scores.values[n], 5), "scorer": scores.scorer}

    def _chosen(self, request: Request) -> Chosen:
        if self.choose is not None:
            return self.choose(request)
        chosen = self.engine.chosen(request, pinned=self.pinned)
        if self.pinned is not None and self.pinned not in (chosen.table, chosen.weight_table):
            raise ValueError(
                f"The table is of {self.pinned.model} with {self.pinned.steps} steps, which does not fit {request.steps} steps "
                f"of {request.model}: probe again."
            )
        return chosen

    def as_csv(self) -> str:
        """The rows so far, in the order of the pictures."""
        varied = dict.fromkeys(name for item in self.items for name in item.changes)
        names = [*BASIC, *(name for name in varied if name not in BASIC), *FIGURES]
        text = io.StringIO()
        writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        rows = (self.rows[item.file.name] for item in self.items if item.file.name in self.rows)
        writer.writerows({name: _as_text(value) for name, value in row.items()} for row in rows)
        return text.getvalue()


def plan(
    engine: Engine, request: Request, out: Path, prompts: Sequence[str], seeds: str | None, vary: Sequence[str]
) -> list[Item]:
    """The items for prompts × seeds × varied settings × the request's columns.

    seeds: "1-4" or "7, 42". vary: texts such as "low=0.9-1.1 x5". ValueError of one sentence for invalid ones.
    """
    card, blocks = engine.card(request.model), engine.blocks(request.model)
    known = offered(card, [block.label for block in blocks], request.columns, request.steps)
    axes = [Axis("prompt", tuple(dict.fromkeys(prompts or [request.prompt])))]
    if seeds:
        axes.append(read_axis("seed", seeds, known))
    for text in vary:
        name, equals, values = text.partition("=")
        if not equals:
            raise ValueError(f"--vary takes setting=values, such as low=0.9-1.1x5, not {text!r}.")
        if name.strip() not in {setting.name for setting in known}:
            raise ValueError(
                f"There is no setting {name.strip()!r} to vary: choose from {', '.join(s.name for s in known)}."
            )
        axes.append(read_axis(name.strip(), values, known))
    names = [axis.name for axis in axes]
    if len(set(names)) < len(names):
        raise ValueError("A setting is varied twice: name each once.")
    if "column" not in names:
        axes.append(Axis("column", request.columns))
    n = 1
    for axis in axes:
        n *= len(axis.values)
    if n > MOST:
        raise ValueError(f"These are {n} pictures: ask for at most {MOST} at once.")
    items: dict[Path, Item] = {}
    for values in product(*(axis.values for axis in axes)):
        changes = dict(zip([axis.name for axis in axes], values, strict=True))
        drawn, column = changed(request, card, changes, blocks)
        varied = {name: value for name, value in changes.items() if name not in ("prompt", "seed", "column")}
        file = out / cell_name(drawn.prompt, drawn.seed, column, varied)
        n = 2
        while file in items:
            file, n = file.with_name(f"{cell_name(drawn.prompt, drawn.seed, column, varied)[:-4]}_{n}.png"), n + 1
        items[file] = Item(file, drawn, column, varied)
    return list(items.values())


def read_prompts(file: Path) -> list[str]:
    """The prompts in a text file, one per line; empty lines and lines that start with # are skipped."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not a text file in UTF-8: give one prompt per line.") from error
    prompts = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not prompts:
        raise ValueError(f"{file} has no prompts: give one per line.")
    return prompts


def _as_text(value: Any) -> Any:
    """The value for a CSV cell; text that a spreadsheet would read as a formula is escaped."""
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def _rows(table: Path) -> dict[str, dict[str, Any]]:
    """The complete rows of an earlier run."""
    if not table.is_file():
        return {}
    with table.open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file) if row.get("file") and row.get("ssim_with_vanilla")}
