"""A line to a PostgreSQL that can be cut between two of the server's messages."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL

COMMITTED = b"C\0\0\0\x0bCOMMIT\0"


class CutLine:
    """Passes on what both sides say, to a PostgreSQL that listens on a Unix socket."""

    def __init__(self, url: str) -> None:
        told = conninfo_to_dict(url)
        self._server = f"{told['host']}/.s.PGSQL.{told.get('port', 5432)}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = URL.create(
            "postgresql",
            str(told["user"]),
            host="127.0.0.1",
            port=self._listener.getsockname()[1],
            database=str(told["dbname"]),
            query={"sslmode": "disable", "gssencmode": "disable"},
        ).render_as_string()
        self.cuts = ""  # before or after the server says that it has committed
        self.cut_count = 0

    def serve(self) -> None:
        """Take callers until it is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                for way in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=way, daemon=True).start()

    def _pass_on(self, giver: socket.socket, taker: socket.socket) -> None:
        with giver, taker, suppress(OSError):
            while said := giver.recv(65_536):
                before, committed, _ = said.partition(COMMITTED)
                if committed and self.cuts:
                    taker.sendall(before + committed if self.cuts == "after" else before)
                    self.cuts = ""
                    self.cut_count += 1
                    break
                taker.sendall(said)
            for end in (giver, taker):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def cut_line(url: str) -> Iterator[CutLine]:
    """A line to this server."""
    line = CutLine(url)
    threading.Thread(target=line.serve, daemon=True).start()
    try:
        yield line
    finally:
        line.close()
