"""Whose request it is: the sender's address behind trusted proxies, and what it is counted by."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

Network = IPv4Network | IPv6Network

MAX_HOPS = 32  # of X-Forwarded-For, counted from us


def sender_of(scope: Mapping[str, Any], proxies: Sequence[Network]) -> str:
    """The sender's address: the last one in X-Forwarded-For that no trusted proxy added."""
    client = scope.get("client")
    address = str(client[0]) if client else ""
    if not proxies or not is_within(address, proxies):
        return address
    forwarded = b",".join(v for n, v in scope["headers"] if n == b"x-forwarded-for")
    for hop in reversed(forwarded.decode("latin-1").rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
        found = address_of(hop.strip())
        if found and not is_within(found, proxies):
            return found
    return address


def address_of(hop: str) -> str:
    """The address of a hop, which may have a port, `192.0.2.1:4711` or `[2001:db8::1]:4711`.

    One address has one spelling; what is none is cut to 64 characters.
    """
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        parsed = ip_address(hop)
    except ValueError:
        return hop[:64]
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address lies in one of the networks."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def counted_by(address: str) -> str:
    """What a limit knows a sender by: the address, or the /64 of which an IPv6 one is any."""
    if ":" not in address:
        return address
    try:
        number = int(IPv6Address(address))
    except ValueError:
        return address
    return f"{IPv6Address(number >> 64 << 64)}/64"
