"""Local mode: the real program."""

from __future__ import annotations

import httpx
from server import Server


def test_local_mode_refuses_another_sites_name(server: Server):
    for host, status in (("evil.example", 403), (f"localhost:{server.port}", 200), (f"127.0.0.1:{server.port}", 200)):
        assert httpx.get(f"{server.url}config", headers={"host": host}, trust_env=False).status_code == status
