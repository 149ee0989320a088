"""Writing what became of claimed events: attempts, enrichments and the work itself, together.

One handler on the store's writer thread, one transaction for many events. Whoever lost the lease
writes nothing, except the money that was spent: it is gone, whoever finished the event.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from enrich.enricher import Answer
from enrich.errors import Spent
from enrich.tables import Attempt, Enrichment
from service.store.queue import Claim, NewWork, bury, complete, enqueue, release, retry_later
from service.store.store import words_of
from service.store.tables import Rows, from_microseconds, to_microseconds

ATTEMPT_COLUMNS = (
    "id", "event_id", "source", "number", "outcome", "error_kind", "error", "available_at",
    "claimed_at", "finished_at", "latency_ms", "call_count", "provider", "model",
    "prompt_version", "input_tokens", "output_tokens", "cost_usd", "request_id", "tx",
)  # fmt: skip
ENRICHMENT_COLUMNS = (
    "id", "event_id", "source", "revision", "candidate", "category", "severity", "sentiment",
    "language", "tags", "summary", "confidence", "suspicious", "degraded", "cache_hit",
    "copied_from", "fingerprint", "provider", "model", "prompt_version", "input_tokens",
    "output_tokens", "cost_usd", "latency_ms", "redacted_count", "twin_category",
    "twin_severity", "recorded_at", "tx",
)  # fmt: skip
STUB = "stub"


class AttemptNote(NamedTuple):
    """One attempt, as it will be written. Times in microseconds."""

    id: int
    outcome: str
    error_kind: str | None
    error: str | None
    finished_at: int
    latency_ms: float
    provider: str
    model: str
    prompt_version: str
    spent: Spent


class ReuseNote(NamedTuple):
    """This enrichment may stand for others of its fingerprint until then (microseconds)."""

    digest: bytes
    fingerprint: str
    expires_at: int


class Finding(NamedTuple):
    """An enrichment, as it will be written."""

    id: int
    answer: Answer
    recorded_at: int
    fingerprint: str | None = None
    copied_from: int | None = None
    twin_category: str | None = None
    twin_severity: str | None = None
    works: tuple[NewWork, ...] = ()
    reuse: ReuseNote | None = None
    candidate: bool = False
    applied: bool = False
    """The event's own candidate comes into force: no copy of another event's."""


@dataclass(slots=True)
class Outcome:
    """What became of one claim.

    With none of `retry_at`, `put_off_until` (as if never claimed) and `dead_reason` it is done.
    """

    claim: Claim
    claimed_at: int
    attempts: list[AttemptNote]
    finding: Finding | None = None
    retry_at: datetime | None = None
    put_off_until: datetime | None = None
    dead_reason: str | None = None
    day: str = ""


def record_outcomes(
    connection: Connection,
    tx: int,
    batches: Sequence[Sequence[Outcome]],
    now: Callable[[], datetime],
) -> list[list[bool]]:
    """For each batch, whether each claim was still held. A handler for `store.write`, given `now`.

    Findings are stamped here: until now they waited for the store.
    """
    outcomes = [outcome for batch in batches for outcome in batch]
    held = _settle_work(connection, outcomes)
    ours = [outcome for outcome, is_held in zip(outcomes, held, strict=True) if is_held]
    recorded_at = to_microseconds(now())
    for outcome in ours:
        if outcome.finding is not None:
            outcome.finding = outcome.finding._replace(recorded_at=recorded_at)
    _insert(connection, tx, ours)
    add_spending(connection, outcomes)
    answers = iter(held)
    return [[next(answers) for _ in batch] for batch in batches]


def record_trials(
    connection: Connection, tx: int, batches: Sequence[Sequence[Outcome]]
) -> list[list[bool]]:
    """The handler for enrichments outside the queue: nobody's claim, no work to finish.

    For each batch, whether each event is still stored; nothing is written about one that is not.
    """
    outcomes = [outcome for batch in batches for outcome in batch]
    stored = _stored(connection, [outcome.claim.event_id for outcome in outcomes])
    _insert(connection, tx, [o for o in outcomes if o.claim.event_id in stored])
    add_spending(connection, outcomes)
    return [[outcome.claim.event_id in stored for outcome in batch] for batch in batches]


def _stored(connection: Connection, event_ids: Iterable[int]) -> set[int]:
    """Which of these events are stored, and stay so until this transaction ends."""
    listed = ", ".join(map(str, event_ids)) or "NULL"
    locking = " FOR KEY SHARE" if connection.dialect.name == "postgresql" else ""
    found = connection.execute(
        text(f"SELECT id FROM events WHERE id IN ({listed}) ORDER BY id{locking}")
    )
    return set(found.scalars())


def _settle_work(connection: Connection, outcomes: Sequence[Outcome]) -> list[bool]:
    """Finish, give back or bury each claim's work; whether we still held it."""
    done, later, dead, put_off = [], [], [], []
    for number, outcome in enumerate(outcomes):
        if outcome.dead_reason is not None:
            dead.append((number, (outcome.claim, _last_moment(outcome), outcome.dead_reason)))
        elif outcome.put_off_until is not None:
            put_off.append((number, outcome))
        elif outcome.retry_at is not None:
            later.append((number, (outcome.claim, outcome.retry_at)))
        else:
            done.append((number, outcome.claim))
    held: dict[int, bool] = {}
    held.update(zip([n for n, _ in done], complete(connection, [c for _, c in done]), strict=True))
    held.update(
        zip([n for n, _ in later], retry_later(connection, [m for _, m in later]), strict=True)
    )
    held.update(zip([n for n, _ in dead], bury(connection, [m for _, m in dead]), strict=True))
    for number, outcome in put_off:
        assert outcome.put_off_until is not None
        held[number] = release(connection, [outcome.claim], outcome.put_off_until)[0]
    return [held[number] for number in range(len(outcomes))]


def _last_moment(outcome: Outcome) -> datetime:
    last = outcome.attempts[-1].finished_at if outcome.attempts else outcome.claimed_at
    return from_microseconds(last)


def _insert(connection: Connection, tx: int, outcomes: Sequence[Outcome]) -> None:
    """Write attempts and findings, what is to be done now, and what may be reused."""
    kept, revisions = _effective(connection, outcomes)
    rows = [
        enrichment_row(claim.event_id, claim.source, finding, revisions.get(claim.event_id, 0), tx)
        for claim, finding in kept
    ]
    enrichments = Rows(Enrichment.__tablename__, ENRICHMENT_COLUMNS, rows)
    words_of(connection).insert_at_commit(connection, _attempts(tx, outcomes), enrichments)
    enqueue_new(connection, [work for _, finding in kept for work in finding.works])
    _note_reuse(connection, [(claim.source, finding) for claim, finding in kept])


def _attempts(tx: int, outcomes: Iterable[Outcome]) -> Rows:
    rows = []
    for outcome in outcomes:
        claim = outcome.claim
        available_at = to_microseconds(claim.available_at)
        for note in outcome.attempts:
            spent = note.spent
            row = (
                    note.id,
                    claim.event_id,
                    claim.source,
                    claim.tries,
                    note.outcome,
                    note.error_kind,
                    note.error,
                    available_at,
                    outcome.claimed_at,
                    note.finished_at,
                    note.latency_ms,
                    spent.call_count,
                    note.provider,
                    note.model,
                    note.prompt_version,
                    spent.input_tokens,
                    spent.output_tokens,
                    spent.cost_usd,
                    spent.request_id,
                    tx,
                )  # fmt: skip
            rows.append(row)
    return Rows(Attempt.__tablename__, ATTEMPT_COLUMNS, rows)


def _effective(
    connection: Connection, outcomes: Sequence[Outcome]
) -> tuple[list[tuple[Claim, Finding]], dict[int, int]]:
    """The findings that say something new, and the last revision of each event that has one."""
    found = [(o.claim, o.finding) for o in outcomes if o.finding is not None]
    event_ids = [claim.event_id for claim, _ in found]
    revisions: dict[int, int] = words_of(connection).last_revisions(connection, event_ids)
    kept = [
        (claim, finding)
        for claim, finding in found
        # A degraded answer never supersedes another: it says nothing new.
        if not (finding.answer.degraded and claim.event_id in revisions)
    ]
    return kept, revisions


def enrichment_row(
    event_id: int, source: str, finding: Finding, last_revision: int, tx: int
) -> tuple[Any, ...]:
    """The row of an enrichment, in the order of ENRICHMENT_COLUMNS."""
    answer, verdict, spent = finding.answer, finding.answer.verdict, finding.answer.spent
    cache_hit = finding.copied_from is not None and not finding.applied
    return (
        finding.id, event_id, source, last_revision + 1, finding.candidate, verdict.category,
        verdict.severity, verdict.sentiment, verdict.language,
        json.dumps(verdict.tags) if verdict.tags else "[]", verdict.summary, verdict.confidence,
        verdict.suspicious, answer.degraded, cache_hit,
        finding.copied_from, finding.fingerprint, answer.provider, answer.model,
        answer.prompt_version, spent.input_tokens, spent.output_tokens, spent.cost_usd,
        answer.latency_ms, answer.redacted_count, finding.twin_category, finding.twin_severity,
        finding.recorded_at, tx,
    )  # fmt: skip


def enqueue_new(connection: Connection, works: Sequence[NewWork]) -> None:
    """Enqueue actions, except those that are waiting already."""
    if not works:
        return
    listed = ",".join(str(work.event_id) for work in works)
    waiting = {
        (row[0], row[1], row[2])
        for row in connection.exec_driver_sql(
            f"SELECT event_id, kind, name FROM work_items WHERE event_id IN ({listed})"
        )
    }
    fresh = {w[:3]: w for w in works if w[:3] not in waiting}
    enqueue(connection, list(fresh.values()))


def _note_reuse(connection: Connection, found: Iterable[tuple[str, Finding]]) -> None:
    rows: list[dict[str, Any]] = [
        {
            "digest": finding.reuse.digest,
            "source": source,
            "fingerprint": finding.reuse.fingerprint,
            "enrichment_id": finding.id,
            "expires_at": finding.reuse.expires_at,
        }
        for source, finding in found
        if finding.reuse is not None
    ]
    if rows:
        connection.execute(
            text(
                "INSERT INTO reuse (digest, source, fingerprint, enrichment_id, expires_at)"
                " VALUES (:digest, :source, :fingerprint, :enrichment_id, :expires_at)"
                " ON CONFLICT (digest) DO UPDATE SET enrichment_id = excluded.enrichment_id,"
                " expires_at = excluded.expires_at"
            ),
            sorted(rows, key=lambda row: bytes(row["digest"])),
        )


def add_spending(connection: Connection, outcomes: Iterable[Outcome]) -> None:
    """Add what models cost to their sources' days, also where the lease was lost."""
    sums: dict[tuple[str, str], tuple[int, float]] = {}
    for outcome in outcomes:
        for note in outcome.attempts:
            if note.provider != STUB and note.spent.call_count:
                key = (outcome.claim.source, outcome.day)
                calls, cost = sums.get(key, (0, 0.0))
                sums[key] = (calls + note.spent.call_count, cost + note.spent.cost_usd)
    if sums:
        connection.execute(
            text(
                "INSERT INTO spending (source, day, call_count, cost_usd)"
                " VALUES (:source, :day, :calls, :cost)"
                " ON CONFLICT (source, day) DO UPDATE SET"
                " call_count = spending.call_count + excluded.call_count,"
                " cost_usd = spending.cost_usd + excluded.cost_usd"
            ),
            [
                {"source": source, "day": day, "calls": calls, "cost": cost}
                for (source, day), (calls, cost) in sorted(sums.items())
            ],
        )
