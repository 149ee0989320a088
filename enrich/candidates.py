"""What candidate answers would change, and bringing them into force.

Applying appends the candidate once more as the revision in force; nothing is overwritten, no action
is triggered.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from enrich.again import BATCH, Chosen, no_claim
from enrich.enricher import Answer, Verdict
from enrich.errors import Spent
from enrich.loading import tags_of
from enrich.record import Finding, Outcome, record_trials
from service.store import Store
from service.store.tables import to_microseconds


class Change(NamedTuple):
    """What an event was called and what the candidate calls it."""

    event_id: int
    category: str
    severity: str
    tags: frozenset[str]
    new_category: str
    new_severity: str
    new_tags: frozenset[str]
    label: str | None

    @property
    def fields(self) -> tuple[str, ...]:
        """Which of category, severity and tags differ."""
        pairs = {
            "category": (self.category, self.new_category),
            "severity": (self.severity, self.new_severity),
            "tags": (self.tags, self.new_tags),
        }
        return tuple(name for name, (old, new) in pairs.items() if old != new)


def changes(connection: Connection, chosen: Sequence[Chosen]) -> list[Change]:
    """What the candidates change, with people's word where there is one."""
    found = []
    for item in chosen:
        if item.candidate_id is None:
            continue
        new = connection.execute(
            text("SELECT category, severity, tags FROM enrichments WHERE id = :id"),
            {"id": item.candidate_id},
        ).first()
        if new is None:  # its event was erased meanwhile
            continue
        label = connection.execute(
            text(
                "SELECT value FROM labels WHERE event_id = :id AND field = 'category'"
                " ORDER BY recorded_at DESC, id DESC LIMIT 1"
            ),
            {"id": item.event_id},
        ).scalar()
        before = (item.event_id, item.category, item.severity, item.tags)
        found.append(Change(*before, new[0], new[1], frozenset(tags_of(new[2])), label))
    return found


def disagreement(found: Iterable[Change]) -> dict[tuple[str, str], int]:
    """(in force, candidate) -> how many events."""
    return dict(Counter((c.category, c.new_category) for c in found))


class Applied(NamedTuple):
    """How many candidates came into force, and how many were gone: their events were erased."""

    applied_count: int
    gone_count: int


def apply_candidates(store: Store, chosen: Sequence[Chosen], now: datetime) -> Applied:
    """Bring the candidates into force as new revisions; equal ones are left alone."""
    count = 0
    with store.read() as connection:
        wanted = [
            item
            for item in chosen
            if item.candidate_id is not None and not _is_in_force(connection, item)
        ]
    for start in range(0, len(wanted), BATCH):
        with store.read() as connection:
            found = [
                _applied(connection, store, item, now) for item in wanted[start : start + BATCH]
            ]
        outcomes = [outcome for outcome in found if outcome is not None]
        count += sum(store.write_now(record_trials, outcomes))
    return Applied(count, len(wanted) - count)


def _is_in_force(connection: Connection, chosen: Chosen) -> bool:
    found = connection.execute(
        text(
            "SELECT copied_from FROM enrichments WHERE event_id = :event AND candidate = :no"
            " ORDER BY revision DESC LIMIT 1"
        ),
        {"event": chosen.event_id, "no": False},
    ).scalar()
    return found == chosen.candidate_id


def _applied(connection: Connection, store: Store, chosen: Chosen, now: datetime) -> Outcome | None:
    """The outcome that brings a candidate into force; None where it was erased."""
    row = connection.execute(
        text(
            "SELECT category, severity, sentiment, language, tags, summary, confidence,"
            " suspicious, provider, model, prompt_version, input_tokens, output_tokens, cost_usd,"
            " cache_hit FROM enrichments WHERE id = :id"
        ),
        {"id": chosen.candidate_id},
    ).first()
    if row is None:
        return None
    verdict = Verdict(row[0], row[1], row[2], row[3], tags_of(row[4]), row[5], row[6], bool(row[7]))
    spent = Spent(0, row.input_tokens, row.output_tokens, row.cost_usd)  # no attempt: paid before
    answer = Answer(verdict, row[8], row[9], row[10], spent)
    moment = to_microseconds(now)
    finding = Finding(
        store.new_ids(),
        answer,
        moment,
        chosen.fingerprint,
        copied_from=chosen.candidate_id,
        applied=not row.cache_hit,
    )
    claim = no_claim(chosen.event_id, chosen.source, now)
    return Outcome(claim, moment, [], finding, day=now.date().isoformat())
