"""What the rules would do with an event, and why, in words. Calls nobody, needs no credential."""

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from sqlalchemy import Connection

from enrich.actions.adapters.contract import TicketAdapter
from enrich.actions.errors import NotOursError
from enrich.actions.loading import Loaded, StoreHistory, load
from enrich.actions.messages import clean_values
from enrich.actions.plain_text import one_line, plain_text
from enrich.actions.rule_book import PlannedAction, RuleBook
from enrich.actions.rules import Decision, Reason, Step
from enrich.actions.settings import FreshdeskTarget, Target, TicketTarget
from enrich.actions.targets import Kind, World, guarantee_of, open_target

MARKS = {True: "yes", False: "no ", None: "?  "}


def preview(
    connection: Connection, book: RuleBook, targets: Mapping[str, Target], event_id: int
) -> Iterator[str]:
    """Lines for a person: each rule, its conditions, its actions and what they would send."""
    loaded = load(connection, event_id, "")
    if loaded is None:
        yield f"event {event_id}: not here, or not enriched yet"
        return
    s = loaded.situation
    yield f"event {event_id}: {s.event_type} from {s.source}, {one_line(s.title, 80)!r}"
    yield f"  {s.category}, {s.severity}, confidence {s.confidence:.2f}, tags {', '.join(s.tags)}"
    history = StoreHistory(connection, s, loaded.received_at)
    for rule, verdict, actions in book.verdicts(s, history):
        yield f"rule {rule.name}: {'applies' if verdict.matched else 'does not apply'}"
        yield from _reasons(verdict.reasons)
        if verdict.matched:
            for action, decision in actions:
                yield from _action(action, decision, loaded, targets)


def _reasons(reasons: Iterable[Reason]) -> Iterator[str]:
    for reason in reasons:
        yield f"  {MARKS[reason.held]} {reason.said}"


def _action(
    action: PlannedAction, decision: Decision, loaded: Loaded, targets: Mapping[str, Target]
) -> Iterator[str]:
    settings = targets[action.settings.target]
    adapter = getattr(settings, "adapter", "")
    verb = "do it" if decision.step is Step.ACT else "suggest only"
    yield f"  action {action.name}: {action.kind.value} at {action.settings.target} ({adapter})"
    yield f"    {verb}: {decision.why}"
    overwrites = isinstance(settings, FreshdeskTarget)
    risk = "; a tag changed in the same moment may be lost" if overwrites else ""
    yield f"    {guarantee_of(settings).value}{risk}"
    if action.kind is not Kind.MESSAGE:
        yield f"    on {_ticket(action.settings.target, settings, loaded)}"
    yield from _sent(action, loaded)
    if decision.step is Step.SUGGEST and action.rule.review:
        yield f"    and ask people at {action.rule.review} to look"


def _sent(action: PlannedAction, loaded: Loaded) -> Iterator[str]:
    if action.kind is Kind.TAGS:
        yield f"    add {', '.join(sorted(action.wanted_tags(loaded.situation))) or 'nothing'}"
        return
    values = clean_values(loaded.situation, action.rule.name)
    if action.kind is Kind.MESSAGE:
        yield f"    title: {one_line(action.title.fill(values), 300)}"
    for line in plain_text(action.text.fill(values)).splitlines():
        yield f"    | {line}"


def _ticket(name: str, settings: Target, loaded: Loaded) -> str:
    """The ticket by its adapter, opened with a credential that is none."""
    if not isinstance(settings, TicketTarget):
        return "no ticket"
    world = World(resolve=lambda _reference: "-")
    adapter = cast(TicketAdapter, open_target(name, settings, world).adapter)
    if loaded.preset not in adapter.presets:
        return f"no ticket: a {loaded.preset or 'lost'} event is none of {adapter.name}'s"
    try:
        return str(adapter.ticket_of(loaded.payload))
    except NotOursError as error:
        return f"no ticket: {error}"
