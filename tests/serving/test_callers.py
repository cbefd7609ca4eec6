"""Who asks, and by which name."""

from __future__ import annotations

import pytest

from reweight.serving.callers import address_of, host_named, hosts_allowed


@pytest.mark.parametrize(
    ("peer", "forwarded", "behind", "expected"),
    [
        ("10.1.2.3", "8.8.8.8", False, "10.1.2.3"),
        ("10.1.2.3", "8.8.8.8", True, "8.8.8.8"),
        ("10.1.2.3", "1.1.1.1, 8.8.8.8, 10.9.9.9", True, "8.8.8.8"),
        ("10.1.2.3", "nonsense,, \x00", True, "10.1.2.3"),
        ("10.1.2.3", "", True, "10.1.2.3"),
        ("", "", False, "unknown"),
        ("::ffff:8.8.8.8", "", False, "8.8.8.8"),
        ("10.1.2.3", "2001:4860:4860:1:2:3:4:5", True, "2001:4860:4860:1::/64"),
    ],
)
def test_the_address_is_the_last_public_one_that_a_trusted_proxy_names(peer, forwarded, behind, expected):
    assert address_of(peer, forwarded, behind) == expected


def test_a_machine_answers_to_its_own_names_and_to_addresses_alone():
    allowed = hosts_allowed("127.0.0.1", {"REWEIGHT_HOSTS": "lab.example, Other.example"})
    for good in ("localhost:7860", "127.0.0.1:7860", "[::1]:7860", "192.168.1.5", "LAB.example:80", "other.example."):
        assert host_named(good, allowed), good
    for bad in (
        "evil.example:7860",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "evil.example@127.0.0.1",
        "[evil]",
    ):
        assert not host_named(bad, allowed), bad
