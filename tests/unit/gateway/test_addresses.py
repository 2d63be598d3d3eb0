"""Addresses that count together, and the clients that trusted proxies name."""

import pytest

from sfu_wrapper.gateway.shares import Proxies, counted_as, read_network

OURS = Proxies([read_network(text) for text in ("127.0.0.0/8", "::1", "10.0.0.0/8")])


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_an_ipv4_address_counts_alone_and_an_ipv6_address_with_its_site(
    one: str, other: str, together: bool
) -> None:
    assert (counted_as(one) == counted_as(other)) is together


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),  # nobody whom we believe
        ("127.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("::ffff:127.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("127.0.0.1", ["203.0.113.9, 198.51.100.7, 10.1.2.3"], "198.51.100.7"),
        ("127.0.0.1", ["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
        ("::1", ["2001:db8::1"], "2001:db8::1"),
        ("127.0.0.1", [], None),
        ("127.0.0.1", ["10.1.2.3, 10.1.2.4"], None),
        ("127.0.0.1", ["198.51.100.7, nobody"], None),
        ("127.0.0.1", ["198.51.100.7" + ", 10.0.0.1" * 1000], None),  # only the nearest are read
    ],
)
def test_the_client_is_the_nearest_address_that_is_no_proxy_of_ours(
    peer: str, headers: list[str], client: str | None
) -> None:
    assert OURS.client(peer, headers) == client


def test_what_is_no_address_is_no_proxy() -> None:
    assert not OURS.trusts("")
