"""Benchmark prompts: HPD v2, a set in the embedded models' vocabulary, or a user's file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from huggingface_hub import hf_hub_download

from ...toy.world.scenes import SETTINGS, STYLES, draw_scene

CATEGORIES = ("anime", "concept-art", "paintings", "photo")
STYLE_OF = {"anime": "anime", "concept-art": "concept art", "paintings": "painting", "photo": "photo"}
EMBEDDED = 200  # per category, as in the paper
REPOSITORIES = ("ymhao/HPDv2", "zhwang/HPDv2")
MAX_BYTES = 5_000_000
Prompts = dict[str, list[str]]


def read_prompts(source: str, limit: int) -> Prompts:
    """The first `limit` prompts of each category, in a fixed random order, so that a larger limit includes a smaller's.

    source: "embedded"; "hpd", from the hpsv2 package's folder if it exists, else downloaded; a folder with anime.json,
    concept-art.json, paintings.json and photo.json; or a file with one category, a JSON list or one prompt per line.
    ValueError of one sentence if it cannot be read or has too few prompts.
    """
    if limit < 1:
        raise ValueError(f"The limit is the number of prompts per category, at least 1, not {limit}.")
    found = _all(source)
    for category, prompts in found.items():
        if limit > len(prompts):
            raise ValueError(f"There are {len(prompts)} prompts in {category}: ask for at most as many with --limit.")
    return {category: _drawn(prompts, limit) for category, prompts in found.items()}


def embedded() -> Prompts:
    """200 fixed prompts in each category, in the vocabulary of `toy.world`."""
    found: Prompts = {}
    for number, (category, style) in enumerate(STYLE_OF.items()):
        rng = np.random.default_rng([number, EMBEDDED])
        said: dict[str, None] = {}
        while len(said) < EMBEDDED:
            scene = draw_scene(rng, damage=0.0)
            things = f" {scene.relation} ".join(thing.phrase() for thing in scene.things)
            said[STYLES[style][0].format(f"{things} {SETTINGS[scene.setting][0]}")] = None
        found[category] = list(said)
    return found


def _all(source: str) -> Prompts:
    if source == "embedded":
        return embedded()
    if source == "hpd":
        folder = Path(os.environ.get("HPS_ROOT") or Path.home() / ".cache" / "hpsv2") / "datasets" / "benchmark"
        names = {category: folder / f"{category}.json" for category in CATEGORIES}
        there = all(path.is_file() for path in names.values())
        return {category: _read(path if there else _download(path.name)) for category, path in names.items()}
    path = Path(source)
    if path.is_dir():
        return {category: _read(path / f"{category}.json") for category in CATEGORIES}
    return {path.stem: _read(path)}


def _download(name: str) -> Path:
    for repository in REPOSITORIES:
        try:
            return Path(hf_hub_download(repository, f"benchmark/{name}", repo_type="dataset"))
        except Exception:
            continue
    raise ValueError(
        f"HPD v2's prompts cannot be downloaded (tried {', '.join(REPOSITORIES)}): give their folder, or use --prompts "
        "embedded."
    )


def _read(path: Path) -> list[str]:
    if not path.is_file():
        raise ValueError(f"There are no prompts in {path}: give embedded, hpd, a folder of HPD v2's, or a file.")
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path.name} is larger than {MAX_BYTES // 1_000_000} MB: split it.")
    try:
        text = data.decode("utf-8-sig")
        found = json.loads(text) if path.suffix == ".json" else text.splitlines()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} cannot be read: it is not UTF-8 text, or not JSON.") from error
    if not isinstance(found, list) or not all(isinstance(prompt, str) for prompt in found):
        raise ValueError(f'{path.name} is not a list of prompts: give ["a prompt", …], or one prompt per line.')
    return list(dict.fromkeys(prompt.strip() for prompt in found if prompt.strip()))


def _drawn(prompts: Sequence[str], limit: int) -> list[str]:
    order = np.random.default_rng(0).permutation(len(prompts))[:limit]
    return [prompts[i] for i in order]
