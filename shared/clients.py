"""Who counts as one client when the calls of strangers are counted."""

import ipaddress

_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


def client_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 that one IPv6 subscriber has.

    An IPv4 address that is written as an IPv6 one (RFC 4291, 2.5.5.2; RFC 6052) is that IPv4 address: else all of them
    were one client. What is no address counts as it is.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found in _TRANSLATED:
        return str(ipaddress.IPv4Address(found.packed[-4:]))
    return str(found.ipv4_mapped or ipaddress.IPv6Network((found, 64), strict=False))
