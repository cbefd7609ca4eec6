"""Registries: objects by key, those of this package and those that other packages bring through entry points."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Generic, Protocol, TypeVar

log = logging.getLogger(__name__)
KEY = re.compile(r"[a-z][a-z0-9.-]{0,31}")


class Keyed(Protocol):
    """Anything with a key."""

    @property
    def key(self) -> str: ...


T = TypeVar("T", bound=Keyed)


class Registry(Mapping[str, T], Generic[T]):
    """Objects by key, in the order in which they were registered.

    what: the word for one of them, for messages, such as "method". group: the entry point group whose entries name
    further objects, such as "reweight.methods"; they are read once, at the first look, and one that fails goes to the
    log and is left out.
    """

    def __init__(self, what: str, group: str) -> None:
        self.what, self.group = what, group
        self._items: dict[str, T] = {}
        self._discovered = False

    def register(self, item: T) -> T:
        """Add an object, and give it back. ValueError for a key that is taken or is no key."""
        if not KEY.fullmatch(item.key):
            raise ValueError(f"A {self.what}'s key is up to 32 of a-z, 0-9, . and -, not {item.key!r}.")
        if item.key in self._items:
            raise ValueError(f"There is a {self.what} {item.key!r} already: give another key.")
        self._items[item.key] = item
        return item

    def remove(self, key: str) -> None:
        """Take an object out again. KeyError where there is none."""
        del self._items[key]

    def named(self, key: str) -> T:
        """The object of that key. ValueError, one sentence that lists the keys, where there is none."""
        if isinstance(key, str) and key in self:
            return self[key]
        raise ValueError(f"There is no {self.what} of that name: choose one of {', '.join(self)}.")

    def __getitem__(self, key: str) -> T:
        self._discover()
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(self._items)

    def __len__(self) -> int:
        self._discover()
        return len(self._items)

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        for entry in entry_points(group=self.group):
            try:
                self.register(entry.load())
            except Exception as error:
                log.warning("The %s %s is left out: %s", self.what, entry.name, error)
