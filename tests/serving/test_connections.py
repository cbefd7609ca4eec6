"""Connections on which nothing is asked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from reweight.serving.connections import Connections, room_for_files


class Connection:
    """As uvicorn's: cycle is the request under way or the last one, None before the first."""

    def __init__(self, cycle: Any = None) -> None:
        self.cycle, self.closed = cycle, False
        self.transport = self

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def test_a_connection_without_a_request_is_closed_and_any_other_stays():
    silent, asking, late = Connection(), Connection(SimpleNamespace(response_complete=False)), Connection()
    connections = Connections(silent=20)
    assert connections.sweep(0.0) == 0, "no server runs yet"
    connections.server = SimpleNamespace(server_state=SimpleNamespace(connections={silent, asking}))
    assert connections.sweep(100.0) == 0
    connections.server.server_state.connections.add(late)
    assert connections.sweep(115.0) == 0
    assert connections.sweep(120.0) == 1 and silent.closed and not asking.closed and not late.closed
    late.cycle = SimpleNamespace(response_complete=False)
    assert connections.sweep(1000.0) == 0
    late.cycle.response_complete = True
    assert connections.sweep(1010.0) == connections.sweep(1029.0) == 0, "it may ask for something else"
    late.cycle = SimpleNamespace(response_complete=True)
    assert connections.sweep(1031.0) == 0, "it has asked for something else"
    assert connections.sweep(1051.0) == 1 and late.closed and not asking.closed


def test_of_too_many_the_oldest_go_at_once():
    connections = Connections(most=10)
    old = [Connection() for _ in range(10)]
    connections.server = SimpleNamespace(server_state=SimpleNamespace(connections=set(old)))
    connections.sweep(0.0)
    new = [Connection() for _ in range(5)]
    connections.server.server_state.connections |= set(new)
    assert connections.sweep(1.0) == 5
    assert sum(one.closed for one in old) == 5 and not any(one.closed for one in new)


def test_where_few_files_may_be_open_idle_connections_and_streams_leave_some_to_others():
    few, many = Connections(files=256), Connections()
    assert few.most == 64 and many.most == 400
    for connections in (few, many):
        connections.open.update({f"9.9.9.{n}": 1 for n in range(128)})
    assert few.refusal("8.8.8.8", 160, 640) and many.refusal("8.8.8.8", 160, 640) is None
    assert room_for_files() > 0


def test_a_request_is_read_by_what_limits_its_headers_whatever_else_is_installed():
    server = SimpleNamespace(config=SimpleNamespace(http_protocol_class=object))
    connections = Connections()
    connections.watch(server)
    assert connections.server is server and server.config.http_protocol_class.__name__ == "H11Protocol"
