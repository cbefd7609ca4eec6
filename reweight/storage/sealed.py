"""Checksummed files: a payload and the key that identifies it, with a SHA-256 over both."""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from pathlib import Path

from .atomic import write_atomic

log = logging.getLogger(__name__)
MAGIC = b"reweight-sealed-1"


class DamagedFile(ValueError):
    """A file with a wrong checksum, or one that is not a checksummed file."""


def write_sealed(path: Path, key: str, payload: bytes) -> None:
    """Write key and payload atomically. On OSError the old file is unchanged."""
    content = _content(key, payload)
    write_atomic(path, b"%s %s\n" % (MAGIC, _digest(content)) + content)


def read_sealed(path: Path) -> tuple[str, bytes]:
    """(key, payload) of a checksummed file. DamagedFile if any bit has changed; OSError if it cannot be read."""
    header, _, content = path.read_bytes().partition(b"\n")
    if header != b"%s %s" % (MAGIC, _digest(content)):
        raise DamagedFile(f"{path} is damaged, or is not a file of this kind.")
    length, _, rest = content.partition(b"\n")
    return rest[: int(length)].decode(), rest[int(length) :]


def quarantine(path: Path) -> None:
    """Rename an unusable file to `<name>.damaged`, so that it is not read again but can be inspected."""
    log.warning("%s is damaged or of another version: it is renamed, and its content is computed again.", path.name)
    try:
        path.replace(path.with_name(f"{path.name}.damaged"))
    except OSError:
        with suppress(OSError):
            path.unlink()


def _content(key: str, payload: bytes) -> bytes:
    encoded = key.encode()
    return b"%d\n" % len(encoded) + encoded + payload


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
