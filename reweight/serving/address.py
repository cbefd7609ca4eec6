"""The address that the server listens on: checked before models are loaded, and excluded from proxies."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import MutableMapping

from .callers import LOOPBACK

PROXIES = ("http_proxy", "https_proxy", "all_proxy")


class NotThere(ValueError):
    """The server cannot listen at an address; the message is one sentence."""


def check_free(host: str, port: int) -> str:
    """The host in Gradio's form, with an IPv6 address in brackets. NotThere if the server cannot listen there."""
    if not 0 < port < 65536:
        raise NotThere(f"There is no port {port}: choose one from 1 to 65535.")
    host = host.strip()
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        family, kind, _, _, address = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (socket.gaierror, UnicodeError) as error:
        raise NotThere(f"There is no address {bare!r} here: choose another with --host, such as 127.0.0.1.") from error
    except OSError as error:
        raise NotThere(_sentence(error, bare, port)) from error
    return f"[{bare}]" if ":" in bare else bare


def bypass_proxies(host: str, environment: MutableMapping[str, str] = os.environ) -> None:
    """Exclude the server's own address from a proxy named in the environment, in addition to existing exclusions."""
    if not any(environment.get(name) or environment.get(name.upper()) for name in PROXIES):
        return
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    names = [name.strip() for name in given.split(",") if name.strip()]
    own = [*LOOPBACK, *([] if host in ("0.0.0.0", "[::]") else [host.strip("[]")])]
    text = ",".join(dict.fromkeys([*names, *own]))
    environment["no_proxy"] = environment["NO_PROXY"] = text


def _sentence(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use: choose another with --port."
    if error.errno == errno.EACCES:
        return f"Port {port} is only for administrators: choose one above 1023 with --port."
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return f"This machine has no address {host}: choose another with --host, such as 127.0.0.1."
    return f"Nothing can listen on {host}, port {port} ({error.strerror or error}): choose others by --host and --port."
