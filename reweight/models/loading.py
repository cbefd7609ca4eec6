"""Loads a model: its device, dtype and pipeline."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("DIFFUSERS_DISABLE_REMOTE_CODE", "1")

import torch

from ..patching.blocks import target_blocks
from . import hub
from .folder import ModelError, Progress, check_sums, fingerprint, open_folder, out_of_memory, read_index, sha256
from .limits import check_configurations, check_files
from .placing import usual_dtype
from .registry import DEFAULT, REGISTRY, ModelCard, card_for, family_of, folder_named, unlisted
from .texts import Texts
from .threads import limit_threads
from .vocabulary import Vocabulary, read_vocabulary


@dataclass(frozen=True)
class LoadedModel:
    """A pipeline on its device, and where it came from.

    source: repository id or folder name for people, never a path. revision: a repository's commit; for a folder, the
    first 12 digits of a checksum over its files. dtype: "float16", "bfloat16" or "float32". vocabulary: the words that
    the model knows, if its folder lists them. texts: the cache of encoded prompts.
    """

    pipe: Any
    card: ModelCard
    source: str
    revision: str
    device: str
    dtype: str
    vocabulary: Vocabulary | None = None
    texts: Texts = field(default_factory=Texts, init=False, compare=False, repr=False)


def load_model(
    name: str = DEFAULT,
    *,
    device: str | None = None,
    dtype: str | torch.dtype | None = None,
    local: bool = False,
    on_progress: Progress | None = None,
    autoencoder: Path | None = None,
) -> LoadedModel:
    """Load a model by its registry key; with local=True also any folder or hub id ("owner/name", "owner/name@commit").

    device: by default CUDA, else MPS, else the CPU. dtype: by default float16 on CUDA; bfloat16 for downloaded models
    on a CPU that supports it; else float32.
    autoencoder: the folder of an AutoencoderTiny made for the model, faster and smaller than its own; it is named in the
    revision. on_progress: called with (stage, fraction, text), stage "downloading" or "loading"; an exception that it
    raises stops the loading and is passed on.
    A hub model is always loaded at the commit of its first loading, which models.lock.json records, unless the name has
    another: "owner/name@commit".
    Only pipelines of known classes from safetensors files are loaded, without remote code; every weight must be present
    and finite, and match its checksum if the folder has a SHA256SUMS.json. ModelError of one sentence otherwise.
    """
    report = on_progress or (lambda stage, fraction, text: None)
    card = card_for(name, local=local)
    device = device_for(device)
    folder = (
        Path(card.repositories[0]) if card.embedded else folder_named(name) if local and name not in REGISTRY else None
    )
    kind = _dtype(dtype, device, downloaded=folder is None)
    if card.embedded and not folder.is_dir():
        raise ModelError(f"The embedded model {card.key} is missing: get this demo again with its assets folder.")
    if folder is not None:
        source = card.key if card.embedded else card.title
        check_files(folder, source)
        check_sums(folder, source, required=card.embedded)
        check_configurations(folder, source)
        read_index(folder, source)
        revision = fingerprint(folder)
    else:
        half = kind != torch.float32
        folder, source, revision = hub.fetch(
            card.repositories, card.title, half=half, on_progress=report, locked="@" not in card.key
        )
    if autoencoder is not None:
        if not (autoencoder / "config.json").is_file():
            raise ModelError(
                f"There is no autoencoder in the folder {autoencoder.name!r}: name one that diffusers saved."
            )
        files = sorted(path for path in autoencoder.iterdir() if path.suffix in (".json", ".safetensors"))
        revision += "+" + hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest()[:12]
    pipe = open_folder(folder, source, kind, device, report, autoencoder)
    try:
        target_blocks(pipe.unet)
    except ValueError as error:
        raise ModelError(
            f"{source} has a U-Net without Transformer blocks, so there is nothing to re-weight."
        ) from error
    limit_threads(pipe)
    if card.key not in REGISTRY:
        card = _measured(card, pipe)
    return LoadedModel(pipe, card, source, revision, device, str(kind).removeprefix("torch."), read_vocabulary(folder))


def load(name: str = DEFAULT, **options: Any) -> Any:
    """A diffusers pipeline by registry key, folder or hub id; options as in `load_model`, with local=True."""
    return load_model(name, **({"local": True} | options)).pipe


def device_for(device: str | None) -> str:
    """The device of that name, by default CUDA, else MPS, else the CPU. ModelError if it does not exist."""
    if device is None:
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        if out_of_memory(error):
            raise ModelError("There is no memory left on that device: close other programs on it.") from error
        raise ModelError("There is no such device here: choose cuda, mps or cpu, or leave it out.") from error
    return str(device)


def _dtype(dtype: str | torch.dtype | None, device: str, downloaded: bool) -> torch.dtype:
    if dtype is None:
        return usual_dtype(device, downloaded)
    kinds = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
    found = kinds.get(str(dtype).removeprefix("torch."))
    if found is None:
        raise ModelError(f"Weights are loaded as {' or '.join(kinds)}, nothing else.")
    return found


def _measured(card: ModelCard, pipe: Any) -> ModelCard:
    """The card with the family and picture size of the loaded U-Net."""
    config = pipe.unet.config
    if (family := family_of(config, card.title)) != card.family:
        card = unlisted(card.key, card.title, family)
    side = config.sample_size
    size = side * pipe.vae_scale_factor // 8 * 8 if isinstance(side, int) else card.size
    size = max(64, size)
    return replace(card, size=size, max_size=max(size, min(2 * size, 1536)))
