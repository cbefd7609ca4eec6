"""What ships beside the weights: a grid of uncurated samples, and the probed tables of the example prompts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ...engine.engine import Agreement, Engine
from ...engine.request import validate
from ...engine.resolving import CALIBRATED, EXAMPLES
from ...probing.importance_probe import ProbeSnapshot
from ...schedule import ImportanceTable
from .dataset import scene_at
from .scenes import draw_caption
from .sheet import captioned


def sample_grid(
    pipe, count: int, *, seed: int, steps: int, guidance: float, held_out: bool, columns: int = 8
) -> Image.Image:
    """`count` pictures with their captions under them, nothing chosen or left out."""
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

    A table that is there already, of the same model, is left as it is.
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
