"""Connections to checked addresses only.

httpcore rather than httpx: it is the layer where the address of a connection is chosen, and it
reads nothing from the environment.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NoReturn

import httpcore

from enrich.actions.addresses import Network, is_reachable, parse_address
from enrich.actions.errors import ForbiddenAddressError, PermanentError, TransientError

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Every address that the system knows for a name."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def checked_addresses(
    host: str, port: int, allowed: Sequence[Network], resolver: Resolver
) -> list[str]:
    """The addresses of a host, all of them reachable.

    Raises ForbiddenAddressError when one is not: a name with a public and a private address is a
    trap or a mistake. Raises TransientError when the name does not resolve.
    """
    try:
        addresses = await resolver(host, port)
    except OSError as error:
        raise TransientError(f"{host} does not resolve", kind="unreachable") from error
    for address in addresses:
        if not is_reachable(parse_address(address), allowed):
            raise ForbiddenAddressError(
                f"{host} leads to {address}, which is not a public address;"
                " if that is intended, name its network in the target's allow_addresses"
            )
    if not addresses:
        raise TransientError(f"{host} has no address", kind="unreachable")
    return list(addresses)


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections to checked addresses only."""

    def __init__(self, allowed: Sequence[Network], resolver: Resolver) -> None:
        self._allowed = allowed
        self._resolver = resolver
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers, all of them checked before."""
        addresses = await checked_addresses(host, port, self._allowed, self._resolver)
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(
            addresses[-1], port, timeout, local_address, socket_options
        )

    async def connect_unix_socket(self, *_: Any, **__: Any) -> NoReturn:
        """Never."""
        raise PermanentError("unix sockets are not reachable")

    async def sleep(self, seconds: float) -> None:
        """Wait; httpcore calls it between connection retries, of which there are none."""
        await asyncio.sleep(seconds)
