"""From how asking ended to what will be written about it. Pure but for ids, clock and chance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from enrich.budget import day_of, next_day
from enrich.chain import Asked
from enrich.enricher import Answer, Enricher, EventText
from enrich.errors import EnrichError, Spent
from enrich.loading import Known
from enrich.plan import Plan, Profile
from enrich.prints import Print
from enrich.record import AttemptNote, Finding, Outcome, ReuseNote
from enrich.sanitise import clean_error
from service.store.queue import Claim, NewWork
from service.store.tables import to_microseconds

log = structlog.get_logger(__name__)
ActionsFor = Callable[[Any, Any], Sequence[NewWork]]
SPREAD_SECONDS = 60.0  # over which events come back that a model asked to be left alone by
"""Which actions an event (EventText) with this enrichment (FoundEnrichment) calls for."""


@dataclass(frozen=True, slots=True)
class FoundEnrichment:
    """An enrichment on its way to the store, as rules see it."""

    candidate: bool
    category: str
    severity: str
    sentiment: str
    language: str
    tags: tuple[str, ...]
    summary: str
    confidence: float
    suspicious: bool
    degraded: bool
    fingerprint: str | None
    recorded_at: datetime


def found_enrichment(finding: Finding, now: datetime) -> FoundEnrichment:
    """What rules may know of a finding."""
    verdict = finding.answer.verdict
    return FoundEnrichment(
        finding.candidate,
        verdict.category,
        verdict.severity,
        verdict.sentiment,
        verdict.language,
        verdict.tags,
        verdict.summary,
        verdict.confidence,
        verdict.suspicious,
        finding.answer.degraded,
        finding.fingerprint,
        now,
    )


def no_actions(_event: EventText, _enrichment: FoundEnrichment) -> Sequence[NewWork]:
    """Nothing is to be done about anything."""
    return ()


@dataclass(slots=True)
class Case:
    """One claim with all that is known of its event. `event` is None where it was erased.

    `error` is why it could not be loaded.
    """

    claim: Claim
    claimed_at: datetime
    profile: Profile
    event: EventText | None = None
    print: Print | None = None
    digest: bytes | None = None
    error: Exception | None = None


class OutcomeMaker:
    """Makes outcomes. `now` is aware UTC time, `chance` between 0 and 1."""

    def __init__(
        self,
        plan: Plan,
        new_ids: Callable[[int], int],
        now: Callable[[], datetime],
        chance: Callable[[], float],
        actions_for: ActionsFor = no_actions,
    ) -> None:
        self._plan = plan
        self._schedule = plan.schedule
        self._new_ids = new_ids
        self._now = now
        self._chance = chance
        self._actions_for = actions_for

    def gone(self, case: Case) -> Outcome:
        """The event was erased: nothing is left to do."""
        return self._outcome(case, self._now(), [])

    def worn_out(self, case: Case) -> Outcome:
        """The event was claimed too often without any outcome: it takes its workers with it."""
        now, tries = self._now(), case.claim.tries - 1
        said = f"{tries} claims ended without a word; limit is {self._schedule.max_tries}"
        note = AttemptNote(
            self._new_ids(1), "dead", "no_outcome", said, to_microseconds(now), 0.0,
            "", "", "", Spent(),
        )  # fmt: skip
        outcome = self._outcome(case, now, [note])
        outcome.dead_reason = f"no_outcome: {said}"
        return outcome

    def put_off(self, case: Case) -> Outcome:
        """The source's budget is used up: nothing until the next day; the claim is not counted."""
        now = self._now()
        outcome = self._outcome(case, now, [])
        outcome.put_off_until = self._tomorrow(now)
        return outcome

    def copied(self, case: Case, known: Known, latency_ms: float) -> Outcome:
        """An earlier event's enrichment stands for this one too."""
        answer = Answer(
            known.verdict,
            known.provider,
            known.model,
            known.prompt_version,
            Spent(),
            latency_ms,
        )
        now = self._now()
        outcome = self._outcome(case, now, [self._success(answer, now)])
        self._find(case, outcome, answer, now, copied_from=known.enrichment_id)
        return outcome

    def over_budget(self, case: Case, by_rules: Asked) -> Outcome:
        """The rules answered in a model's place, until the next day; the claim is not counted."""
        answer = by_rules.answer and replace(by_rules.answer, degraded=True)
        outcome = self.asked(case, replace(by_rules, answer=answer))
        if outcome.finding is not None:
            outcome.put_off_until = self._tomorrow(self._now())
        return outcome

    def asked(self, case: Case, asked: Asked) -> Outcome:
        """How asking the enrichers ended."""
        now = self._now()
        notes = self._failures(asked, now)
        outcome = self._outcome(case, now, notes)
        if asked.answer is None:
            assert asked.error is not None
            if _never_called(asked):
                return self._left_alone(outcome, asked.error, now)
            self._give_up_or_retry(outcome, asked.error, now)
            return outcome
        notes.append(self._success(asked.answer, now))
        self._find(case, outcome, asked.answer, now)
        if outcome.finding is not None and asked.answer.degraded:
            outcome.retry_at = self._retry_degraded(case.claim, asked.error, now)
        return outcome

    def with_new_ids(self, outcome: Outcome) -> Outcome:
        """The same under other ids."""
        notes = [note._replace(id=self._new_ids(1)) for note in outcome.attempts]
        finding = outcome.finding and outcome.finding._replace(id=self._new_ids(1))
        return replace(outcome, attempts=notes, finding=finding)

    def unrecordable(self, outcome: Outcome, error: Exception) -> Outcome:
        """The store refused what was to be written: an attempt without words of the event."""
        now = self._now()
        kind = type(error).__name__
        wrote = outcome.attempts[0] if outcome.attempts else None
        note = AttemptNote(
            self._new_ids(1),
            "dead",
            "unrecordable",
            f"the store refused the result: {kind}",
            to_microseconds(now),
            0.0,
            wrote.provider if wrote else "",
            wrote.model if wrote else "",
            wrote.prompt_version if wrote else "",
            sum((attempt.spent for attempt in outcome.attempts), Spent()),
        )
        return replace(
            outcome,
            attempts=[note],
            finding=None,
            retry_at=None,
            dead_reason=f"unrecordable: the store refused the result ({kind})",
        )

    def _outcome(self, case: Case, now: datetime, notes: list[AttemptNote]) -> Outcome:
        return Outcome(case.claim, to_microseconds(case.claimed_at), notes, day=day_of(now))

    def _success(self, answer: Answer, now: datetime) -> AttemptNote:
        return AttemptNote(
            self._new_ids(1), "enriched", None, None, to_microseconds(now), answer.latency_ms,
            answer.provider, answer.model, answer.prompt_version, answer.spent,
        )  # fmt: skip

    def _failures(self, asked: Asked, now: datetime) -> list[AttemptNote]:
        """Calls that failed; each ended as long before now as the later ones took."""
        notes: list[AttemptNote] = []
        later_ms = asked.answer.latency_ms if asked.answer else 0.0
        for tried in reversed(asked.tried):
            ended = now - timedelta(milliseconds=later_ms)
            notes.append(
                AttemptNote(
                    self._new_ids(1),
                    "retry",
                    tried.kind,
                    tried.error,
                    to_microseconds(ended),
                    tried.latency_ms,
                    tried.provider,
                    tried.model,
                    tried.prompt_version,
                    tried.spent,
                )
            )
            later_ms += tried.latency_ms
        return notes[::-1]

    def _give_up_or_retry(self, outcome: Outcome, error: Exception, now: datetime) -> None:
        wait = self._schedule.next_wait_seconds(outcome.claim.tries, error, self._chance())
        if wait is not None:
            outcome.retry_at = now + timedelta(seconds=wait)
            return
        last = outcome.attempts[-1]
        kind = error.kind if isinstance(error, EnrichError) else "crashed"
        said = last.error if last.error_kind == kind else str(error)
        outcome.dead_reason = f"{kind}: {said}"[:500]
        outcome.attempts[-1] = last._replace(outcome="dead")

    def _tomorrow(self, now: datetime) -> datetime:
        """Within the first hour of the next day: at midnight all budgets open at once."""
        return next_day(now) + timedelta(seconds=3600 * self._chance())

    def _left_alone(self, outcome: Outcome, error: Exception, now: datetime) -> Outcome:
        """Every model is being left alone: come back when one may be asked, nothing counted."""
        wait = getattr(error, "retry_after_seconds", None) or 1.0
        spread = self._chance() * min(wait, SPREAD_SECONDS)
        outcome.put_off_until = now + timedelta(seconds=wait + spread)
        outcome.attempts = []
        return outcome

    def _retry_degraded(
        self, claim: Claim, error: Exception | None, now: datetime
    ) -> datetime | None:
        if error is None:
            return None
        wait = self._schedule.next_wait_seconds(claim.tries, error, self._chance())
        return None if wait is None else now + timedelta(seconds=wait)

    def _find(
        self,
        case: Case,
        outcome: Outcome,
        answer: Answer,
        now: datetime,
        copied_from: int | None = None,
    ) -> None:
        """What was found; a fault of ours in making it is a failed attempt, which cost the same."""
        try:
            outcome.finding = self._finding(case, answer, now, copied_from)
        except Exception as error:  # noqa: BLE001 - one event must not stop the others
            name = type(error).__name__  # no traceback: its frames hold bodies
            log.error("enrich.no_finding", event_id=str(case.claim.event_id), error=name)  # noqa: TRY400
            outcome.attempts[-1] = outcome.attempts[-1]._replace(
                outcome="retry", error_kind="crashed", error=clean_error(f"{name}: {error}")
            )
            self._give_up_or_retry(outcome, error, now)

    def _finding(
        self, case: Case, answer: Answer, now: datetime, copied_from: int | None
    ) -> Finding:
        event = case.event
        assert event is not None
        fingerprint = case.print.fingerprint if case.print else None
        finding = Finding(self._new_ids(1), answer, to_microseconds(now), fingerprint, copied_from)
        if case.profile.instant is None and copied_from is None and not answer.degraded:
            finding = self._with_twin(finding, event, case.profile)
        if copied_from is None:
            finding = finding._replace(reuse=self._reuse_note(case, answer, now))
        if self._actions_for is not no_actions and not event.suspected_replay:
            found = found_enrichment(finding, now)
            finding = finding._replace(works=tuple(self._actions_for(event, found)))
        return finding

    def _with_twin(self, finding: Finding, event: EventText, profile: Profile) -> Finding:
        twin = self._plan.twin.answer(event, profile.taxonomy).verdict
        return finding._replace(twin_category=twin.category, twin_severity=twin.severity)

    def _reuse_note(self, case: Case, answer: Answer, now: datetime) -> ReuseNote | None:
        """What may be reused: a plain answer of the enricher that the digest names."""
        first: Enricher = case.profile.chain.first
        if case.digest is None or case.print is None:
            return None
        if answer.verdict.suspicious or answer.provider != first.provider:
            return None  # the second is also every degraded answer: the stub in a model's place
        lifetime = timedelta(seconds=self._plan.settings.reuse_lifetime_seconds)
        return ReuseNote(case.digest, case.print.fingerprint, to_microseconds(now + lifetime))


def _never_called(asked: Asked) -> bool:
    """Whether every enricher's circuit was open: nothing was sent, so nothing was tried."""
    return bool(asked.tried) and all(tried.kind == "circuit_open" for tried in asked.tried)


def known_of(finding: Finding) -> Known | None:
    """What others of the fingerprint may copy from a finding, if anything."""
    if finding.reuse is None:
        return None
    answer = finding.answer
    return Known(
        finding.id,
        answer.verdict,
        answer.provider,
        answer.model,
        answer.prompt_version,
        finding.reuse.expires_at,
    )
