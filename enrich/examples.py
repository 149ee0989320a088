"""Labelled examples: which texts that people labelled are nearest to an event's.

The index is SQLite's own full-text search (FTS5, BM25 ranking) in memory: nothing to install,
nothing to download, a millisecond for a few thousand labels.
"""

import re
import sqlite3
import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

from enrich.enricher import EventText, Example

MAX_WORDS = 32  # of an event's text that are looked for
MAX_TEXT = 2_000  # characters of an example that are indexed
WORD = re.compile(r"[^\W_]{2,40}")
COMMON_TEXT = """
the and for you your are was were is it its this that with from have has had not can could would
should will what when where why how who which there here our my me we they them he his she her been
being do does did an in on of to at by or as if so be am but about please hi hello dear thanks thank
der die das und ist nicht ich sie wir ein eine mit auf le la les et est je vous nous ne pas un une
des du de el los las es no que en por
"""
COMMON = frozenset(COMMON_TEXT.split())


class Labelled(NamedTuple):
    """A text that a person labelled, and which of the indexes it belongs to."""

    group: str
    text: str
    category: str
    severity: str | None = None


class ExampleIndex:
    """Finds the labelled texts nearest to an event's among those of its group."""

    def __init__(
        self, labelled: Iterable[Labelled] = (), group_of: Callable[[str], str] = lambda s: s
    ) -> None:
        self._group_of = group_of
        self._lock = threading.Lock()
        self._index, self._count = self._build(labelled)

    def replace(self, labelled: Iterable[Labelled]) -> None:
        """Use these instead of what was indexed before."""
        built, count = self._build(labelled)
        with self._lock:
            old, self._index = self._index, built
            self._count = count
        old.close()

    def nearest(self, event: EventText, limit: int) -> list[Example]:
        """The nearest labelled texts of the event's group, the nearest first."""
        query = query_of(f"{event.title} {event.text}") if self._count and limit > 0 else ""
        if not query:
            return []
        with self._lock:
            rows = self._index.execute(
                "SELECT text, category, severity FROM labelled"
                " WHERE labelled MATCH ? AND grouped = ? ORDER BY rank, rowid LIMIT ?",
                (query, self._group_of(event.source), limit),
            ).fetchall()
        return [Example(*row) for row in rows]

    def close(self) -> None:
        """Drop the index."""
        with self._lock:
            self._index.close()

    @staticmethod
    def _build(labelled: Iterable[Labelled]) -> tuple[sqlite3.Connection, int]:
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.execute(
            "CREATE VIRTUAL TABLE labelled USING fts5(text, category UNINDEXED,"
            " severity UNINDEXED, grouped UNINDEXED, tokenize = 'porter unicode61')"
        )
        added = connection.executemany(
            "INSERT INTO labelled (text, category, severity, grouped) VALUES (?, ?, ?, ?)",
            (
                (clean(item.text)[:MAX_TEXT], item.category, item.severity, item.group)
                for item in labelled
            ),
        )
        return connection, added.rowcount


def clean(text: str) -> str:
    """The text without what SQLite cannot store."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")


def query_of(text: str) -> str:
    """A full-text query for any of the text's telling words; empty where it has none."""
    words = dict.fromkeys(word.lower() for word in WORD.findall(clean(text[:MAX_TEXT])))
    telling = [word for word in words if word not in COMMON] or list(words)
    return " OR ".join(f'"{word}"' for word in telling[:MAX_WORDS])
