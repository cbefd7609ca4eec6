"""The process's folder for temporary files: cleaned by age and size, removed at the end, like those of killed processes."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: a folder counts as abandoned after a day
    fcntl = None  # type: ignore[assignment]

AGE, CAP = 3600.0, 512_000_000
LEAST = 32_000_000  # bytes that must be free on the file system
DAY, MINUTE = 86400.0, 60.0
FILES = "files"


class NoRoom(ValueError):
    """There is no folder for temporary files; the message is one sentence."""


class Scratch:
    """A folder for this process's temporary files, readable only by its user.

    It is in GRADIO_TEMP_DIR if that is set, else in the system's temporary folder, or, if that is full or not writable,
    in memory (/dev/shm). Folders of processes that have ended are removed first.
    """

    def __init__(self) -> None:
        tried = []
        for base in _bases():
            try:
                self.folder = _own_folder(base)
                break
            except OSError as error:
                tried.append(error.strerror or str(error))
        else:
            raise NoRoom(
                f"Temporary files cannot be written ({tried[0].lower()}): make room, or name a folder in GRADIO_TEMP_DIR."
            )
        self.files = self.folder / FILES
        self._lock: int | None = None
        self._hold()
        self._kept: frozenset[Path] = frozenset()
        self._seen: dict[Path, tuple[int, float]] = {}  # a file's modification time, and when it was noticed

    def keep(self) -> None:
        """Exclude the current files, which belong to the page itself, from cleaning."""
        self._kept = frozenset(path for path, _ in self._found())

    def sweep(self, now: float, age: float = AGE, cap: float = CAP) -> int:
        """Delete files that were not modified for `age` seconds, then the oldest until at most `cap` bytes are left.

        now: of a monotonic clock. Returns the number of deleted files.
        """
        gone, total, before, self._seen = 0, 0, self._seen, {}
        with suppress(OSError):
            self._hold()
        for path, status in sorted(self._found(), key=lambda item: -item[1].st_mtime):
            if path in self._kept:
                continue
            touched, noticed = before.get(path, (0, now))
            noticed = noticed if touched == status.st_mtime_ns else now
            total += status.st_size
            if now - noticed > age or total > cap:
                with suppress(OSError):
                    path.unlink()
                    gone += 1
            else:
                self._seen[path] = status.st_mtime_ns, noticed
        for folder, _, _ in os.walk(self.files, topdown=False):
            with suppress(OSError):
                if Path(folder) != self.files and abs(time.time() - os.stat(folder).st_mtime) > 60:
                    os.rmdir(folder)
        return gone

    def size(self) -> int:
        """Bytes of all files in the folder."""
        return sum(status.st_size for _, status in self._found())

    def full(self) -> bool:
        """Whether the folder cannot be written now."""
        draft = self.folder / ".draft"
        try:
            self._hold()
            draft.write_bytes(b"\0" * 65536)
            return False
        except OSError:
            return True
        finally:
            with suppress(OSError):
                draft.unlink()

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _hold(self) -> None:
        """Create the folder and its lock, which shows other processes that it is in use, again if they were removed, as
        by a cleanup of temporary files. Such a cleanup keeps a locked folder."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if fcntl and not (self._lock is not None and os.path.samestat(os.fstat(self._lock), self.folder.stat())):
            if self._lock is not None:
                os.close(self._lock)
            self._lock = os.open(self.folder, os.O_RDONLY)
            with suppress(OSError):  # some network folders have no locks; then other processes keep the folder
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.files.mkdir(mode=0o700, exist_ok=True)

    def _found(self) -> Iterator[tuple[Path, os.stat_result]]:
        for folder, _, names in os.walk(self.files):
            for name in names:
                path = Path(folder, name)
                with suppress(OSError):
                    yield path, path.lstat()


def leftovers(base: Path) -> list[Path]:
    """The folders in `base` whose processes have ended."""
    return [folder for folder in base.glob("run-*") if folder.is_dir() and not folder.is_symlink() and _left(folder)]


def _bases() -> list[Path]:
    """Possible parent folders, the best first."""
    user = f"reweight-{os.getuid() if hasattr(os, 'getuid') else os.environ.get('USERNAME', 'user')}"
    bases = []
    if given := os.environ.get("GRADIO_TEMP_DIR"):
        named = Path(given).resolve()  # which may be a link, or a folder that several users write to
        bases = [named, named / user]
    with suppress(OSError):
        bases.append(Path(tempfile.gettempdir()) / user)
    return [*bases, Path("/dev/shm") / user] if Path("/dev/shm").is_dir() else bases


def _own_folder(base: Path) -> Path:
    """A new folder in base, after abandoned ones are removed. OSError if there is no space or no permission."""
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = base.lstat()
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode)):
        raise PermissionError(13, "the folder is another user's")
    for folder in leftovers(base):
        shutil.rmtree(folder, ignore_errors=True)
    if shutil.disk_usage(base).free < LEAST:
        raise OSError(28, "the disk is full")
    return Path(tempfile.mkdtemp(prefix="run-", dir=base)).resolve()


def _left(folder: Path) -> bool:
    """Whether the process that made a folder has ended, so that its lock is free."""
    try:
        age = time.time() - folder.stat().st_mtime
        if fcntl is None or not (folder / FILES).exists():  # a folder that was just made may not be locked yet
            return age > (DAY if fcntl is None else MINUTE)
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(lock)
        return True
    except OSError:
        return False
