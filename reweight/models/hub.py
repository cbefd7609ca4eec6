"""Model repositories on the Hugging Face hub, downloaded once and then read from the cache."""

from __future__ import annotations

import errno
import io
import re
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
from tqdm import tqdm

from ..storage.strict_json import read_object
from . import lock
from .folder import INDEX, JSON_BYTES, NETWORKS, PARTS, ModelError, Progress, weight_files

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(@[\w.-]{1,64})?", re.ASCII)
SECONDS = 10
ONCE = "it must be downloaded once with a network, and the embedded model works without one"


def fetch(
    repositories: tuple[str, ...], title: str, *, half: bool, on_progress: Progress, locked: bool = False
) -> tuple[Path, str, str]:
    """The first repository that is available: (folder in the cache, its id, commit).

    repositories: "owner/name" or "owner/name@commit". half: prefer weights in half precision. locked: use the commit
    recorded in models.lock.json, and record it there the first time. An exception that on_progress raises stops the
    download and is passed on. ModelError of one sentence if none is available.
    """
    commits = lock.read_lock() if locked else {}
    folder, name, commit = _first(lock.pinned(repositories, commits), commits, title, half, on_progress)
    if locked:
        lock.record(name, commit)
    return folder, name, commit


def _first(
    repositories: tuple[str, ...], commits: dict[str, str], title: str, half: bool, on_progress: Progress
) -> tuple[Path, str, str]:
    for repository in repositories:
        name, _, pin = repository.partition("@")
        if pin and (folder := _cached(name, pin, half)):
            return folder, name, folder.name
    if constants.HF_HUB_OFFLINE:
        return _from_cache(repositories, title, half, "the network is switched off (HF_HUB_OFFLINE)")
    why = ""
    for repository in repositories:
        name, _, pin = repository.partition("@")
        try:
            info = _listing(name, pin)
        except GatedRepoError:
            why = f"{name} requires accepting its licence on huggingface.co, and then `hf auth login`"
        except RevisionNotFoundError:
            update = f": delete its line in {lock.NAME} to load another" if name in commits else ""
            why = why or f"version {pin[:12]} of {name} no longer exists{update}"
        except (RepositoryNotFoundError, HFValidationError):
            why = why or "it no longer exists, or is not public"
        except Exception:
            return _from_cache(repositories, title, half, "huggingface.co cannot be reached")
        else:
            return _download(name, info, title, half, on_progress), name, info.sha
    tried = ", ".join(repository.partition("@")[0] for repository in repositories)
    raise ModelError(f"{title} is not available: {why} (tried {tried}).")


def download_bytes(repositories: tuple[str, ...], *, half: bool) -> int | None:
    """How many bytes `fetch` would download with an empty cache; None if unknown."""
    for repository in repositories if not constants.HF_HUB_OFFLINE else ():
        name, _, pin = repository.partition("@")
        try:
            info = _listing(name, pin)
        except Exception:
            continue
        return sum(size for _, size in _wanted(info, half))
    return None


def _listing(name: str, revision: str) -> Any:
    """A repository's commit, and its files with their sizes, from the hub."""
    api = HfApi(endpoint=constants.ENDPOINT)
    return api.model_info(name, revision=revision or None, timeout=SECONDS, files_metadata=True)


def _from_cache(repositories: tuple[str, ...], title: str, half: bool, why: str) -> tuple[Path, str, str]:
    for repository in repositories:
        name, _, pin = repository.partition("@")
        if folder := _cached(name, pin or None, half):
            return folder, name, folder.name
    raise ModelError(f"{title} is not on this machine and {why}: {ONCE}.")


def _cached(name: str, revision: str | None, half: bool) -> Path | None:
    """The snapshot in the cache, if it has the index and the weights of every network."""
    found = try_to_load_from_cache(name, INDEX, revision=revision)
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    text = Path(found).read_text(encoding="utf-8", errors="replace")
    parts = [part for part in NETWORKS if re.search(rf'"{part}"\s*:\s*\[\s*"', text)]
    whole = all((folder / p).is_dir() and weight_files((f.name for f in (folder / p).iterdir()), half) for p in parts)
    return folder if whole else None


def cached_config(repository: str) -> dict[str, Any] | None:
    """The U-Net's configuration of a repository, "owner/name" or "owner/name@commit"; None if it is not in the cache.

    Without a commit, the one recorded in models.lock.json is used.
    """
    name, _, pin = repository.partition("@")
    try:
        found = try_to_load_from_cache(name, "unet/config.json", revision=pin or lock.read_lock().get(name))
        if not isinstance(found, str):
            return None
        with Path(found).open("rb") as file:
            return read_object(file.read(JSON_BYTES + 1), "a U-Net's configuration", JSON_BYTES)
    except (OSError, ValueError):
        return None


def _wanted(info: Any, half: bool) -> list[tuple[str, int]]:
    """(file, bytes) of the files that a pipeline needs, from a repository's listing."""
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings}
    chosen = [INDEX] if INDEX in sizes else []
    weights = []
    for part in PARTS:
        inside = [name.removeprefix(f"{part}/") for name in sizes if name.startswith(f"{part}/")]
        inside = [name for name in inside if "/" not in name]
        chosen += [f"{part}/{name}" for name in inside if name.endswith((".json", ".txt"))]
        weights += [f"{part}/{name}" for name in weight_files(inside, half)]
    return [
        (name, sizes[name]) for name in chosen + weights
    ]  # weights last, so that a snapshot with weights is complete


def _download(name: str, info: Any, title: str, half: bool, on_progress: Progress) -> Path:
    wanted = _wanted(info, half)
    if not wanted or wanted[0][0] != INDEX:
        raise ModelError(f"{title} is not a pipeline saved by diffusers: {name} has no {INDEX}.")
    total, done, folder = max(sum(size for _, size in wanted), 1), 0, Path()
    for file, size in wanted:
        bar = _bar(on_progress, done, total, file)
        try:
            bar.report(0)
            path = hf_hub_download(
                name, file, revision=info.sha, endpoint=constants.ENDPOINT, etag_timeout=SECONDS, tqdm_class=bar
            )
        except GatedRepoError as error:
            raise ModelError(f"{name} requires accepting its licence on huggingface.co first.") from error
        except Exception as error:
            if bar.stopped is not None:
                raise bar.stopped from None
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EROFS, errno.EACCES):
                raise ModelError(f"{title} cannot be stored: the disk is full or may not be written.") from error
            raise ModelError(f"The download of {title} was interrupted: try again, finished parts are kept.") from error
        done += size
        folder = Path(path).parent if file == INDEX else folder
    on_progress("downloading", 1.0, f"{total / 1e9:.1f} GB")
    return folder


def _bar(on_progress: Progress, done: int, total: int, file: str) -> Any:
    """A class for the hub's progress bars that prints nothing, reports, and stores exceptions of on_progress."""

    class Bar(tqdm):
        stopped: BaseException | None = None

        def __init__(self, *args: Any, **options: Any):
            self.sink = io.StringIO()
            super().__init__(*args, **(options | {"file": self.sink, "disable": False, "mininterval": 3600}))

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            Bar.report(self.n)

        @staticmethod
        def report(n: float) -> None:
            now = min(done + n, total)
            try:
                on_progress("downloading", now / total, f"{now / 1e9:.1f} of {total / 1e9:.1f} GB, {file}")
            except BaseException as error:
                Bar.stopped = error
                raise

    return Bar
