"""What one visitor has: importance tables, the pictures last shown, and what has been made. Kept on the server."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np

from ..engine.engine import Picture
from ..engine.request import Request
from ..schedule import ImportanceTable

KEPT_TABLES, KEPT_PICTURES, KEPT_SESSIONS = 20, 48, 512


@dataclass(frozen=True)
class Tables:
    """The importance tables of one visitor: probed here, newest last, and one loaded from a file."""

    probed: tuple[ImportanceTable, ...] = ()
    pinned: ImportanceTable | None = None

    def with_probed(self, table: ImportanceTable) -> Tables:
        """With a newly probed table in the place of the one before it; a loaded one makes way."""
        new = (table.prompt, table.model, table.steps, table.method)
        others = tuple(old for old in self.probed if (old.prompt, old.model, old.steps, old.method) != new)
        return Tables((*others, table)[-KEPT_TABLES:])


@dataclass(frozen=True)
class Made:
    """A picture that was shown, with the request that it came from."""

    request: Request
    picture: Picture


@dataclass
class Session:
    """One visitor. `id` is known to their browser alone. pictures: by key, the newest last. direct: what switching each
    block off does, (T, m), by what vanilla depends on.

    Each act of a screen that begins takes the place of the one before it, which stops within a step.
    """

    id: str
    tables: Tables = field(default_factory=Tables)
    pictures: OrderedDict[str, Made] = field(default_factory=OrderedDict)
    direct: OrderedDict[Hashable, np.ndarray] = field(default_factory=OrderedDict)
    _acts: dict[str, object] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, act: str) -> object:
        """A token for an act that begins; the token before it is no longer current."""
        with self._lock:
            token = self._acts[act] = object()
        return token

    def current(self, act: str, token: object) -> bool:
        """Whether an act is still wanted: nothing newer has begun in its place and Stop was not pressed."""
        return self._acts.get(act) is token

    def end(self, act: str, token: object) -> None:
        """Forget an act that has ended."""
        with self._lock:
            if self._acts.get(act) is token:
                del self._acts[act]

    def stop(self) -> None:
        """Stop everything that this visitor has running."""
        with self._lock:
            self._acts.clear()

    def keep_direct(self, key: Hashable, errors: np.ndarray) -> None:
        """Remember a direct check."""
        with self._lock:
            self.direct[key] = errors
            while len(self.direct) > KEPT_TABLES:
                self.direct.popitem(last=False)

    def keep(self, key: str, made: Made) -> None:
        """Remember a picture that is shown."""
        with self._lock:
            self.pictures[key] = made
            self.pictures.move_to_end(key)
            while len(self.pictures) > KEPT_PICTURES:
                self.pictures.popitem(last=False)


class Sessions:
    """The visitors' sessions by id, at most KEPT_SESSIONS: those that were not seen for longest are forgotten."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self) -> Session:
        """A session for somebody new."""
        session = Session(secrets.token_urlsafe(18))
        with self._lock:
            self._kept[session.id] = session
            while len(self._kept) > KEPT_SESSIONS:
                self._kept.popitem(last=False)[1].stop()
        return session

    def of(self, id: object) -> Session:
        """The session of an id. ValueError of one sentence where there is none any more."""
        with self._lock:
            if not isinstance(id, str) or id not in self._kept:
                raise ValueError("This page was open for too long, or the demo has started again: reload the page.")
            self._kept.move_to_end(id)
            return self._kept[id]
