"""Checks of a pipeline's folder before it is opened: regular files only, and plausible numbers in configurations."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..storage.strict_json import read_object
from .folder import PARTS, ModelError

FILES = 200  # in one component
TEXT_BYTES, JSON_BYTES = 20_000_000, 1_000_000
LAYERS, TIMESTEPS, LENGTH, NUMBER = 200, 10_000, 64, 1_000_000
TEXTS = (".json", ".txt", ".model")


def check_files(folder: Path, title: str) -> None:
    """ModelError of one sentence for a folder with files that could block a reader.

    Every file must be a regular file inside the folder (or in the hub's cache, for a snapshot): a link may point to a
    device.
    """
    inside = folder.resolve()
    roots = {inside}
    if folder.parent.name == "snapshots":
        roots.add(inside.parent.parent)
    for part in PARTS:
        home = folder / part
        if not home.is_symlink() and not home.exists():
            continue
        if home.is_symlink() or not home.is_dir():
            raise ModelError(f"{title} has a part that is not a folder of its own, {part}: copy the files themselves.")
        for number, path in enumerate(home.iterdir()):
            if number >= FILES:
                raise ModelError(f"{title} has too many files in its part {part}: more than {FILES}.")
            if path.is_dir() and not path.is_symlink():
                continue
            _check_file(path, roots, part, title)


def check_configurations(folder: Path, title: str) -> None:
    """ModelError of one sentence for a configuration with implausible numbers, or one that cannot be read.

    Numbers are bounded because a network is built before its weights are compared with it. Call `check_files` first.
    """
    for part in PARTS:
        if not part.startswith("tokenizer"):
            for path in sorted((folder / part).glob("*config.json")):
                _check_config(path, part, title)


def _check_file(path: Path, roots: set[Path], part: str, title: str) -> None:
    try:
        whole = path.resolve(strict=True)
        regular = any(whole.is_relative_to(root) for root in roots) and stat.S_ISREG(whole.stat().st_mode)
    except (OSError, RuntimeError):
        regular = False
    if not regular:
        raise ModelError(f"{title} has a file in its part {part} that is not its own: copy the files themselves.")
    if path.suffix in TEXTS and whole.stat().st_size > TEXT_BYTES:
        raise ModelError(f"{title} has a text file in its part {part} that is too large: get it again.")


def _check_config(path: Path, part: str, title: str) -> None:
    damaged = f"{title} is damaged: the configuration of its part {part} cannot be read, get it again."
    try:
        with path.open("rb") as file:
            config = read_object(file.read(JSON_BYTES + 1), "a configuration", JSON_BYTES)
    except (OSError, ValueError) as error:
        raise ModelError(damaged) from error
    for name, value in _leaves(config):
        large = (
            len(value) > (TIMESTEPS if "betas" in name else 10_000 if "label" in name else LENGTH)
            if isinstance(value, list)
            else abs(value) > (LAYERS if "layers" in name else TIMESTEPS if "timesteps" in name else NUMBER)
        )
        if large:
            raise ModelError(
                f"{title} has a configuration that no model here needs: {part} is too large in {name[:40]!r}."
            )


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every list and every number in a configuration, with its key."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, key)
    elif isinstance(value, list):
        yield name, value
        for item in value:
            yield from _leaves(item, name)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield name, value
