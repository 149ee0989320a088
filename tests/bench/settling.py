"""Waiting until a server has nothing left to do, so that one run does not weigh on the next."""

import time

from sqlalchemy import text

from service.store import Store, open_store
from tests.bench.running import Server

SECONDS = 600


def settle(server: Server) -> None:
    """Wait until `serve` has enriched all it took; the others have nothing to do."""
    if server.kind != "serve":
        return
    store = open_store(server.url, upgrade=False)
    try:
        deadline = time.monotonic() + SECONDS
        while left := waiting_count(store):
            if time.monotonic() > deadline:
                raise SystemExit(f"{left} events still wait after {SECONDS} s")
            time.sleep(0.2)
    finally:
        store.close()


def waiting_count(store: Store) -> int:
    """Work items that are there, claimed or not."""
    with store.read() as connection:
        return int(connection.execute(text("SELECT count(*) FROM work_items")).scalar_one())
