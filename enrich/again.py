"""`hooksift enrich-again`: history under another prompt or model, compared before it counts.

Every answer is kept as a candidate revision beside the one in force. Applying appends the
candidate once more as the revision in force; nothing is overwritten, no action is triggered.
Candidates of the same prompt and model are never paid for twice.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from enrich.chain import Asked, Chain
from enrich.enricher import Answer, EventText, Verdict
from enrich.errors import Spent
from enrich.loading import load_events, tags_of
from enrich.prompt import build_prompt, event_message
from enrich.record import AttemptNote, Finding, Outcome, record_trials
from enrich.settings import ModelSettings
from enrich.taxonomy import Taxonomy
from service.store import Store
from service.store.queue import ENRICH, Claim
from service.store.tables import to_microseconds

BATCH = 100
OUTPUT_TOKENS = 90  # of a typical answer
TRIAL_NUMBER = 0  # attempts of no claim


class Chosen(NamedTuple):
    """An event to be enriched again, and what is in force for it."""

    event_id: int
    source: str
    category: str
    severity: str
    tags: frozenset[str]
    candidate_id: int | None


@dataclass(frozen=True, slots=True)
class Price:
    """What a run would cost at most. Nothing is asked for it."""

    event_count: int
    done_count: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


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


def choose(
    connection: Connection,
    since: datetime,
    sources: Sequence[str],
    model: str,
    prompt_versions: Sequence[str],
    limit: int,
) -> list[Chosen]:
    """Events received since then that have an enrichment in force, oldest first."""
    rows = connection.execute(
        text(
            "SELECT e.id, e.source, n.category, n.severity, n.tags,"
            " (SELECT max(c.id) FROM enrichments c WHERE c.event_id = e.id"
            "   AND c.candidate = :yes AND c.model = :model"
            f"  AND c.prompt_version IN ({_listed('v', prompt_versions)}))"
            " FROM events e JOIN enrichments n ON n.event_id = e.id AND n.revision ="
            "  (SELECT max(revision) FROM enrichments i WHERE i.event_id = e.id"
            "   AND i.candidate = :no)"
            f" WHERE e.received_at >= :since AND e.source IN ({_listed('s', sources)})"
            " ORDER BY e.id LIMIT :limit"
        ),
        {
            "yes": True,
            "no": False,
            "model": model,
            "since": to_microseconds(since),
            "limit": limit,
            **{f"v{i}": version for i, version in enumerate(prompt_versions)},
            **{f"s{i}": source for i, source in enumerate(sources)},
        },
    )
    return [
        Chosen(event_id, of, category, severity, frozenset(tags_of(tags)), candidate_id)
        for event_id, of, category, severity, tags, candidate_id in rows
    ]


def _listed(prefix: str, values: Sequence[str]) -> str:
    return ", ".join(f":{prefix}{number}" for number in range(len(values))) or "NULL"


def price(
    connection: Connection,
    chosen: Sequence[Chosen],
    taxonomy_of: Callable[[str], Taxonomy],
    model: ModelSettings | None,
) -> Price:
    """Tokens at four characters each, at the model's prices; the stub costs nothing."""
    wanted = [c for c in chosen if c.candidate_id is None]
    if model is None:
        return Price(len(wanted), len(chosen) - len(wanted), 0, 0, 0.0)
    characters = 0
    for start in range(0, len(wanted), BATCH):
        ids = [c.event_id for c in wanted[start : start + BATCH]]
        for event in load_events(connection, ids).values():
            system = build_prompt(taxonomy_of(event.source)).system
            characters += len(system) + len(event_message(event))
    tokens, answers = characters // 4, OUTPUT_TOKENS * len(wanted)
    cost = (tokens * model.input_usd_per_million + answers * model.output_usd_per_million) / 1e6
    return Price(len(wanted), len(chosen) - len(wanted), tokens, answers, cost)


class Rerun:
    """Asks about chosen events again and records the answers as candidates."""

    def __init__(
        self,
        store: Store,
        chain: Chain,
        taxonomy_of: Callable[[str], Taxonomy],
        now: Callable[[], datetime],
        concurrency: int = 16,
    ) -> None:
        self._store = store
        self._chain = chain
        self._taxonomy_of = taxonomy_of
        self._now = now
        self._concurrency = concurrency

    async def run(self, chosen: Sequence[Chosen], progress: Callable[[int], None]) -> Counter[str]:
        """Ask about those without a candidate. `progress` hears of batches.

        Counts how each ended: "enriched", or the kind of its last error.
        """
        ends: Counter[str] = Counter()
        wanted = [c for c in chosen if c.candidate_id is None]
        for start in range(0, len(wanted), BATCH):
            batch = wanted[start : start + BATCH]
            outcomes = await self._ask_all([c.event_id for c in batch])
            await self._store.write(record_trials, outcomes)
            ends.update(_end(outcome) for outcome in outcomes)
            progress(len(batch))
        return ends

    async def _ask_all(self, ids: Sequence[int]) -> list[Outcome]:
        events = await asyncio.to_thread(self._load, ids)
        room = asyncio.Semaphore(self._concurrency)

        async def ask(event: EventText) -> Outcome:
            async with room:
                started = self._now()
                asked = await self._chain.ask(event, self._taxonomy_of(event.source))
            return self._outcome(event, asked, started)

        return list(await asyncio.gather(*(ask(event) for event in events)))

    def _load(self, ids: Sequence[int]) -> list[EventText]:
        with self._store.read() as connection:
            return list(load_events(connection, ids).values())

    def _outcome(self, event: EventText, asked: Asked, started: datetime) -> Outcome:
        now = self._now()
        moment = to_microseconds(now)
        notes = [
            AttemptNote(
                self._store.new_ids(),
                "retry" if asked.answer else "dead",
                tried.kind,
                tried.error,
                moment,
                tried.latency_ms,
                tried.provider,
                tried.model,
                tried.prompt_version,
                tried.spent,
            )
            for tried in asked.tried
        ]
        claim = no_claim(event.id, event.source, started)
        outcome = Outcome(claim, to_microseconds(started), notes, day=now.date().isoformat())
        if asked.answer is not None:
            notes.append(success_note(self._store.new_ids(), asked.answer, moment))
            outcome.finding = Finding(self._store.new_ids(), asked.answer, moment, candidate=True)
        return outcome


def _end(outcome: Outcome) -> str:
    return "enriched" if outcome.finding else outcome.attempts[-1].error_kind or "failed"


def no_claim(event_id: int, source: str, at: datetime) -> Claim:
    """Stands for the claim of work that was never in the queue."""
    return Claim(event_id, ENRICH, "", source, TRIAL_NUMBER, at, 0, at)


def success_note(note_id: int, answer: Answer, moment: int) -> AttemptNote:
    """The attempt that answered."""
    return AttemptNote(
        note_id,
        "enriched",
        None,
        None,
        moment,
        answer.latency_ms,
        answer.provider,
        answer.model,
        answer.prompt_version,
        answer.spent,
    )


def changes(connection: Connection, chosen: Sequence[Chosen]) -> list[Change]:
    """What the candidates change, with people's word where there is one."""
    found = []
    for item in chosen:
        if item.candidate_id is None:
            continue
        new = connection.execute(
            text("SELECT category, severity, tags FROM enrichments WHERE id = :id"),
            {"id": item.candidate_id},
        ).one()
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


def apply_candidates(store: Store, chosen: Sequence[Chosen], now: datetime) -> int:
    """Bring the candidates into force as new revisions. How many; equal ones are left alone."""
    count = 0
    with store.read() as connection:
        wanted = [
            item
            for item in chosen
            if item.candidate_id is not None and not _is_in_force(connection, item)
        ]
    for start in range(0, len(wanted), BATCH):
        with store.read() as connection:
            outcomes = [
                _applied(connection, store, item, now) for item in wanted[start : start + BATCH]
            ]
        count += int(store.write_now(record_trials, outcomes))
    return count


def _is_in_force(connection: Connection, chosen: Chosen) -> bool:
    found = connection.execute(
        text(
            "SELECT copied_from FROM enrichments WHERE event_id = :event AND candidate = :no"
            " ORDER BY revision DESC LIMIT 1"
        ),
        {"event": chosen.event_id, "no": False},
    ).scalar()
    return found == chosen.candidate_id


def _applied(connection: Connection, store: Store, chosen: Chosen, now: datetime) -> Outcome:
    row = connection.execute(
        text(
            "SELECT category, severity, sentiment, language, tags, summary, confidence,"
            " suspicious, provider, model, prompt_version FROM enrichments WHERE id = :id"
        ),
        {"id": chosen.candidate_id},
    ).one()
    verdict = Verdict(row[0], row[1], row[2], row[3], tags_of(row[4]), row[5], row[6], bool(row[7]))
    answer = Answer(verdict, row[8], row[9], row[10], Spent())
    moment = to_microseconds(now)
    finding = Finding(
        store.new_ids(), answer, moment, copied_from=chosen.candidate_id, applied=True
    )
    claim = no_claim(chosen.event_id, chosen.source, now)
    return Outcome(claim, moment, [], finding, day=now.date().isoformat())
