"""Who counts as one client: one subscriber, however their address is written."""

import pytest

from shared.clients import client_of


def test_one_client_is_an_address_or_the_network_that_one_subscriber_has() -> None:
    assert client_of("203.0.113.7") == "203.0.113.7"
    assert client_of("2001:db8:1:2:3:4:5:6") == client_of("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert client_of("2001:db8:1:3::1") != client_of("2001:db8:1:2::1")


@pytest.mark.parametrize("address", ["::ffff:203.0.113.7", "::FFFF:cb00:7107", "64:ff9b::cb00:7107"])
def test_an_ipv4_client_that_is_told_as_an_ipv6_one_is_not_the_same_as_all_others(address: str) -> None:
    assert client_of(address) == "203.0.113.7"


def test_what_is_no_address_counts_as_it_is() -> None:
    assert client_of("") == ""
