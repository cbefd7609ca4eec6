"""The real program in public mode."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from server import Server, serving

sys.path.insert(0, str(Path(__file__).parent))
from calling import Caller, until


@pytest.fixture(scope="session")
def public() -> Iterator[Server]:
    """The program in public mode behind a proxy, so that tests can come from many addresses."""
    with serving(None, None, "--model", "toy-turbo", changes={"REWEIGHT_BEHIND_PROXY": "1"}) as running:
        yield running


@pytest.fixture
def caller(public: Server) -> Iterator[Caller]:
    """A script from an address of its own, once nothing else waits."""
    caller = Caller(public, f"9.{secrets.randbelow(250)}.{secrets.randbelow(250)}.{secrets.randbelow(250)}")
    until(lambda: caller.health()["places_held"] == 0)
    yield caller
    until(lambda: caller.health()["places_held"] == 0)
