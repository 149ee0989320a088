"""What the rules would do with an event, to which ticket and why, in words for who runs support.

Calls nobody and needs no credential: what is on the ticket is known from what we wrote there.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, text

from enrich.actions.adapters.contract import Guarantee, TicketAdapter
from enrich.actions.errors import NotOursError
from enrich.actions.journal import own_tags
from enrich.actions.loading import Loaded, StoreHistory, load
from enrich.actions.messages import clean_values
from enrich.actions.plain_text import one_line, plain_text
from enrich.actions.rule_book import PlannedAction, RuleBook
from enrich.actions.rules import Decision, Reason, Step
from enrich.actions.settings import FreshdeskTarget, Target
from enrich.actions.tags import OURS, REMOVED
from enrich.actions.targets import Kind, World, guarantee_of, open_target, serves

MARKS = {True: "yes", False: "no ", None: "?  "}
VERBS = {Kind.TAGS: "change tags", Kind.NOTE: "write a note", Kind.MESSAGE: "send a message"}
PROMISES = {
    Guarantee.EXACTLY_ONCE: "exactly once: a repeated try changes nothing",
    Guarantee.AT_LEAST_ONCE: "at least once: never lost, perhaps twice after a crash",
    Guarantee.AT_MOST_ONCE: "at most once: never twice, perhaps lost in a crash",
}


class Preview:
    """Rules on trial, against one state of the store."""

    def __init__(
        self, connection: Connection, book: RuleBook, targets: Mapping[str, Target]
    ) -> None:
        self._connection = connection
        self._book = book
        self._targets = targets

    def lines(self, event_id: int) -> Iterator[str]:
        """Each rule, its conditions, its actions and what they would send.

        Raises LookupError, saying why, for an event on which rules are not tried.
        """
        loaded = load(self._connection, event_id, "")
        if loaded is None:
            raise LookupError(f"event {event_id} {why_not(self._connection, event_id)}")
        s = loaded.situation
        yield f'event {event_id}: "{one_line(s.title, 80)}", {s.event_type} from {s.source}'
        tags = f", tags {', '.join(s.tags)}" if s.tags else ""
        yield f"  enriched: {s.category}, {s.severity}, confidence {s.confidence:.2f}{tags}"
        history = StoreHistory(self._connection, s, loaded.received_at)
        for rule, verdict, actions in self._book.verdicts(s, history):
            yield f"rule {rule.name} {'applies' if verdict.matched else 'does not apply'}"
            yield from _reasons(verdict.reasons)
            for action, decision in actions if verdict.matched else ():
                yield from self._action(_Trial(action, decision, loaded, history))

    def _action(self, trial: "_Trial") -> Iterator[str]:
        action, name = trial.action, trial.action.settings.target
        settings = self._targets[name]
        is_done = trial.decision.step is Step.ACT
        yield f"  -> {'' if is_done else 'only suggest to '}{VERBS[action.kind]}"
        place = f"{name} ({getattr(settings, 'adapter', '')})"
        ticket = "" if action.kind is Kind.MESSAGE else _ticket(name, settings, trial)
        yield _row("to", f"{ticket} at {place}" if ticket else place)
        yield _row("why", trial.decision.why)
        yield _row("effect", PROMISES[guarantee_of(settings)])
        if isinstance(settings, FreshdeskTarget):
            yield _row("", "a tag that a person changes in the same moment may be lost")
        yield from self._tags(trial, ticket) if action.kind is Kind.TAGS else _text(trial)
        if not is_done and action.rule.review:
            yield _row("then", f"ask people at {action.rule.review} to look")

    def _tags(self, trial: "_Trial", ticket: str) -> Iterator[str]:
        """Tags to add; of those that we wrote earlier what would go, and what stays away."""
        action, situation = trial.action, trial.loaded.situation
        known = own_tags(self._connection, action.settings.target, ticket)
        wanted = action.wanted_tags(situation)
        add = [t for t in sorted(wanted) if t not in known or known[t].state != REMOVED]
        yield _row("add", ", ".join(add) or "nothing")
        for tag in sorted(wanted.keys() - set(add)):
            yield _row("not", f"{tag}, which a person took away")
        if trial.decision.step is Step.ACT:
            kept = self._book.wanted_tags(action.settings.target, situation, trial.history)
            stale = [t for t, state in sorted(known.items()) if state.state == OURS]
            gone = [t for t in stale if t not in kept]
            yield from [_row("remove", ", ".join(gone))] if gone else []


@dataclass(frozen=True, slots=True)
class _Trial:
    """One action with what was decided and from what."""

    action: PlannedAction
    decision: Decision
    loaded: Loaded
    history: StoreHistory


def why_not(connection: Connection, event_id: int) -> str:
    """Why there is nothing to try rules on."""
    here = connection.execute(
        text("SELECT 1 FROM events WHERE id = :id"), {"id": event_id}
    ).scalar_one_or_none()
    if here is None:
        return "is not here; `hooksift events` lists those that are"
    told = connection.execute(
        text(
            "SELECT error FROM actions WHERE event_id = :id AND outcome IN ('echo', 'labelled')"
            " LIMIT 1"
        ),
        {"id": event_id},
    ).scalar_one_or_none()
    if told is not None:
        return f"is a change of tags and no news ({told}); no rule is asked"
    return "is not enriched yet"


def _reasons(reasons: Iterable[Reason]) -> Iterator[str]:
    for reason in reasons:
        yield f"  {MARKS[reason.held]} {reason.said}"


def _row(name: str, value: str) -> str:
    return f"     {name:<7}{value}"


def _text(trial: _Trial) -> Iterator[str]:
    action = trial.action
    values = clean_values(trial.loaded.situation, action.rule.name)
    if action.kind is Kind.MESSAGE:
        yield _row("title", one_line(action.title.fill(values), 300))
    for number, line in enumerate(plain_text(action.text.fill(values)).splitlines()):
        yield _row("" if number else "text", line)


def _ticket(name: str, settings: Target, trial: _Trial) -> str:
    """The ticket by its adapter, opened with a credential that is none."""
    world = World(resolve=lambda _reference: "-")
    adapter = cast(TicketAdapter, open_target(name, settings, world).adapter)
    loaded = trial.loaded
    if loaded.preset not in adapter.presets:
        return f"no ticket: a {loaded.preset or 'lost'} event is none of {adapter.name}'s"
    if not serves(settings, loaded.situation.source):
        return "no ticket: this source's tickets live elsewhere"
    try:
        return str(adapter.ticket_of(loaded.payload))
    except NotOursError as error:
        return f"no ticket: {error}"
