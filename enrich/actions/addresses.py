"""Which addresses outbound calls may reach: public ones, and networks the configuration allows."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))
_IPV4_COMPATIBLE = ip_network("::/96")
# What `is_global` says depends on Python's version: 192.0.0.192 is a metadata service, and public
# to Python 3.11.7. 168.63.129.16 is Azure's platform service, seen from its machines only.
_NEVER = tuple(
    ip_network(network)
    for network in (
        *("192.0.0.0/24", "192.88.99.0/24", "100.64.0.0/10", "168.63.129.16/32"),
        *("3fff::/20", "5f00::/16"),
    )
)


def parse_address(text: str) -> Address:
    """An address without its scope id (`fe80::1%eth0`). Raises ValueError for a name."""
    return ip_address(text.partition("%")[0])


def is_reachable(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether a call may go there: public, or in a network that was allowed.

    An IPv6 address that carries an IPv4 one (mapped, compatible, NAT64, 6to4, Teredo) is judged by
    what it carries as well: `::ffff:169.254.169.254` is the metadata service.
    """
    if any(_contains(network, address) for network in allowed):
        return True
    carried = _carried(address)
    return _is_public(address) if not carried else all(is_reachable(a, allowed) for a in carried)


def _contains(network: Network, address: Address) -> bool:
    return network.version == address.version and address in network


def _carried(address: Address) -> list[IPv4Address]:
    if isinstance(address, IPv4Address):
        return []
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if any(address in network for network in _NAT64):
        return [low]
    if address.sixtofour is not None:
        return [address.sixtofour]
    if address.teredo is not None:
        return list(address.teredo)
    if address in _IPV4_COMPATIBLE and int(address) > 1:
        return [low]
    return []


def _is_public(address: Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_unspecified
        and not getattr(address, "is_site_local", False)
        and not any(_contains(network, address) for network in _NEVER)
    )
