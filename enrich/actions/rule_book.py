"""The configured rules, checked and compiled: which actions an event brings about."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from enrich.actions.rules import (
    Decision,
    FingerprintHistory,
    Situation,
    Verdict,
    decide,
    evaluate,
)
from enrich.actions.settings import ActionSettings, RuleSettings, Target
from enrich.actions.tags import Namespace, TagMeaning, tags_of
from enrich.actions.targets import Kind, check_accounts, kind_of, namespace_of
from enrich.actions.template import TAG_FIELDS, Template
from service.errors import SettingsError
from service.store.queue import ACT, NewWork
from service.store.tables import to_microseconds

DEFAULT_TAGS = ("{category}",)
DEFAULT_NOTE = "{category}, {severity}: {summary}"
DEFAULT_TITLE = "[{severity}] {category} in {source}: {title}"
DEFAULT_TEXT = "{beyond_title}\nhooksift show {event_id}"
REVIEW_TITLE = "Please look: {title}"
REVIEW_TEXT = "{source}: {category} ({severity}), confidence {confidence}. " + DEFAULT_TEXT
REVIEW = "review"
GROUP_FIELDS = frozenset(
    ("source", "event_type", "subject", "category", "severity", "fingerprint", "customer", "level")
)


@dataclass(frozen=True, slots=True)
class PlannedAction:
    """One action of one rule, compiled."""

    rule: RuleSettings
    number: int
    settings: ActionSettings
    kind: Kind
    space: Namespace
    tags: tuple[Template, ...]
    title: Template
    text: Template

    @property
    def name(self) -> str:
        """What its work item is called."""
        return f"{self.rule.name}/{self.number}"

    def wanted_tags(self, situation: Situation) -> dict[str, TagMeaning]:
        """The tags that this action wants on the ticket."""
        return tags_of(self.tags, situation.values(), situation.tags, self.space)


class WorkName(NamedTuple):
    """A work item's name taken apart: `rule/1`, `rule/1/review`."""

    rule: str
    number: int
    review: bool = False

    @classmethod
    def parse(cls, name: str) -> "WorkName | None":
        """The parts, or None when this is not one of our names."""
        rule, _, rest = name.partition("/")
        number, _, review = rest.partition("/")
        if not number.isdecimal() or review not in ("", REVIEW):
            return None
        return cls(rule, int(number), review == REVIEW)


class EventRow(Protocol):
    """What is needed of an event."""

    id: int
    source: str
    event_type: str
    subject: str | None
    title: str
    text: str
    customer: str | None
    level: str | None
    suspected_replay: bool


class EnrichmentRow(Protocol):
    """What is needed of an enrichment; `tags` is a JSON list or a sequence."""

    candidate: bool
    category: str
    severity: str
    sentiment: str
    language: str
    tags: str
    summary: str
    confidence: float
    suspicious: bool
    degraded: bool
    fingerprint: str | None
    recorded_at: datetime


def situation_of(event: EventRow, enrichment: EnrichmentRow) -> Situation:
    """An event and its enrichment as rules see them."""
    tags = enrichment.tags
    listed = json.loads(tags) if isinstance(tags, str) else tags
    return Situation(
        event_id=event.id,
        source=event.source,
        event_type=event.event_type,
        category=enrichment.category,
        severity=enrichment.severity,
        sentiment=enrichment.sentiment,
        language=enrichment.language,
        tags=tuple(str(tag) for tag in listed),
        summary=enrichment.summary,
        confidence=enrichment.confidence,
        suspicious=bool(enrichment.suspicious),
        degraded=bool(enrichment.degraded),
        fingerprint=enrichment.fingerprint,
        suspected_replay=bool(event.suspected_replay),
        candidate=bool(enrichment.candidate),
        subject=event.subject,
        title=event.title,
        text=event.text,
        customer=event.customer,
        level=event.level,
    )


class RuleBook:
    """All rules. Raises SettingsError for a rule that names what does not exist."""

    def __init__(self, rules: Sequence[RuleSettings], targets: Mapping[str, Target]) -> None:
        check_accounts(targets)
        self.rules = tuple(rules)
        self._actions: dict[tuple[str, int], PlannedAction] = {}
        for rule in rules:
            for number, action in enumerate(rule.actions, 1):
                where = f"rules.{rule.name}, action {number}"
                if (rule.name, number) in self._actions:
                    raise SettingsError(f"two rules are called {rule.name}; rename one")
                self._actions[rule.name, number] = _compile(rule, number, action, targets, where)
            if rule.review is not None:
                _check_review(rule, targets)

    def actions_of(self, rule: RuleSettings) -> list[PlannedAction]:
        """A rule's actions in their order."""
        return [self._actions[rule.name, n] for n in range(1, len(rule.actions) + 1)]

    def find(self, name: WorkName) -> PlannedAction | None:
        """The action that a work item's name stands for; None when the rule is gone."""
        return self._actions.get((name.rule, name.number))

    def actions_for(self, event: EventRow, enrichment: EnrichmentRow) -> list[NewWork]:
        """A work item for every action that may apply; the store's part is asked when it runs."""
        situation = situation_of(event, enrichment)
        available_at = to_microseconds(enrichment.recorded_at)
        return [
            NewWork(event.id, ACT, action.name, event.source, 1, available_at)
            for rule in self.rules
            if evaluate(rule, situation, None).matched is not False
            for action in self.actions_of(rule)
        ]

    def verdicts(
        self, situation: Situation, history: FingerprintHistory | None
    ) -> list[tuple[RuleSettings, Verdict, list[tuple[PlannedAction, Decision]]]]:
        """For each rule: whether it applies, and what becomes of its actions."""
        return [
            (
                rule,
                evaluate(rule, situation, history),
                [(a, decision_of(a, situation)) for a in self.actions_of(rule)],
            )
            for rule in self.rules
        ]

    def wanted_tags(
        self, target: str, situation: Situation, history: FingerprintHistory
    ) -> dict[str, TagMeaning]:
        """What all rules together want on the event's ticket: one rule's tag is not stale to
        another."""
        wanted: dict[str, TagMeaning] = {}
        for rule in self.rules:
            for action in self.actions_of(rule):
                if action.settings.target != target or action.kind is not Kind.TAGS:
                    continue
                if decision_of(action, situation).step != "act":
                    continue
                if evaluate(rule, situation, history).matched:
                    wanted |= action.wanted_tags(situation)
        return wanted

    def tag_templates(self, target: str) -> list[Template]:
        """Every tag template of a target, to read back what a person's tag means."""
        return [
            template
            for action in self._actions.values()
            if action.settings.target == target
            for template in action.tags
        ]


def decision_of(action: PlannedAction, situation: Situation) -> Decision:
    """Whether an action is done or suggested."""
    return decide(action.rule, situation, writes_back=action.kind is not Kind.MESSAGE)


def _compile(
    rule: RuleSettings,
    number: int,
    action: ActionSettings,
    targets: Mapping[str, Target],
    where: str,
) -> PlannedAction:
    settings = targets.get(action.target)
    if settings is None:
        known = ", ".join(sorted(targets)) or "none"
        raise SettingsError(f"{where}: no target is called {action.target!r}; known: {known}")
    kind = kind_of(settings)
    _check_parts(action, kind, where)
    try:
        default = DEFAULT_NOTE if kind is Kind.NOTE else DEFAULT_TEXT
        return PlannedAction(
            rule,
            number,
            action,
            kind,
            namespace_of(settings),
            tuple(Template(t, TAG_FIELDS) for t in action.tags or DEFAULT_TAGS)
            if kind is Kind.TAGS
            else (),
            Template(action.title or DEFAULT_TITLE),
            Template((action.note if kind is Kind.NOTE else action.text) or default),
        )
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error


def _check_parts(action: ActionSettings, kind: Kind, where: str) -> None:
    given = {
        "tags": bool(action.tags),
        "note": action.note is not None,
        "text": action.text is not None,
        "title": action.title is not None,
    }
    fitting = {Kind.TAGS: {"tags"}, Kind.NOTE: {"note"}, Kind.MESSAGE: {"text", "title"}}[kind]
    for part, is_given in given.items():
        if is_given and part not in fitting:
            raise SettingsError(f"{where}: {action.target} takes no {part}; remove it")
    unknown = set(action.group_by) - GROUP_FIELDS
    if unknown:
        raise SettingsError(
            f"{where}: group_by names {', '.join(sorted(unknown))};"
            f" known: {', '.join(sorted(GROUP_FIELDS))}"
        )


def _check_review(rule: RuleSettings, targets: Mapping[str, Target]) -> None:
    settings = targets.get(rule.review or "")
    if settings is None or kind_of(settings) is not Kind.MESSAGE:
        raise SettingsError(
            f"rules.{rule.name}: review must name a target that takes messages, not {rule.review!r}"
        )
