"""The address to listen on, and the proxies around it."""

from __future__ import annotations

import socket

import pytest

from reweight.serving.address import NotThere, bypass_proxies, check_free


def free(kind: socket.AddressFamily = socket.AF_INET) -> int:
    with socket.socket(kind) as probe:
        probe.bind(("::1" if kind == socket.AF_INET6 else "127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_port_that_is_in_use_is_called_so():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(NotThere, match=r"in use: .*--port"):
            check_free("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("host", ["203.0.113.7", "nowhere.invalid", "1.2.3.4.5", "x" * 300, "2001:db8::1"])
def test_an_address_that_is_not_here_is_not_called_a_port_in_use(host):
    with pytest.raises(NotThere, match="--host") as caught:
        check_free(host, free())
    assert "in use" not in str(caught.value)


@pytest.mark.parametrize("port", [0, -1, 65536, 10**9])
def test_a_port_that_is_none_is_called_so(port):
    with pytest.raises(NotThere, match="There is no port"):
        check_free("127.0.0.1", port)


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_address_may_be_written_either_way(host):
    assert check_free(host, free(socket.AF_INET6)) == "[::1]"


def test_a_proxy_is_not_asked_for_ones_own_address_and_what_was_excluded_stays():
    environment = {"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "intranet.example"}
    bypass_proxies("192.168.1.5", environment)
    assert environment["NO_PROXY"] == environment["no_proxy"] == "intranet.example,localhost,127.0.0.1,::1,192.168.1.5"
    plain: dict[str, str] = {}
    bypass_proxies("127.0.0.1", plain)
    assert plain == {}
