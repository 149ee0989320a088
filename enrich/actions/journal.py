"""What the act stage writes into the store.

Before a call: which tags are about to change (so that their echo is recognised even when this
process dies in the call) and, for a call that must not be repeated, that it is about to be made.
After it: the outcome, together with the work item's end, in one transaction.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from sqlalchemy import Connection, text

from enrich.actions.group_store import close_telling
from enrich.actions.tags import OURS, WITHDRAWN, TagChange, TagMeaning
from enrich.record import enqueue_new
from enrich.tables import Action
from service.store.queue import Claim, NewWork, bury, complete, extend, retry_later
from service.store.tables import from_microseconds, to_microseconds


@dataclass(frozen=True, slots=True)
class OwnTagState:
    """What we know of one tag on a ticket."""

    state: str
    meaning: TagMeaning
    event_id: int
    digest: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Intent:
    """Tags about to change."""

    target: str
    ticket: str
    change: TagChange
    meanings: Mapping[str, TagMeaning]
    known: Mapping[str, OwnTagState]
    """What the change was planned from."""
    event_id: int
    digest: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Finish:
    """How one try ended, and what becomes of its work item.

    `retry_at` gives it back; `dead` buries it; neither deletes it. `record` False writes no row:
    nothing was tried.
    """

    claim: Claim
    action_id: int
    rule: str
    adapter: str
    target: str
    outcome: str
    started_at: datetime
    finished_at: datetime
    detail: Mapping[str, Any] = field(default_factory=dict)
    error_kind: str | None = None
    error: str | None = None
    retry_at: datetime | None = None
    dead: bool = False
    record: bool = True
    told: str | None = None
    """Key of the group whose count this message told."""
    follow_up: NewWork | None = None
    forget: Intent | None = None
    """Announced changes of tags that were certainly not made."""
    clear_start: bool = False


def own_tags(connection: Connection, target: str, ticket: str) -> dict[str, OwnTagState]:
    """What we know of the tags of our namespace on a ticket."""
    rows = connection.execute(
        text(
            "SELECT tag, state, field, value, event_id, digest, changed_at FROM own_tags"
            " WHERE target = :target AND ticket = :ticket"
        ),
        {"target": target, "ticket": ticket},
    )
    return {
        row.tag: OwnTagState(
            row.state,
            TagMeaning(row.field, row.value),
            row.event_id,
            row.digest,
            from_microseconds(row.changed_at),
        )
        for row in rows
    }


def intend(connection: Connection, _tx: int, intents: Sequence[Intent]) -> list[bool]:
    """Handler: write down tags that are about to change.

    False, and nothing written, where another event's action wrote to the ticket since `known` was
    read: two workers must not both believe that they are the last.
    """
    return [_intend(connection, intent) for intent in intents]


def _intend(connection: Connection, intent: Intent) -> bool:
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:ticket, 0))"),
            {"ticket": f"{intent.target}\x01{intent.ticket}"},
        )
    if own_tags(connection, intent.target, intent.ticket) != intent.known:
        return False
    for tag in sorted(intent.change.add):
        _set_tag(connection, intent, tag, OURS)
    for tag in sorted(intent.change.remove):
        _set_tag(connection, intent, tag.casefold(), WITHDRAWN)
    return True


def _set_tag(connection: Connection, intent: Intent, tag: str, state: str) -> None:
    meaning = intent.meanings.get(tag)
    connection.execute(
        text(
            "INSERT INTO own_tags"
            " (target, ticket, tag, state, field, value, event_id, digest, changed_at)"
            " VALUES (:target, :ticket, :tag, :state, :field, :value, :event_id, :digest, :at)"
            " ON CONFLICT (target, ticket, tag) DO UPDATE SET state = excluded.state,"
            " event_id = excluded.event_id, digest = excluded.digest,"
            " changed_at = excluded.changed_at"
            + (", field = excluded.field, value = excluded.value" if meaning else "")
        ),
        {
            "target": intent.target,
            "ticket": intent.ticket,
            "tag": tag,
            "state": state,
            "field": meaning.field if meaning else "tag",
            "value": meaning.value if meaning else tag,
            "event_id": intent.event_id,
            "digest": intent.digest,
            "at": to_microseconds(intent.at),
        },
    )


class Start(Enum):
    """Whether a call that must not be made twice may be made."""

    FIRST = "first"
    NOTED_BEFORE = "noted before"
    LEASE_LOST = "lease lost"


def start_once(
    connection: Connection, _tx: int, claims: Sequence[tuple[Claim, datetime]]
) -> list[Start]:
    """Handler: note that a call is about to be made, where the work is still ours."""
    return [_start_once(connection, claim, at) for claim, at in claims]


def _start_once(connection: Connection, claim: Claim, at: datetime) -> Start:
    if not extend(connection, [claim], claim.lease_until)[0]:  # as it is; but ours until we commit
        return Start.LEASE_LOST
    noted = connection.execute(
        text(
            "INSERT INTO action_starts (event_id, name, started_at)"
            " VALUES (:event_id, :name, :at) ON CONFLICT (event_id, name) DO NOTHING"
        ),
        {"event_id": claim.event_id, "name": claim.name, "at": to_microseconds(at)},
    ).rowcount
    return Start.FIRST if noted else Start.NOTED_BEFORE


def finish(connection: Connection, tx: int, finishes: Sequence[Finish]) -> list[bool]:
    """Handler: outcomes, each with the end of its work item. False where the lease was lost."""
    return [_finish(connection, tx, one) for one in finishes]


def _finish(connection: Connection, tx: int, one: Finish) -> bool:
    if not _move_on(connection, one):
        return False
    if one.record:
        _record(connection, tx, one)
    if one.told is not None:
        close_telling(connection, one.told, one.claim.event_id)
    if one.clear_start:
        connection.execute(
            text("DELETE FROM action_starts WHERE event_id = :event_id AND name = :name"),
            {"event_id": one.claim.event_id, "name": one.claim.name},
        )
    if one.forget is not None:
        _forget(connection, one.forget)
    if one.follow_up is not None:
        enqueue_new(connection, [one.follow_up])
    return True


def _move_on(connection: Connection, one: Finish) -> bool:
    if one.retry_at is not None:
        return retry_later(connection, [(one.claim, one.retry_at)])[0]
    if one.dead:
        reason = f"{one.error_kind}: {one.error}"
        return bury(connection, [(one.claim, one.finished_at, reason)])[0]
    return complete(connection, [one.claim])[0]


def _record(connection: Connection, tx: int, one: Finish) -> None:
    tried = connection.execute(
        text("SELECT count(*) FROM actions WHERE event_id = :event_id AND name = :name"),
        {"event_id": one.claim.event_id, "name": one.claim.name},
    ).scalar_one()
    row = Action(
        id=one.action_id,
        event_id=one.claim.event_id,
        source=one.claim.source,
        name=one.claim.name,
        rule=one.rule,
        adapter=one.adapter,
        target=one.target,
        number=tried + 1,
        outcome=one.outcome,
        error_kind=one.error_kind,
        error=one.error,
        detail=json.dumps(one.detail) if one.detail else "",
        started_at=one.started_at.astimezone(UTC),
        finished_at=one.finished_at.astimezone(UTC),
        tx=tx,
    )
    connection.execute(Action.__table__.insert(), row.model_dump())  # type: ignore[attr-defined]


def _forget(connection: Connection, intent: Intent) -> None:
    """Take back what was announced: added tags are not ours, those to be removed still are."""
    key = "target = :target AND ticket = :ticket AND tag = :tag AND event_id = :event_id"
    undone = [
        (f"DELETE FROM own_tags WHERE {key} AND state = :state", intent.change.add, OURS),
        (
            f"UPDATE own_tags SET state = '{OURS}' WHERE {key} AND state = :state",
            intent.change.remove,
            WITHDRAWN,
        ),
    ]
    for statement, tags, state in undone:
        for tag in sorted(tags):
            values = {"tag": tag.casefold(), "event_id": intent.event_id, "state": state}
            where = {"target": intent.target, "ticket": intent.ticket}
            connection.execute(text(statement), {**where, **values})
