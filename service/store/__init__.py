"""The event store: one interface, SQLite or PostgreSQL behind it."""

from service.store.store import Store, open_store
from service.store.writer import Handler

__all__ = ["Handler", "Store", "open_store"]
