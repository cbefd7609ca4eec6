"""What the page needs to know of a model: its defaults and limits, its words, its examples, where it comes from."""

from __future__ import annotations

from typing import Any

from .. import __version__
from ..engine.engine import Engine
from ..engine.inversion import invertible
from .controls import defaults
from .examples import examples
from .panels.names import block_facts
from .panels.word_chips import words_panel
from .wording import about_model


def about(engine: Engine, name: str) -> dict[str, Any]:
    """The facts about a model, as JSON."""
    loaded = engine.opened(name)
    card = loaded.card
    return {
        "model": name, "version": __version__, "defaults": defaults(card), "about": about_model(loaded), "words": words_panel(loaded),
        "surprise": loaded.vocabulary is not None, "invertible": invertible(loaded), "examples": examples(card.key),
        "limits": {
            "steps": card.max_steps, "first_step": card.max_steps, "last_step": card.max_steps, "size": card.max_size,
        },
        "blocks": block_facts(engine.blocks(name), card.size // loaded.pipe.vae_scale_factor),
    }  # fmt: skip
