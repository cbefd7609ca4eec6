"""models.lock.json: the commit at which each hub repository was first loaded, and which is used from then on."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path

from huggingface_hub import constants

from ..storage.atomic import write_atomic
from ..storage.strict_json import read_object
from .folder import ModelError

log = logging.getLogger(__name__)
NAME, FORMAT, MAX_BYTES = "models.lock.json", "reweight-lock-1", 1_000_000
SHIPPED = Path(__file__).parent.parent.parent / NAME
REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")


def own_file() -> Path:
    """The lock file: the one that REWEIGHT_LOCK names, else one in the assets of the hub's cache."""
    return Path(os.environ.get("REWEIGHT_LOCK") or Path(constants.HF_ASSETS_CACHE) / "reweight" / NAME)


def read_lock() -> dict[str, str]:
    """Commits by repository, "owner/name"; those in a lock beside app.py override the recorded ones.

    ModelError of one sentence for an invalid file, so that no other commit is loaded by mistake.
    """
    return _read(own_file()) | _read(SHIPPED)


def pinned(repositories: tuple[str, ...], commits: dict[str, str]) -> tuple[str, ...]:
    """The repositories, as "owner/name@commit" if a commit is recorded."""
    names = [repository.partition("@")[0] for repository in repositories]
    return tuple(
        f"{name}@{commits[name]}" if name in commits else repository
        for name, repository in zip(names, repositories, strict=True)
    )


def record(name: str, commit: str) -> None:
    """Record a repository's commit, unless it has one. If the file cannot be written, a warning is logged."""
    if name in read_lock():
        return
    path = own_file()
    commits = dict(sorted((_read(path) | {name: commit}).items()))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = (
            json.dumps(commits | {"format": FORMAT}, indent=1) + "\n"
        )  # "format" last, so that any other line can be deleted
        write_atomic(path, text.encode())
    except OSError as error:
        log.warning("The version of %s is not recorded: %s cannot be written (%s).", name, NAME, error.strerror)


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            commits = read_object(file.read(MAX_BYTES + 1), f"a {NAME}", MAX_BYTES)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _damaged(path) from error
    known = commits.pop("format", FORMAT) == FORMAT
    if not known or not all(
        REPOSITORY.fullmatch(name) and isinstance(commit, str) and COMMIT.fullmatch(commit)
        for name, commit in commits.items()
    ):
        raise _damaged(path)
    return commits


def _damaged(path: Path) -> ModelError:
    if path == SHIPPED:
        place = f"{NAME} beside app.py"
    elif os.environ.get("REWEIGHT_LOCK"):
        place = "The lock file that REWEIGHT_LOCK names"
    else:
        place = f"{NAME} in the Hugging Face cache's assets"
    return ModelError(f"{place} cannot be read or is damaged: repair it, or delete it to record the versions again.")
