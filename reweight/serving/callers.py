"""The caller's address, also behind a proxy, and whether a Host header names this machine."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable, Mapping

LOOPBACK = ("localhost", "127.0.0.1", "::1")
PROXY_HEADERS = (b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-for", b"forwarded", b"x-real-ip")


def address_of(peer: str, forwarded: str, behind_proxy: bool) -> str:
    """The address to which quotas apply: the peer's, or behind a proxy the last public one in X-Forwarded-For.

    Earlier entries of X-Forwarded-For can be forged. For IPv6 it is the /64 network, which one household has for itself.
    """
    found = peer
    if behind_proxy:
        for text in reversed(forwarded.split(",")):
            try:
                if ipaddress.ip_address(text.strip()).is_global:
                    found = text.strip()
                    break
            except ValueError:
                continue
    try:
        address = ipaddress.ip_address(found)
    except ValueError:
        return found or "unknown"
    if address.version == 6 and (mapped := address.ipv4_mapped):
        return str(mapped)
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def hosts_allowed(host: str, environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """The accepted Host names of this machine; REWEIGHT_HOSTS adds further ones, separated by commas."""
    own = {*LOOPBACK, host.strip("[]"), socket.gethostname(), socket.gethostname() + ".local"}
    own |= {name.strip() for name in environment.get("REWEIGHT_HOSTS", "").split(",")}
    return frozenset(name.lower() for name in own if name)


def host_named(header: str, allowed: Iterable[str]) -> bool:
    """Whether a Host header names one of the allowed hosts, or is an IP address.

    Another site can point its own name here (DNS rebinding), but not an IP address.
    """
    name = header.strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    try:
        ipaddress.ip_address(name)
        return True
    except ValueError:
        return name.removesuffix(".") in allowed
