"""The registry of scorers, and access to them by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from huggingface_hub import try_to_load_from_cache

from ..plugins import Registry
from .scorer import Scorer


@dataclass(frozen=True)
class Loading:
    """Options for loading a scorer.

    checkpoint, tokenizer: see `load_hps`; None for the downloaded ones. device: a torch device. batch_size: pictures
    per batch.
    """

    checkpoint: str | os.PathLike[str] | None = None
    tokenizer: str | os.PathLike[str] | None = None
    device: str = "cpu"
    batch_size: int = 16


@dataclass(frozen=True)
class ScorerEntry:
    """A registered scorer: key, title, and `load`, which raises ValueError of one sentence if it cannot be loaded."""

    key: str
    title: str
    load: Callable[[Loading], Scorer]


def _toy(options: Loading) -> Scorer:
    from .toy_scorer import load_toy_scorer

    return load_toy_scorer(device=options.device)


def _hps(version: str) -> Callable[[Loading], Scorer]:
    def load(options: Loading) -> Scorer:
        from .hps import load_hps

        named = {} if options.tokenizer is None else {"tokenizer": options.tokenizer}
        return load_hps(
            version, checkpoint=options.checkpoint, device=options.device, batch_size=options.batch_size, **named
        )

    return load


def _package(version: str) -> Callable[[Loading], Scorer]:
    def load(options: Loading) -> Scorer:
        from .hps_package import HPSPackage

        return HPSPackage(version)

    return load


SCORERS: Registry[ScorerEntry] = Registry("scorer", "reweight.scorers")
SCORERS.register(ScorerEntry("toy", "the embedded models' own", _toy))
SCORERS.register(ScorerEntry("hps", "HPS v2.0, as in the paper, from the official checkpoint", _hps("v2.0")))
SCORERS.register(ScorerEntry("hps-v2.1", "HPS v2.1, likewise; not comparable with v2.0", _hps("v2.1")))
SCORERS.register(ScorerEntry("hpsv2", "HPS v2.0 by the hpsv2 package", _package("v2.0")))
SCORERS.register(ScorerEntry("hpsv2-v2.1", "HPS v2.1 by the hpsv2 package", _package("v2.1")))


def scorer_named(name: str = "auto", *, embedded: bool = False, options: Loading | None = None) -> Scorer | None:
    """The scorer of that name; None for "none", and for "auto" if no scorer is available.

    "auto" is the toy scorer for an embedded model, else HPS v2.0 if it has been downloaded. embedded: whether the model
    is an embedded one. ValueError of one sentence if the named scorer cannot be loaded.
    """
    options = options or Loading()
    key = _best(embedded, options) if name == "auto" else name
    return None if key == "none" else checked_scorer(key).load(options)


def checked_scorer(name: str) -> ScorerEntry:
    """The entry of that name, without loading it. ValueError of one sentence for an unknown name."""
    if name not in SCORERS:
        raise ValueError(f"There is no scorer {name!r}: choose one of auto, {', '.join(SCORERS)}, none.")
    return SCORERS[name]


def _best(embedded: bool, options: Loading) -> str:
    from .hps import FILES, REPOSITORY
    from .toy_scorer import FOLDER

    if embedded and options.checkpoint is None and (FOLDER / "model.safetensors").is_file():
        return "toy"
    cached = isinstance(try_to_load_from_cache(REPOSITORY, FILES["v2.0"]), str)
    return "hps" if cached or options.checkpoint is not None else "none"
