"""Rules, evaluated without touching anything: what would happen to an event, and why."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import NamedTuple, Protocol

from enrich.actions.settings import Conditions, RuleSettings


@dataclass(frozen=True, slots=True)
class Situation:
    """An event and its enrichment, as rules and templates see them."""

    event_id: int
    source: str
    event_type: str
    category: str
    severity: str
    sentiment: str = "neutral"
    language: str = "und"
    tags: tuple[str, ...] = ()
    summary: str = ""
    confidence: float = 1.0
    suspicious: bool = False
    degraded: bool = False
    fingerprint: str | None = None
    suspected_replay: bool = False
    candidate: bool = False
    subject: str | None = None
    title: str = ""
    text: str = ""
    customer: str | None = None
    level: str | None = None

    def values(self) -> dict[str, str]:
        """Every field that a template may name, as text."""
        return {
            "event_id": str(self.event_id),
            "source": self.source,
            "event_type": self.event_type,
            "category": self.category,
            "severity": self.severity,
            "sentiment": self.sentiment,
            "language": self.language,
            "tags": ", ".join(self.tags),
            "summary": self.summary,
            "confidence": f"{self.confidence:.2f}",
            "fingerprint": self.fingerprint or "",
            "subject": self.subject or "",
            "title": self.title,
            "text": self.text,
            "customer": self.customer or "",
            "level": self.level or "",
        }


class FingerprintHistory(Protocol):
    """What the store knows of an event's fingerprint."""

    def is_first(self) -> bool:
        """Whether no earlier event of the source has it."""
        ...

    def count_within(self, seconds: float, limit: int) -> int:
        """Events that have it and came within that time before this one, this one included.

        Counts no further than `limit`.
        """
        ...


class Reason(NamedTuple):
    """One condition and whether it held; None where only the store can say."""

    condition: str
    held: bool | None
    said: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a rule applies. `matched` is None while the store has not been asked."""

    matched: bool | None
    reasons: tuple[Reason, ...]


class Step(StrEnum):
    """What becomes of one action of a rule that applies."""

    ACT = "act"
    SUGGEST = "suggest"


class Decision(NamedTuple):
    """What to do with one action, and why."""

    step: Step
    why: str


def evaluate(
    rule: RuleSettings, situation: Situation, history: FingerprintHistory | None
) -> Verdict:
    """Whether the rule applies to the situation, condition by condition."""
    barred = _barred(situation)
    if barred:
        return Verdict(False, (barred,))
    reasons = tuple(_reasons(rule.when, situation, history))
    if rule.unless is not None:
        reasons += (_exception(rule.unless, situation, history),)
    held = [reason.held for reason in reasons]
    matched = False if False in held else None if None in held else True
    return Verdict(matched, reasons)


def decide(rule: RuleSettings, situation: Situation, *, writes_back: bool) -> Decision:
    """Whether an action of a rule that applies is done or only suggested."""
    mode = rule.mode or ("suggest" if writes_back else "act")
    if mode == "suggest":
        said = "mode is suggest" if rule.mode else "a write-back is suggested until told otherwise"
        return Decision(Step.SUGGEST, f'{said}; mode = "act" does it')
    if not writes_back:
        said = "mode is act" if rule.mode else 'a message is sent unless mode = "suggest"'
        return Decision(Step.ACT, said)
    if situation.confidence < rule.min_confidence:
        said = f"confidence {situation.confidence:.2f} is below {rule.min_confidence:.2f}"
        return Decision(Step.SUGGEST, said)
    if situation.suspicious and rule.when.suspicious is not True:
        return Decision(Step.SUGGEST, "the text looks like prompt injection")
    if situation.degraded and rule.when.degraded is not True:
        return Decision(Step.SUGGEST, "the fall-back answered")
    return Decision(Step.ACT, f"mode is act, confidence {situation.confidence:.2f}")


def _barred(situation: Situation) -> Reason | None:
    if situation.suspected_replay:
        return Reason("replay", False, "a suspected replay triggers nothing")
    if situation.candidate:
        return Reason("candidate", False, "a trial of another prompt triggers nothing")
    return None


def _exception(
    unless: Conditions, situation: Situation, history: FingerprintHistory | None
) -> Reason:
    reasons = list(_reasons(unless, situation, history))
    held = [reason.held for reason in reasons]
    said = "; ".join(reason.said for reason in reasons) or "no condition"
    if not reasons or False in held:
        return Reason("unless", True, said)
    return Reason("unless", None if None in held else False, said)


def _reasons(
    when: Conditions, situation: Situation, history: FingerprintHistory | None
) -> Iterable[Reason]:
    yield from _word_reasons(when, situation)
    if when.type is not None:
        held = any(fnmatchcase(situation.event_type, pattern) for pattern in when.type)
        yield Reason("type", held, f"type {situation.event_type!r}, wanted {_list(when.type)}")
    if when.tags is not None:
        held = not set(when.tags).isdisjoint(situation.tags)
        yield Reason("tags", held, f"tags {_list(situation.tags)}, wanted {_list(when.tags)}")
    if when.confidence is not None:
        low, high = when.confidence.at_least, when.confidence.below
        held = situation.confidence >= low and (high is None or situation.confidence < high)
        wanted = f"at least {low:g}" + ("" if high is None else f" and below {high:g}")
        yield Reason("confidence", held, f"confidence {situation.confidence:.2f}, wanted {wanted}")
    for name in ("suspicious", "degraded"):
        wanted_flag, flag = getattr(when, name), getattr(situation, name)
        if wanted_flag is not None:
            said = f"{name} is {_yes(flag)}, wanted {_yes(wanted_flag)}"
            yield Reason(name, flag == wanted_flag, said)
    yield from _history_reasons(when, situation, history)


def _word_reasons(when: Conditions, situation: Situation) -> Iterable[Reason]:
    pairs: Mapping[str, str] = {
        "source": situation.source,
        "category": situation.category,
        "severity": situation.severity,
        "sentiment": situation.sentiment,
        "language": situation.language,
    }
    for name, value in pairs.items():
        wanted: Sequence[str] | None = getattr(when, name)
        if wanted is not None:
            yield Reason(name, value in wanted, f"{name} {value!r}, wanted {_list(wanted)}")


def _history_reasons(
    when: Conditions, situation: Situation, history: FingerprintHistory | None
) -> Iterable[Reason]:
    if when.first is None and when.rate is None:
        return
    if situation.fingerprint is None:
        yield Reason("fingerprint", False, "this event has no fingerprint")
        return
    if when.first is not None:
        first = None if history is None else history.is_first()
        said = "not asked yet" if first is None else f"first of its fingerprint: {_yes(first)}"
        yield Reason("first", None if first is None else first == when.first, said)
    if when.rate is not None:
        count = None if history is None else history.count_within(when.rate.within, when.rate.count)
        wanted = f"{when.rate.count} in {when.rate.within:g} s"
        said = f"wanted {wanted}" if count is None else f"{count} counted, wanted {wanted}"
        yield Reason("rate", None if count is None else count >= when.rate.count, said)


def _list(words: Sequence[str]) -> str:
    return ", ".join(repr(word) for word in words) or "none"


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"
