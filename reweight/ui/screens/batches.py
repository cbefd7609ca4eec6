"""A batch on the Sweep screen: prompts × seeds × the page's columns, as a ZIP of named pictures with a CSV and a manifest."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from ...batch import Batch, Item, plan
from ...engine.engine import Waiting
from ...engine.points import Done
from ...engine.provenance import current_versions, png_bytes
from ...engine.request import RequestError
from ..pace import about_seconds
from ..wording import waiting
from .base import Call, Event

MOST, MOST_PUBLIC = 400, 48  # pictures; the command line has room for more
MOST_PROMPTS = 100
MARKUP = """
<details class="rw-card" id="batch"><summary>A batch: many prompts and seeds, as one ZIP</summary>
  <p class="rw-soft">Every prompt with every seed, in each column that Compare shows, with the settings on the page. The ZIP holds named PNG files with their
  settings, a CSV with scores and distances from vanilla, and a manifest.</p>
  <label class="rw-label" for="batch-prompts">Prompts, one per line</label><textarea id="batch-prompts" rows="4" maxlength="20000" spellcheck="false"></textarea>
  <div class="rw-line"><label for="batch-seeds">seeds</label><input type="text" id="batch-seeds" value="1-2" size="12" autocomplete="off">
  <button type="button" id="batch-draw">Draw the batch</button><span id="batch-cost" class="rw-soft" aria-live="polite"></span></div></details>
"""


def items_of(call: Call) -> list[Item]:
    """Every picture that is asked for. given: `prompts`, a line each; `seeds`, such as "1-4". RequestError otherwise."""
    prompts, seeds = call.given.get("prompts"), call.given.get("seeds")
    if not isinstance(prompts, str) or not isinstance(seeds, str):
        raise RequestError("Give prompts, one per line, and seeds, such as 1-4.")
    lines = [line.strip() for line in prompts.splitlines() if line.strip()]
    if not lines:
        raise RequestError("There are no prompts: give one per line.")
    if len(lines) > MOST_PROMPTS:
        raise RequestError(f"These are {len(lines)} prompts: give at most {MOST_PROMPTS} at once.")
    try:
        items = plan(call.engine, call.request(), Path(), lines, seeds.strip() or None, [])
    except ValueError as error:
        raise RequestError(str(error)) from error
    public, most = not call.engine.local, MOST_PUBLIC if not call.engine.local else MOST
    if len(items) > most:
        where = "on this public page " if public else "on the page "
        raise RequestError(
            f"A batch {where}has at most {most} pictures, not {len(items)}: give fewer, or use `python -m reweight generate`."
        )
    return items


def cost(call: Call) -> Iterator[Event | None]:
    """What a batch takes, in words, before it starts."""
    items = items_of(call)
    steps = sum(item.request.steps for item in items)
    most = MOST if call.engine.local else MOST_PUBLIC
    yield {
        "kind": "cost",
        "text": f"{len(items)} picture{'s' * (len(items) != 1)} (at most {most}), {steps} U-Net steps, plus the vanilla pictures to compare with{about_seconds(call, steps)}.",
    }


def draw(call: Call) -> Iterator[Event | None]:
    """Draw a batch: each picture as a file, then the CSV and the manifest."""
    items = items_of(call)
    files: list[Event] = []

    def save(place: Path, image: Image.Image, settings: dict[str, Any]) -> None:
        files.append(
            {"kind": "file", "name": place.name, "base64": base64.b64encode(png_bytes(image, settings)).decode()}
        )

    batch = Batch(call.engine, items, Path(), save=save, choose=call.chosen, client=call.client)
    for event in batch.draw(items):
        if isinstance(event, Waiting):
            yield waiting(event)
        elif isinstance(event, Done):
            yield {
                "kind": "status",
                "done": event.step / event.steps,
                "text": f"Batch: {event.step} of {event.steps} steps",
            }
        yield from files
        files.clear()
    yield from files
    manifest = {
        "format": "reweight-batch-1", "settings": call.request().settings(), "versions": current_versions(),
        "pictures": [batch.rows[item.file.name] for item in items],
    }  # fmt: skip
    yield {"kind": "file", "name": "pictures.csv", "text": batch.as_csv()}
    yield {"kind": "file", "name": "manifest.json", "text": json.dumps(manifest, indent=1, ensure_ascii=False)}
