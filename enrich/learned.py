"""Keeping what fingerprinters learned: across restarts, shared, visible, and forgettable.

Each worker learns for itself. Now and then it adopts what others of the store have saved, and
saves; so workers come to give the same prints, and a new one starts from what all of them know.
Whoever makes a source forget something (`forget`, an erasure) counts that in its row, or deletes
the row. That is noticed then, and the worker starts over from what is stored: it stores neither
what it knew from before nor what it learned since it last saved. So there is a row before anything
is learned.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from enrich.fingerprint import Fingerprinter
from service.store import Store
from service.store.tables import to_microseconds

COUNTS = 2**30  # of edits: twice as many fit into the column


class Saved(NamedTuple):
    """A source's stored state."""

    state: str
    saved_at: int
    edit_count: int = 0


class FingerprintMemory:
    """The fingerprinters of one worker. A damaged state is started over: it only costs calls."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._fingerprinters: dict[str, Fingerprinter] = {}
        self._saved: dict[str, Saved] = {}

    def fingerprinter_for(self, source: str) -> Fingerprinter:
        """The source's fingerprinter, from its stored state the first time."""
        found = self._fingerprinters.get(source)
        if found is None:
            stored = self.stored([source])[source]
            saved = stored or self._store.write_now(begin_states, source)
            self._saved[source] = saved
            found = self._fingerprinters[source] = revive(saved)
        return found

    def sources(self) -> list[str]:
        """The sources that have a fingerprinter."""
        return list(self._fingerprinters)

    def stored(self, sources: Iterable[str]) -> dict[str, Saved | None]:
        """What the store holds of each of these sources now."""
        with self._store.read() as connection:
            return {source: load_state(connection, source) for source in sources}

    def adopt(self, stored: Mapping[str, Saved | None]) -> list[str]:
        """Learn what other workers saved. The sources that forgot something meanwhile:

        those are started over from what is stored.
        """
        edited = []
        for source, saved in stored.items():
            mine = self._saved[source]
            if saved is None or saved.edit_count != mine.edit_count:
                del self._fingerprinters[source]
                edited.append(source)
            elif saved.state != mine.state:
                self._fingerprinters[source].adopt(revive(saved))
                self._saved[source] = saved
        return edited

    def states(self) -> dict[str, str]:
        """What each fingerprinter knows now, as it is stored."""
        return {name: json.dumps(f.to_state()) for name, f in self._fingerprinters.items()}

    def save(self, states: Mapping[str, str], now: datetime) -> None:
        """Store states that changed. What forgot something meanwhile is left alone."""
        for source, state in states.items():
            mine = self._saved[source]
            if state == mine.state:
                continue
            saved = Saved(state, to_microseconds(now), mine.edit_count)
            if self._store.write_now(save_states, (source, saved)):
                self._saved[source] = saved


def revive(saved: Saved | None) -> Fingerprinter:
    """The fingerprinter of a stored state; a new one where there is none or it is damaged."""
    if saved is None:
        return Fingerprinter()
    try:
        return Fingerprinter.from_state(json.loads(saved.state))
    except (ValueError, RecursionError):
        return Fingerprinter()


def load_state(connection: Connection, source: str) -> Saved | None:
    """A source's stored state."""
    row = connection.execute(
        text("SELECT state, saved_at, edit_count FROM fingerprint_states WHERE source = :source"),
        {"source": source},
    ).first()
    return None if row is None else Saved(row[0], row[1], row[2])


def begin_states(connection: Connection, tx: int, sources: Sequence[str]) -> list[Saved]:
    """The handler that gives sources an empty state, and tells the one that was there before.

    Its count begins with the transaction's number, above those of a row that stood there before an
    erasure: whoever knows that one sees that this is another.
    """
    found = []
    for source in sources:
        connection.execute(
            text(
                "INSERT INTO fingerprint_states (source, state, saved_at, edit_count)"
                " VALUES (:source, :state, 0, :edits) ON CONFLICT (source) DO NOTHING"
            ),
            {
                "source": source,
                "state": json.dumps(Fingerprinter().to_state()),
                "edits": tx % COUNTS,
            },
        )
        saved = load_state(connection, source)
        assert saved is not None
        found.append(saved)
    return found


def save_states(
    connection: Connection, _tx: int, payloads: Sequence[tuple[str, Saved]]
) -> list[bool]:
    """The handler that stores states in place of those known; False where one is another by now."""
    return [
        connection.execute(
            text(
                "UPDATE fingerprint_states SET state = :state, saved_at = :at"
                " WHERE source = :source AND edit_count = :edits"
            ),
            {
                "source": source,
                "state": saved.state,
                "at": saved.saved_at,
                "edits": saved.edit_count,
            },
        ).rowcount
        == 1
        for source, saved in payloads
    ]


class Shared(NamedTuple):
    """One fingerprint that stands for copies, as people see it."""

    source: str
    fingerprint: str
    category: str
    severity: str
    summary: str
    copy_count: int
    expires_at: int


def shared(connection: Connection, source: str | None, limit: int) -> list[Shared]:
    """Enrichments that are being shared, the most copied first."""
    condition = "WHERE r.source = :source" if source else ""
    rows = connection.execute(
        text(
            "SELECT r.source, r.fingerprint, e.category, e.severity, e.summary,"
            " (SELECT count(*) FROM enrichments c WHERE c.source = r.source"
            "  AND c.fingerprint = r.fingerprint AND c.copied_from = e.id) AS copies,"
            f" r.expires_at FROM reuse r JOIN enrichments e ON e.id = r.enrichment_id {condition}"
            " ORDER BY copies DESC, r.fingerprint LIMIT :limit"
        ),
        {"source": source, "limit": limit} if source else {"limit": limit},
    )
    return [Shared(*row) for row in rows]


class Forget(NamedTuple):
    """What is to be forgotten: one fingerprint of a source, or all of it (None)."""

    source: str
    fingerprint: str | None
    now: datetime


def forget(connection: Connection, _tx: int, payloads: Sequence[Forget]) -> list[int]:
    """The handler that forgets. How many things were: shared enrichments and learned patterns."""
    counts = []
    for wanted in payloads:
        known: dict[str, Any] = {"source": wanted.source, "print": wanted.fingerprint}
        which = "" if wanted.fingerprint is None else " AND fingerprint = :print"
        dropped = connection.execute(
            text(f"DELETE FROM reuse WHERE source = :source{which}"),
            known if which else {"source": wanted.source},
        ).rowcount
        counts.append(dropped + _unlearn(connection, wanted))
    return counts


def _unlearn(connection: Connection, wanted: Forget) -> int:
    saved = load_state(connection, wanted.source)
    if saved is None:
        return 0
    fingerprinter = revive(saved)
    if wanted.fingerprint is None:
        count = len(fingerprinter.learned())
        fingerprinter = Fingerprinter()
    else:
        count = fingerprinter.forget(wanted.fingerprint)
    connection.execute(
        text(
            "UPDATE fingerprint_states SET state = :state, saved_at = :at,"
            " edit_count = edit_count + 1 WHERE source = :source"
        ),
        {
            "state": json.dumps(fingerprinter.to_state()),
            "at": to_microseconds(wanted.now),
            "source": wanted.source,
        },
    )
    return count


def load_patterns(
    connection: Connection, source: str | None, limit: int
) -> list[tuple[str, str, str]]:
    """Learned patterns: (source, print, text), those used last first within a source."""
    rows = connection.execute(
        text("SELECT source, state, saved_at, edit_count FROM fingerprint_states ORDER BY source")
    )
    found = [
        (row[0], pattern.print, pattern.text)
        for row in rows
        if source in (None, row[0])
        for pattern in reversed(revive(Saved(*row[1:])).learned())
    ]
    return found[:limit]
