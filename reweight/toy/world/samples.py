"""Files that ship with a model: a grid of uncurated samples, probed tables and thumbnails of the example prompts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ...engine.drawing import draw
from ...engine.engine import Agreement, Engine
from ...engine.provenance import current_versions
from ...engine.request import validate
from ...engine.resolving import CALIBRATED, EXAMPLES
from ...probing.importance_probe import ProbeSnapshot
from ...schedule import ImportanceTable
from ...ui.examples import slug
from .dataset import scene_at
from .scenes import draw_caption
from .sheet import captioned

SEED, SIDE = 7, 96  # the page's default seed; pixels of a thumbnail


def sample_grid(
    pipe, count: int, *, seed: int, steps: int, guidance: float, held_out: bool, columns: int = 8
) -> Image.Image:
    """`count` uncurated pictures with their captions under them."""
    scenes = [scene_at(seed + 900, i, held_out=held_out) for i in range(count)]
    captions = [draw_caption(scene, np.random.default_rng([seed, i, 3])) for i, scene in enumerate(scenes)]
    images: list[Image.Image] = []
    for i in range(0, count, 8):
        part = captions[i : i + 8]
        generators = [torch.Generator().manual_seed(seed + i + k) for k in range(len(part))]
        images += pipe(part, num_inference_steps=steps, guidance_scale=guidance, generator=generators).images
    return captioned(images, captions, columns)


def probe_examples(model: str, folder: Path) -> Iterator[Path]:
    """Probe the app's example prompts with the paper's public settings and with ours; yields each file written.

    Existing tables of the same model are not probed again.
    """
    engine = Engine((model,))
    folder.mkdir(parents=True, exist_ok=True)
    for prompt in EXAMPLES:
        request = validate(engine.card(model), prompt=prompt, model=model)
        for preset in ("paper-code", CALIBRATED):
            name = re.sub(r"[^a-z]+", "-", prompt.lower()).strip("-")
            path = folder / f"{name}{'' if preset == 'paper-code' else f'.{preset}'}.json"
            if path.exists() and ImportanceTable.load(path).revision == engine.opened(model).revision:
                continue
            *_, last = (event for event in engine.probe(request, preset=preset) if isinstance(event, ProbeSnapshot))
            *_, found = (
                event for event in engine.agreement(request, last.table.scores) if isinstance(event, Agreement)
            )
            found.recorded_in(last.table).save(path)
            yield path
    engine.close()


def draw_examples(model: str, folder: Path) -> Iterator[Path]:
    """Draw the thumbnails of the example prompts; yields each file written."""
    engine = Engine((model,))
    loaded = engine.opened(model)
    folder.mkdir(parents=True, exist_ok=True)
    for prompt in EXAMPLES:
        request = validate(loaded.card, prompt=prompt, model=model, seed=SEED)
        path = folder / f"{slug(prompt)}.webp"
        draw(loaded, request).images[0].resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(path, quality=85, method=6)
        yield path
    about = {
        "prompts": list(EXAMPLES),
        "model": model,
        "revision": loaded.revision,
        "seed": SEED,
        "versions": current_versions(),
    }
    path = folder / "provenance.json"
    path.write_text(
        json.dumps(about | {"steps": loaded.card.steps, "guidance": loaded.card.guidance}, indent=1) + "\n",
        encoding="utf-8",
    )
    yield path
    engine.close()
