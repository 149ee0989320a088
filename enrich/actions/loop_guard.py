"""Our own writes coming back as webhooks, and people changing our tags.

A tag we write makes the ticket system send a webhook, which would be enriched, which would write
again. Every write is in the store before it is made, so its echo is known by who sent it (the
target's `accounts`) and by what it says:

    sender              what changed                        it is
    ours                only tags that we wrote             OwnEcho
    ours                a note that ends in our marker      OwnEcho
    not told            the same, of an action of ours      OwnEcho
    not told            what we wrote, words unchanged      OwnEcho
    anybody else        a tag of our namespace              PersonChange, which becomes labels
    everything else                                         None: an event like any other

Words decide in the end: an event that brings something a person wrote is never taken for an echo.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Connection, text

from enrich.actions.adapters.contract import TicketAdapter, TicketNews
from enrich.actions.errors import NotOursError
from enrich.actions.journal import OwnTagState, own_tags
from enrich.actions.loading import ArrivedEvent, arrivals_of, digest_of, is_known
from enrich.actions.messages import marked
from enrich.actions.rule_book import RuleBook
from enrich.actions.tags import ADDED, OURS, REMOVED, WITHDRAWN, TagMeaning, meaning_of
from enrich.actions.targets import Kind, Target, serves
from enrich.tables import Action, Label
from service.store.tables import to_microseconds

ECHO_WITHIN = timedelta(minutes=10)
CLOCKS_APART = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class OwnEcho:
    """Our own write came back: record it, do not enrich it."""

    event_id: int
    source: str
    target: str
    ticket: str
    adapter: str
    cause_event_id: int | None
    why: str
    skips_enrichment: bool = True


@dataclass(frozen=True, slots=True)
class TagLabel:
    """What a person said by changing a tag of ours."""

    tag: str
    state: str
    field: str
    value: str
    labelled_event_id: int


@dataclass(frozen=True, slots=True)
class PersonChange:
    """A person changed tags of our namespace: keep that as labels."""

    event_id: int
    source: str
    target: str
    ticket: str
    author: str
    labels: tuple[TagLabel, ...]
    skips_enrichment: bool
    digest: str = field(repr=False, default="")


Recognised = OwnEcho | PersonChange


@dataclass(frozen=True, slots=True)
class Recording:
    """A recognised event to be written down by `record`, under ids from `store.new_ids`."""

    recognised: Recognised
    first_id: int
    at: datetime


class LoopGuard:
    """Knows every target that tickets are written back to."""

    def __init__(self, book: RuleBook, targets: Mapping[str, Target]) -> None:
        self._targets = [t for t in targets.values() if t.kind is not Kind.MESSAGE]
        self._book = book

    def recognise_all(
        self, connection: Connection, event_ids: Sequence[int]
    ) -> dict[int, Recognised]:
        """Those of the events that are our own echo or a person's change, by id. Reads only."""
        presets = {p for target in self._targets for p in _adapter(target).presets}
        if not presets or not event_ids:
            return {}
        found: dict[int, Recognised] = {}
        for event, preset, payload in arrivals_of(connection, event_ids, presets):
            recognised = self.recognise(connection, event, preset, payload)
            if recognised is not None:
                found[event.id] = recognised
        return found

    def recognise(
        self, connection: Connection, event: ArrivedEvent, preset: str, payload: Any
    ) -> Recognised | None:
        """What one event is; None for one like any other."""
        for target in self._targets:
            if preset not in _adapter(target).presets or not serves(target.settings, event.source):
                continue
            try:
                news = _adapter(target).news_of(payload)
            except NotOursError:
                continue
            if news is not None:
                known = own_tags(connection, target.name, str(news.ticket))
                return self._judge(connection, target, event, news, known)
        return None

    def _judge(
        self,
        connection: Connection,
        target: Target,
        event: ArrivedEvent,
        news: TicketNews,
        known: Mapping[str, OwnTagState],
    ) -> Recognised | None:
        accounts = {a.casefold() for a in getattr(target.settings, "accounts", [])}
        actors = {a.casefold() for a in news.actors}
        is_ours = bool(accounts & actors)
        is_other = bool(accounts and actors and not is_ours)
        named = marked(news.note) if news.note and target.kind is Kind.NOTE else None
        if named and (is_ours or (not is_other and is_known(connection, *named))):
            return _echo(event, target, news, None, "a note of ours")
        added, removed = self._difference(target, news, known)
        if not added and not removed:
            return self._unchanged(target, event, news, known, is_other)
        ours = added <= _with(known, OURS) and removed <= _with(known, WITHDRAWN)
        if is_ours or (ours and not is_other):
            return self._own(target, event, news, known, added | removed, is_ours)
        return self._person(target, event, news, known, added, removed)

    def _difference(
        self, target: Target, news: TicketNews, known: Mapping[str, OwnTagState]
    ) -> tuple[set[str], set[str]]:
        """Tags of our namespace that came and went, in lower case."""
        holds = target.space.holds
        if news.added is not None or news.removed is not None:
            return (
                {t.casefold() for t in news.added or () if holds(t)},
                {t.casefold() for t in news.removed or () if holds(t)},
            )
        if news.tags is None:
            return set(), set()
        present = {t.casefold() for t in news.tags if holds(t)}
        # A state told may be older than our write: only a clearly later one proves a change.
        settled = {
            tag
            for tag, state in known.items()
            if news.at is not None and news.at > state.changed_at + CLOCKS_APART
        }
        shown = _with(known, OURS) | _with(known, ADDED)
        added = {tag for tag in present - shown if tag not in known or tag in settled}
        return added, (shown - present) & settled

    def _unchanged(
        self,
        target: Target,
        event: ArrivedEvent,
        news: TicketNews,
        known: Mapping[str, OwnTagState],
        is_other: bool,
    ) -> OwnEcho | None:
        """A state that shows what we wrote, with the same words as before, soon after: our echo."""
        if news.tags is None or is_other or not known:
            return None
        present = {t.casefold() for t in news.tags if target.space.holds(t)}
        latest = max(known.values(), key=lambda state: state.changed_at)
        soon = event.received_at - latest.changed_at < ECHO_WITHIN
        same_words = digest_of(event.title, event.text) == latest.digest
        shown = _with(known, OURS) | _with(known, ADDED)
        explained = shown <= present <= shown | _with(known, WITHDRAWN)
        if soon and same_words and explained:
            return _echo(event, target, news, latest.event_id, "the state that we wrote")
        return None

    def _own(
        self,
        target: Target,
        event: ArrivedEvent,
        news: TicketNews,
        known: Mapping[str, OwnTagState],
        tags: set[str],
        is_ours: bool,
    ) -> OwnEcho | None:
        causes = [known[tag].event_id for tag in tags if tag in known]
        if not news.only_tags:
            same = any(s.digest == digest_of(event.title, event.text) for s in known.values())
            if not same:
                return None
        why = "sent by our account" if is_ours else "what we wrote"
        return _echo(event, target, news, max(causes, default=None), why)

    def _person(
        self,
        target: Target,
        event: ArrivedEvent,
        news: TicketNews,
        known: Mapping[str, OwnTagState],
        added: set[str],
        removed: set[str],
    ) -> PersonChange | None:
        """Labels only for tickets that we wrote to: a label corrects an enrichment."""
        if not known:
            return None
        labelled = max(state.event_id for state in known.values())
        labels = [self._label(target, tag, ADDED, known, labelled) for tag in sorted(added)] + [
            self._label(target, tag, REMOVED, known, labelled)
            for tag in sorted(removed)
            if tag in known
        ]
        if not labels:
            return None
        return PersonChange(
            event.id,
            event.source,
            target.name,
            str(news.ticket),
            _author(news.actors),
            tuple(labels),
            news.only_tags,
            digest_of(event.title, event.text),
        )

    def _label(
        self,
        target: Target,
        tag: str,
        state: str,
        known: Mapping[str, OwnTagState],
        labelled: int,
    ) -> TagLabel:
        meaning = known[tag].meaning if tag in known else self._meaning(target, tag)
        name = meaning.field if state == ADDED else f"not_{meaning.field}"
        return TagLabel(tag, state, name, meaning.value, labelled)

    def _meaning(self, target: Target, tag: str) -> TagMeaning:
        return meaning_of(tag, self._book.tag_templates(target.name), target.space)


def record(connection: Connection, tx: int, recordings: Sequence[Recording]) -> list[None]:
    """Write recognised events down: an echo as an action, a person's change as labels.

    For the transaction that makes sure of the event's work item.
    """
    for recording in recordings:
        if isinstance(recording.recognised, OwnEcho):
            _record_echo(connection, tx, recording, recording.recognised)
        else:
            _record_labels(connection, tx, recording, recording.recognised)
    return [None] * len(recordings)


def _record_echo(connection: Connection, tx: int, recording: Recording, echo: OwnEcho) -> None:
    cause = f'{{"cause_event_id": "{echo.cause_event_id}"}}' if echo.cause_event_id else ""
    _record_returned(connection, tx, recording, "echo", echo.adapter, echo.why, cause)


def _record_returned(
    connection: Connection,
    tx: int,
    recording: Recording,
    outcome: str,
    adapter: str,
    why: str,
    detail: str = "",
) -> None:
    """An action for an event that was recognised: the history shows what became of it."""
    recognised = recording.recognised
    row = Action(
        id=recording.first_id,
        event_id=recognised.event_id,
        source=recognised.source,
        name=outcome,
        rule="",
        adapter=adapter,
        target=f"{recognised.target} {recognised.ticket}",
        number=1,
        outcome=outcome,
        error=why,
        detail=detail,
        started_at=recording.at,
        finished_at=recording.at,
        tx=tx,
    )
    connection.execute(Action.__table__.insert(), row.model_dump())  # type: ignore[attr-defined]


def _record_labels(
    connection: Connection, tx: int, recording: Recording, change: PersonChange
) -> None:
    """Once for each event, however often it is claimed: what a person said later stands."""
    if _is_recorded(connection, change.event_id):
        return
    outcome = "labelled" if change.skips_enrichment else "noted"
    _record_returned(connection, tx, recording, outcome, "", f"changed by {change.author}")
    for number, label in enumerate(change.labels, start=1):
        row = Label(
            id=recording.first_id + number,
            event_id=label.labelled_event_id,
            source=change.source,
            field=label.field,
            value=label.value,
            author=change.author,
            origin="webhook",
            recorded_at=recording.at,
            tx=tx,
        )
        connection.execute(Label.__table__.insert(), row.model_dump())  # type: ignore[attr-defined]
        connection.execute(
            text(
                "INSERT INTO own_tags"
                " (target, ticket, tag, state, field, value, event_id, digest, changed_at)"
                " VALUES (:target, :ticket, :tag, :state, :field, :value, :event_id, :digest, :at)"
                " ON CONFLICT (target, ticket, tag) DO UPDATE SET"
                " state = excluded.state, changed_at = excluded.changed_at"
            ),
            {
                "target": change.target,
                "ticket": change.ticket,
                "tag": label.tag,
                "state": label.state,
                "field": label.field.removeprefix("not_"),
                "value": label.value,
                "event_id": label.labelled_event_id,
                "digest": change.digest,
                "at": to_microseconds(recording.at),
            },
        )


def _is_recorded(connection: Connection, event_id: int) -> bool:
    found = connection.execute(
        text(
            "SELECT 1 FROM actions WHERE event_id = :event_id"
            " AND outcome IN ('labelled', 'noted') LIMIT 1"
        ),
        {"event_id": event_id},
    ).first()
    return found is not None


def _adapter(target: Target) -> TicketAdapter:
    return cast(TicketAdapter, target.adapter)


def _author(actors: Collection[str]) -> str:
    """The name a person would know; a number only where that is all there is."""
    names = sorted(actor for actor in actors if not actor.isdigit())
    return ", ".join(names or sorted(actors)) or "unknown"


def _echo(
    event: ArrivedEvent, target: Target, news: TicketNews, cause: int | None, why: str
) -> OwnEcho:
    return OwnEcho(
        event.id, event.source, target.name, str(news.ticket), target.adapter.name, cause, why
    )


def _with(known: Mapping[str, OwnTagState], state: str) -> set[str]:
    return {tag for tag, found in known.items() if found.state == state}
