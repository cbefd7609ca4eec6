"""What one visitor has: importance tables, the pictures last shown, and what has been made. Kept on the server."""

from __future__ import annotations

import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ..engine.engine import Picture
from ..engine.request import Request
from ..engine.resolving import CALIBRATED, is_calibrated
from ..schedule import ImportanceTable
from ..weight_table import WeightTable

KEPT_TABLES, KEPT_SESSIONS = 20, 512
KEPT_BYTES = 24_000_000  # of one visitor's pictures
ALL_BYTES = 192_000_000  # of all visitors' pictures and tables
AS_OBJECTS = 8  # bytes in memory for a letter of a table's JSON


@dataclass(frozen=True)
class Tables:
    """The tables of one visitor: probed here, newest last; weights tuned here, by prompt; one loaded from a file."""

    probed: tuple[ImportanceTable, ...] = ()
    pinned: ImportanceTable | None = None
    tuned: tuple[tuple[str, WeightTable], ...] = ()

    def with_probed(self, table: ImportanceTable) -> Tables:
        """With a newly probed table in the place of the one before it; a loaded one makes way."""
        new = (table.prompt, table.model, table.steps, table.method)
        others = tuple(old for old in self.probed if (old.prompt, old.model, old.steps, old.method) != new)
        return Tables((*others, table)[-KEPT_TABLES:], tuned=self.tuned)

    def loaded(self, schedule: str) -> ImportanceTable | None:
        """The table loaded from a file, if it is of the preset that a schedule uses."""
        ours = schedule == CALIBRATED
        return self.pinned if self.pinned and is_calibrated(self.pinned) == ours else None

    def with_tuned(self, prompt: str, table: WeightTable) -> Tables:
        """With weights that were tuned for a prompt, in the place of those before of as many steps."""
        new = (prompt, table.model, table.steps)
        others = tuple(old for old in self.tuned if (old[0], old[1].model, old[1].steps) != new)
        return replace(self, tuned=(*others, (prompt, table))[-KEPT_TABLES:])

    def of(self, prompt: str) -> tuple[ImportanceTable | WeightTable, ...]:
        """Those that were made here and may serve a prompt."""
        return (*self.probed, *(table for tuned, table in self.tuned if tuned == prompt))

    @cached_property
    def size(self) -> int:
        """Bytes that they take, about."""
        tables = [*self.probed, *(table for _, table in self.tuned), *([self.pinned] if self.pinned else [])]
        return sum(AS_OBJECTS * len(table.to_json()) for table in tables)


@dataclass(frozen=True)
class Made:
    """A picture that was shown, with the request that it came from."""

    request: Request
    picture: Picture


@dataclass
class Session:
    """One visitor. `id` is known to their browser alone; address: where it began from. pictures: by key, the newest last. direct: what switching each
    block off does, (T, m), by what vanilla depends on.

    Each act of a screen that begins takes the place of the one before it, which stops within a step.
    """

    id: str
    address: str = ""
    tables: Tables = field(default_factory=Tables)
    pictures: OrderedDict[str, Made] = field(default_factory=OrderedDict)
    direct: OrderedDict[Hashable, np.ndarray] = field(default_factory=OrderedDict)
    _bytes: int = 0
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

    def size(self) -> int:
        """Bytes that its pictures and tables take, about."""
        with self._lock:
            return self._bytes + self.tables.size + sum(errors.nbytes for errors in self.direct.values())

    def picture_bytes(self) -> int:
        """Bytes of the pictures alone."""
        return self._bytes

    def forget_pictures(self) -> None:
        """Let go of the pictures, which can be drawn again."""
        with self._lock:
            self.pictures, self._bytes = OrderedDict(), 0

    def keep_direct(self, key: Hashable, errors: np.ndarray) -> None:
        """Remember a direct check."""
        with self._lock:
            self.direct[key] = errors
            while len(self.direct) > KEPT_TABLES:
                self.direct.popitem(last=False)

    def keep(self, key: str, made: Made) -> None:
        """Remember a picture that is shown."""
        with self._lock:
            kept = OrderedDict(self.pictures)  # others may be reading the one there is
            kept[key] = made
            kept.move_to_end(key)
            size = sum(map(_size, kept.values()))
            while len(kept) > 2 and size > KEPT_BYTES:
                size -= _size(kept.popitem(last=False)[1])
            self.pictures, self._bytes = kept, size


class Sessions:
    """The visitors' sessions by id, at most KEPT_SESSIONS of at most ALL_BYTES.

    Of more, those of the address that has most give way, so that nobody is pushed out by another who asks for many; of
    these first those that were not seen for longest, and their pictures before they are forgotten.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, address: str = "") -> Session:
        """A session for somebody new."""
        session = Session(secrets.token_urlsafe(18), address)
        with self._lock:
            self._kept[session.id] = session
            self._make_room(session)
        return session

    def of(self, id: object) -> Session:
        """The session of an id. ValueError of one sentence where there is none any more."""
        with self._lock:
            if not isinstance(id, str) or id not in self._kept:
                raise ValueError("This page was open for too long, or the demo has started again: reload the page.")
            self._kept.move_to_end(id)
            self._make_room(self._kept[id])
            return self._kept[id]

    def size(self) -> int:
        """Bytes that all of them take, about."""
        return sum(session.size() for session in tuple(self._kept.values()))

    def _make_room(self, now: Session) -> None:
        while len(self._kept) > KEPT_SESSIONS and (session := self._oldest(lambda session: 1, now)):
            self._forget(session)
        for held, let_go in ((Session.picture_bytes, Session.forget_pictures), (Session.size, self._forget)):
            while self.size() > ALL_BYTES and (session := self._oldest(held, now)):
                let_go(session)

    def _oldest(self, held: Callable[[Session], int], now: Session) -> Session | None:
        """Of the address whose sessions together hold most, the one that was not seen for longest; never `now`."""
        sums: Counter[str] = Counter()
        holding = [(session, size) for session in self._kept.values() if session is not now and (size := held(session))]
        for session, size in holding:
            sums[session.address] += size
        largest = max(sums, key=lambda address: sums[address], default=None)
        return next((session for session, _ in holding if session.address == largest), None)

    def _forget(self, session: Session) -> None:
        self._kept.pop(session.id).stop()


def _size(made: Made) -> int:
    return made.picture.image.width * made.picture.image.height * 4  # an RGB picture takes four bytes a pixel in memory
