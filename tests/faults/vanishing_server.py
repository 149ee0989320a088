"""A store whose server's network goes away and comes back: URL on argv, in a network of its own.

Run by `unshare --net`, whose loopback nobody else uses. Prints what became of three writes: before,
while nothing arrives, and after.
"""

import fcntl
import socket
import struct
import sys

from servers.cut_line import cut_line

from service.errors import StoreUnavailable
from service.store import Store, open_store
from tests.contract.names import kept, put

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
REQUEST = struct.Struct("16sH14x")


def switch_loopback(*, on: bool) -> None:
    """Let packets pass, or vanish: no end of a connection is told."""
    with socket.socket() as any_socket:
        asked = REQUEST.pack(b"lo", 0)
        _, flags = REQUEST.unpack(fcntl.ioctl(any_socket, SIOCGIFFLAGS, asked))
        flags = flags | IFF_UP if on else flags & ~IFF_UP
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, REQUEST.pack(b"lo", flags))


def write(store: Store, name: str) -> None:
    try:
        store.write_now(put, name)
    except StoreUnavailable as error:
        print("refused:", str(error).partition(":")[0])
    else:
        print("kept:", *kept(store))


def main() -> None:
    switch_loopback(on=True)
    with cut_line(sys.argv[1]) as line:
        store = open_store(line.url)
        write(store, "t-before")
        switch_loopback(on=False)
        write(store, "t-lost")
        switch_loopback(on=True)
        write(store, "t-after")
        store.close()


if __name__ == "__main__":
    main()
