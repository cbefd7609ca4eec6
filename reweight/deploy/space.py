"""Uploads the demo to a Hugging Face Space, only the files that it needs, in one commit."""

from __future__ import annotations

import re
from pathlib import Path

from ..models.folder import PARTS

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
ALONE = ("app.py", "README.md", "requirements.txt", "LICENSE", "NOTICE")
LEFT_OUT = (
    "reweight/bench/",
    "reweight/toy/",
    "reweight/deploy/",
    "reweight/__main__.py",
    "reweight/commands/",
    "assets/toy-judge/",
)
ENDINGS = {
    ".py",
    ".js",
    ".css",
    ".json",
    ".html",
    ".svg",
    ".safetensors",
    ".png",
    ".jpg",
    ".webp",
    ".md",
    ".typed",
    ".txt",
    ".woff2",
}
LARGEST = 10_000_000  # bytes; larger files need Git LFS storage


class DeployError(ValueError):
    """The demo cannot be uploaded; the message is one sentence."""


def files_of(root: Path = ROOT) -> list[str]:
    """The files that a Space needs, relative to the checkout: the page, the library, the models, the card.

    Training, benchmarks, tests and documents are not included. DeployError if root is not a checkout, or a file has an
    unexpected type or size, so that nothing private is uploaded.
    """
    if missing := [name for name in ALONE if not (root / name).is_file()]:
        raise DeployError(f"This is no checkout of the demo, {missing[0]} is missing: run the command from one.")
    found = list(ALONE)
    for folder in ("reweight", "assets"):
        for path in sorted((root / folder).rglob("*")):
            name = path.relative_to(root).as_posix()
            hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(root).parts)
            if hidden or not path.is_file() or name.startswith(LEFT_OUT):
                continue
            if path.is_symlink() or path.suffix not in ENDINGS:
                raise DeployError(f"{name} is not of a kind that a Space needs: move it away, then try again.")
            if path.stat().st_size >= LARGEST:
                raise DeployError(f"{name} has {path.stat().st_size / 1e6:.0f} MB, and a Space takes 10 at most.")
            found.append(name)
    if not any(name.startswith(f"assets/toy/{part}/") for name in found for part in PARTS):
        raise DeployError("The embedded model is missing: get the demo again with its assets folder.")
    return found


def upload(
    name: str, *, private: bool = False, hardware: str | None = None, dry_run: bool = False, root: Path = ROOT
) -> str:
    """Create the Space OWNER/NAME if needed, and replace its files by ours in one commit; returns a summary.

    Files of an earlier upload that are no longer needed are deleted. The hub's API is used, because a Space rejects
    binary files pushed with git. The token is that of `hf auth login`, or HF_TOKEN.
    """
    if not NAME.fullmatch(name):
        raise DeployError(f"A Space is named OWNER/NAME, not {name[:80]!r}.")
    files = files_of(root)
    size = sum((root / file).stat().st_size for file in files)
    summary = f"{len(files)} files, {size / 1e6:.1f} MB"
    if dry_run:
        return "\n".join([*files, summary])
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    api = HfApi()
    try:
        api.create_repo(
            name, repo_type="space", space_sdk="gradio", private=private, exist_ok=True, space_hardware=hardware
        )
        there = set(api.list_repo_files(name, repo_type="space")) - {*files, ".gitattributes"}
        operations = [
            *(CommitOperationDelete(file) for file in sorted(there)),
            *(CommitOperationAdd(file, root / file) for file in files),
        ]
        commit = api.create_commit(name, operations, repo_type="space", commit_message="Upload the demo")
    except LocalTokenNotFoundError as error:
        raise DeployError("You are not logged in to the hub: run `hf auth login` first.") from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            message = "The hub refuses this: log in with a token that may write there (`hf auth login`)."
        else:
            message = f"The hub answered {status}: try again, and look at the Space's page."
        raise DeployError(message) from error
    return f"{constants.ENDPOINT}/spaces/{name}: {summary}, commit {commit.oid[:8]}. It starts in a few minutes."
