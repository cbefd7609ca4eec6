"""A scorer by its name."""

from __future__ import annotations

import os

from huggingface_hub import try_to_load_from_cache

from .scorer import Scorer

NAMES = ("auto", "toy", "hps", "hps-v2.1", "hpsv2", "hpsv2-v2.1", "none")


def scorer_named(
    name: str = "auto",
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    batch_size: int = 16,
    embedded: bool = False,
) -> Scorer | None:
    """The scorer of that name; None for "none", and for "auto" where nothing is here to score with.

    "auto" is the toy scorer for an embedded model, else HPS v2.0 where it has been downloaded. "toy" knows the embedded
    models' world only. "hps" is HPS v2.0, as in the paper, and "hps-v2.1" the later weights, both from the official
    checkpoint; "hpsv2" and "hpsv2-v2.1" are the hpsv2 package itself. embedded: whether the model is an embedded one.
    checkpoint, tokenizer: see `load_hps`. ValueError of one sentence where what is asked for cannot be had.
    """
    from .hps import FILES, REPOSITORY, load_hps
    from .toy_scorer import FOLDER, load_toy_scorer

    if name not in NAMES:
        raise ValueError(f"There is no scorer {name!r}: choose one of {', '.join(NAMES)}.")
    kind, _, version = name.partition("-")
    version = version or "v2.0"
    if kind == "auto":
        toy = embedded and checkpoint is None and (FOLDER / "model.safetensors").is_file()
        cached = isinstance(try_to_load_from_cache(REPOSITORY, FILES[version]), str)
        kind = "toy" if toy else "hps" if cached or checkpoint is not None else "none"
    if kind == "none":
        return None
    if kind == "toy":
        return load_toy_scorer(device=device)
    if kind == "hpsv2":
        from .hps_package import HPSPackage

        return HPSPackage(version)
    named = {} if tokenizer is None else {"tokenizer": tokenizer}
    return load_hps(version, checkpoint=checkpoint, device=device, batch_size=batch_size, **named)
