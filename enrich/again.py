"""`hooksift enrich-again`: history under another prompt or model, compared before it counts.

Every answer is kept as a candidate revision beside the one in force (`enrich.candidates` brings it
into force). Candidates of the same prompt and model are never paid for twice, and copies of one
error once, from masked text, as the worker does.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from enrich.chain import Asked, Chain
from enrich.enricher import Answer, EventText
from enrich.errors import Spent
from enrich.learned import FingerprintMemory
from enrich.loading import load_events, tags_of
from enrich.prints import EventPrinter
from enrich.prompt import build_prompt, event_message
from enrich.record import AttemptNote, Finding, Outcome, record_trials
from enrich.settings import ModelSettings
from enrich.taxonomy import Taxonomy
from service.store import Store
from service.store.queue import ENRICH, Claim
from service.store.tables import to_microseconds

BATCH = 100
IDS_A_QUERY = 1_000
OUTPUT_TOKENS = 90  # of a typical answer
TRIAL_NUMBER = 0  # attempts of no claim
GONE = "gone"  # the end of an event that was erased, or too old, before its answer was written


class Chosen(NamedTuple):
    """An event to be enriched again, and what is in force for it."""

    event_id: int
    source: str
    category: str
    severity: str
    tags: frozenset[str]
    fingerprint: str | None
    candidate_id: int | None


@dataclass(frozen=True, slots=True)
class Price:
    """What a run would cost at most. Nothing is asked for it."""

    event_count: int
    call_count: int
    done_count: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


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
            " CASE WHEN n.suspicious THEN NULL ELSE n.fingerprint END,"
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
        Chosen(event_id, of, category, severity, frozenset(tags_of(tags)), print_, candidate_id)
        for event_id, of, category, severity, tags, print_, candidate_id in rows
    ]


def _listed(prefix: str, values: Sequence[str]) -> str:
    return ", ".join(f":{prefix}{number}" for number in range(len(values))) or "NULL"


def unanswered(chosen: Iterable[Chosen]) -> list[list[Chosen]]:
    """Those without a candidate: copies of one error together, every other event alone."""
    groups: dict[object, list[Chosen]] = {}
    for item in chosen:
        if item.candidate_id is None:
            alike = (item.source, item.fingerprint) if item.fingerprint else item.event_id
            groups.setdefault(alike, []).append(item)
    return list(groups.values())


def price(
    connection: Connection,
    chosen: Sequence[Chosen],
    taxonomy_of: Callable[[str], Taxonomy],
    model: ModelSettings | None,
) -> Price:
    """Tokens at four characters each, at the model's prices; the stub costs nothing."""
    groups = unanswered(chosen)
    events = sum(map(len, groups))
    done = len(chosen) - events
    if model is None:
        return Price(events, len(groups), done, 0, 0, 0.0)
    characters = 0
    for start in range(0, len(groups), BATCH):
        ids = [group[0].event_id for group in groups[start : start + BATCH]]
        for event in load_events(connection, ids).values():
            system = build_prompt(taxonomy_of(event.source)).system
            characters += len(system) + len(event_message(event))
    tokens, answers = characters // 4, OUTPUT_TOKENS * len(groups)
    cost = (tokens * model.input_usd_per_million + answers * model.output_usd_per_million) / 1e6
    return Price(events, len(groups), done, tokens, answers, cost)


@dataclass
class Ends:
    """How a run ended: how many events of each kind of end, and what the calls cost."""

    counts: Counter[str] = field(default_factory=Counter)
    call_count: int = 0
    cost_usd: float = 0.0

    def note(self, outcomes: Sequence[Outcome], kept: Sequence[bool], event_count: int) -> None:
        """The outcomes of so many copies, and which of them were written.

        Where the first failed, the others were not asked; else those without an outcome were gone.
        """
        for outcome, is_kept in zip(outcomes, kept, strict=True):
            self.counts[_end(outcome) if is_kept else GONE] += 1
            for attempt in outcome.attempts:
                self.call_count += attempt.spent.call_count
                self.cost_usd += attempt.spent.cost_usd
        is_failed = bool(outcomes) and outcomes[0].finding is None
        others = [_end(outcomes[0]) if is_failed else GONE]
        self.counts.update(others * (event_count - len(outcomes)))


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
        self._memory = FingerprintMemory(store)

    async def run(self, chosen: Sequence[Chosen], progress: Callable[[int], None]) -> Ends:
        """Ask about those without a candidate. `progress` hears of events as they are done.

        Counts how each ended: "enriched", the kind of its last error, or "gone".
        """
        ends = Ends()
        groups = unanswered(chosen)
        for start in range(0, len(groups), BATCH):
            batch = groups[start : start + BATCH]
            for group, outcomes in zip(batch, await self._ask_all(batch, progress), strict=True):
                kept = await self._store.write(record_trials, outcomes)
                ends.note(outcomes, kept, len(group))
        return ends

    async def _ask_all(
        self, groups: Sequence[Sequence[Chosen]], progress: Callable[[int], None]
    ) -> list[list[Outcome]]:
        """The outcomes of each group."""
        ids = [item.event_id for group in groups for item in group]
        events = await asyncio.to_thread(self._load, ids)
        room = asyncio.Semaphore(self._concurrency)

        async def ask(group: Sequence[Chosen]) -> list[Outcome]:
            async with room:
                known = [events[c.event_id] for c in group if c.event_id in events]
                outcomes = await self._ask_once(known, masked=group[0].fingerprint is not None)
            progress(len(group))
            return outcomes

        return list(await asyncio.gather(*(ask(group) for group in groups)))

    async def _ask_once(self, events: Sequence[EventText], *, masked: bool) -> list[Outcome]:
        """Ask about the first; its answer stands for the others, unless it is suspicious."""
        if not events:
            return []
        first, *others = events
        shown = await asyncio.to_thread(self._masked, first) if masked else first
        started = self._now()
        asked = await self._chain.ask(shown, self._taxonomy_of(first.source))
        outcome = self._outcome(first, asked, started)
        if asked.answer is None:
            return [outcome]
        if asked.answer.verdict.suspicious:
            alone = [await self._ask_once([event], masked=False) for event in others]
            return [outcome, *(each for outcomes in alone for each in outcomes)]
        return [outcome, *(self._copied(event, outcome, started) for event in others)]

    def _masked(self, event: EventText) -> EventText:
        """What copies share: no copy sees another's values."""
        return EventPrinter(self._memory.fingerprinter_for(event.source)).print_of(event).event

    def _load(self, ids: Sequence[int]) -> dict[int, EventText]:
        events: dict[int, EventText] = {}
        with self._store.read() as connection:
            for start in range(0, len(ids), IDS_A_QUERY):
                events |= load_events(connection, ids[start : start + IDS_A_QUERY])
        return events

    def _copied(self, event: EventText, of: Outcome, started: datetime) -> Outcome:
        """The outcome of a copy: the same answer, and nothing called for it."""
        assert of.finding is not None
        answer = replace(of.finding.answer, spent=Spent(), latency_ms=0.0)
        note = success_note(self._store.new_ids(), answer, of.finding.recorded_at)
        finding = of.finding._replace(
            id=self._store.new_ids(), answer=answer, copied_from=of.finding.id
        )
        claim = no_claim(event.id, event.source, started)
        return Outcome(claim, to_microseconds(started), [note], finding, day=of.day)

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
