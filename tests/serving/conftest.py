"""The real program in public mode."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from server import Server, serving

sys.path.insert(0, str(Path(__file__).parent))
from calling import AROUND, Caller, until


class Kept:
    """The program in public mode behind a proxy, so that tests can come from many addresses; once for all of them, and
    another one after a test that has ended it."""

    def __init__(self) -> None:
        self.open, self.server = ExitStack(), None

    def running(self) -> Server:
        """The program."""
        if self.server is None or self.server.process.poll() is not None:
            self.open.close()
            starting = serving(None, None, "--model", "toy-turbo", changes={"REWEIGHT_BEHIND_PROXY": "1", **AROUND})
            self.server = self.open.enter_context(starting)
        return self.server


@pytest.fixture(scope="session")
def kept() -> Iterator[Kept]:
    kept = Kept()
    with kept.open:
        yield kept


@pytest.fixture
def public(kept: Kept) -> Server:
    """The program in public mode."""
    return kept.running()


@pytest.fixture
def caller(public: Server) -> Iterator[Caller]:
    """A script from an address of its own, once nothing else waits."""
    caller = Caller(public, f"9.{secrets.randbelow(250)}.{secrets.randbelow(250)}.{secrets.randbelow(250)}")
    until(lambda: caller.health()["places_held"] == 0)
    yield caller
    until(lambda: caller.health()["places_held"] == 0)
