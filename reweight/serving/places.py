"""Places in the queue: who may have another one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

TOTAL, EACH, STATELESS = 96, 8, 4
HOUR = 3600.0
LEAST = 50_000  # bytes that an upload counts for, so that many small ones are few


@dataclass(frozen=True)
class Place:
    """A place that an event takes until it has ended. session: under which its messages are listened to."""

    address: str
    visitor: str
    session: str


class Places:
    """The places of a queue. An address may hold as many as are left free, a visitor `each`, and who names no session
    `stateless`.

    So one address alone holds half of them, two a third each, and whoever comes new always finds one. The visitors of
    one address, such as a class in a school, share its places.
    """

    def __init__(self, total: int = TOTAL, each: int = EACH, stateless: int = STATELESS) -> None:
        self.total, self.each, self.stateless = total, each, stateless
        self.held: dict[str, Place] = {}

    def refusal(self, address: str, visitor: str) -> str | None:
        """Why this visitor gets no place now, in a sentence; None where there is one."""
        mine = sum((place.address, place.visitor) == (address, visitor) for place in self.held.values())
        if mine >= (self.each if visitor else self.stateless):
            return f"You have {mine} requests here already: let one of them finish, then try again."
        there = sum(place.address == address for place in self.held.values())
        free = self.total - len(self.held)
        if there >= free:
            return f"This demo is busy: {len(self.held)} requests are before yours, try again in a minute."
        return None

    def of_session(self, session: str) -> list[str]:
        """The events whose messages a session listens to."""
        return [event for event, place in self.held.items() if place.session == session]


class Quota:
    """At most `most` bytes an hour from each address, and from all of them together ten times that."""

    def __init__(self, most: float) -> None:
        self.most = most
        self._given: dict[str, deque[tuple[float, float]]] = {}

    def refusal(self, address: str, size: int, now: float) -> str | None:
        """Why this many bytes more are not taken, in a sentence; None where they are, and then they count."""
        size = max(size, min(LEAST, self.most / 100))
        for given in self._given.values():
            while given and given[0][0] < now - HOUR:
                given.popleft()
        self._given = {name: given for name, given in self._given.items() if given}
        used = {name: sum(size for _, size in given) for name, given in self._given.items()}
        if used.get(address, 0) + size > self.most or sum(used.values()) + size > 10 * self.most:
            return f"Too much was uploaded: {self.most / 1e6:.0f} MB an hour are taken, try again later."
        self._given.setdefault(address, deque()).append((now, size))
        return None
