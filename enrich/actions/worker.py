"""The action worker: claims work of kind "act", performs it, writes down how it ended.

Every outcome and the end of its work item are one transaction. A worker that dies between call and
commit leaves a lease that runs out; the next try finds the effect (tags, notes, keys) or does what
the target's `delivery` says.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Connection

from enrich.actions.adapters.contract import Guarantee, Messenger
from enrich.actions.errors import ActionError, DoubtError, NotOursError, TransientError
from enrich.actions.group_store import sweep_groups
from enrich.actions.journal import Finish, Intent, finish
from enrich.actions.performer import Case, NotYet, Outcome, Performer, Sleep
from enrich.actions.rule_book import REVIEW, RuleBook
from enrich.actions.settings import ActSettings
from enrich.actions.tags import TagChange
from enrich.actions.targets import Target
from service.errors import NotStorable, StoreUnavailable
from service.outage import Outage
from service.store import Store
from service.store.faults import is_taken
from service.store.queue import (
    ACT,
    Claim,
    ClaimRequest,
    NewWork,
    bury,
    claim_each,
    next_available_at,
)
from service.store.tables import to_microseconds

POLL_SECONDS = 1.0
RATE_LIMIT_SECONDS = 60.0  # where a target at its limit does not say for how long
SWEEP_SECONDS = 3600.0
OLDEST = timedelta(days=3)  # for work that a rate limit, and nothing else, kept from being done
log = structlog.get_logger()


def utc_now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


class ActionWorker:
    """Performs up to `concurrency` actions at once until it is told to stop."""

    def __init__(
        self,
        store: Store,
        book: RuleBook,
        targets: Mapping[str, Target],
        settings: ActSettings | None = None,
        *,
        now: Callable[[], datetime] = utc_now,
        sleep: Sleep = asyncio.sleep,
        on_ended: Callable[[str, str], None] = lambda _adapter, _outcome: None,
    ) -> None:
        self._store = store
        self._on_ended = on_ended
        self._targets = targets
        self._settings = settings or ActSettings()
        self._now = now
        self._swept_at: datetime | None = None
        self._outage = Outage(log)
        self._performer = Performer(store, book, targets, now=now, sleep=sleep)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; what was begun is finished first."""
        news = asyncio.Event()
        self._store.subscribe(ACT, news.set)
        tasks: set[asyncio.Task[None]] = set()
        while not stop.is_set():
            news.clear()
            await self._sweep()
            claims = await self._claim(self._settings.concurrency - len(tasks))
            tasks |= {asyncio.create_task(self._handle(claim)) for claim in claims}
            if not claims:
                await _first_of(stop, news, tasks)
            tasks = {task for task in tasks if not task.done()}
        await asyncio.gather(*tasks)

    async def step(self) -> int:
        """Claim once and perform what was claimed. Returns how many that were."""
        claims = await self._claim(self._settings.concurrency)
        await asyncio.gather(*(self._handle(claim) for claim in claims))
        return len(claims)

    async def close(self) -> None:
        """Close every target's connections."""
        for target in self._targets.values():
            await target.adapter.close()

    async def _sweep(self) -> None:
        """Once an hour, drop groups that ended long ago."""
        now = self._now()
        if self._swept_at is not None and (now - self._swept_at).total_seconds() < SWEEP_SECONDS:
            return
        self._swept_at = now
        try:
            await self._store.write(sweep_groups, now)
        except StoreUnavailable as error:
            log.warning("not swept", error=str(error))

    async def _claim(self, limit: int) -> list[Claim]:
        """Up to `limit` claims; none while the store is unavailable."""
        now, lease_seconds = self._now(), self._settings.lease_seconds
        try:
            if limit < 1 or not await self._is_due(now):
                return []
            token = self._store.new_ids()
            request = ClaimRequest(ACT, limit, now, lease_seconds, token)
            claims: list[Claim] = await self._store.write(claim_each, request)
        except StoreUnavailable as error:
            self._outage.noticed(error)
            return []
        return claims

    async def _is_due(self, now: datetime) -> bool:
        first = await asyncio.to_thread(self._next_due)
        self._outage.ended()
        return first is not None and first <= now

    def _next_due(self) -> datetime | None:
        with self._store.read_once() as connection:
            return next_available_at(connection, ACT)

    async def _handle(self, claim: Claim) -> None:
        try:
            ending = await self._attempt(claim, self._now())
            kept = await self._finish(ending)
        except StoreUnavailable as error:  # the lease runs out and the work is claimed again
            log.warning("action not recorded", name=claim.name, error=str(error))
            return
        except Exception as error:  # noqa: BLE001 - one event's bug must not stop the others
            name = type(error).__name__  # no traceback: its frames hold bodies and credentials
            log.error("action failed", name=claim.name, error=name)  # noqa: TRY400
            await self._give_up(claim, name)
            return
        outcome = ending.outcome if kept else "lease lost"
        self._on_ended(ending.adapter, outcome)
        log.info(
            "action",
            event_id=claim.event_id,
            name=claim.name,
            outcome=outcome,
            error_kind=ending.error_kind,
        )

    async def _finish(self, ending: Finish) -> bool:
        """Write it down, once more under another id where its own is taken."""
        try:
            kept: bool = await self._store.write(finish, ending)
        except NotStorable as error:
            if not is_taken(error):
                raise
            renamed = replace(ending, action_id=self._store.new_ids())
            kept = await self._store.write(finish, renamed)
        return kept

    async def _give_up(self, claim: Claim, reason: str) -> None:
        """Bury work that cannot even be recorded as failed; it would come back for ever."""
        try:
            await self._store.write(bury_each, (claim, self._now(), f"bug: {reason}"))
        except StoreUnavailable as error:
            log.warning("action not recorded", name=claim.name, error=str(error))

    async def _attempt(self, claim: Claim, started: datetime) -> Finish:
        case = await asyncio.to_thread(self._performer.open_case, claim)
        if isinstance(case, str):
            return self._end(claim, started, None, Outcome("skipped", why=case))
        return await self._perform(case, started)

    async def _perform(self, case: Case, started: datetime) -> Finish:
        try:
            async with asyncio.timeout(self._settings.lease_seconds * 0.8):
                outcome = await self._performer.perform(case)
        except NotYet as later:
            return self._end(case.claim, started, case, Outcome("waiting"), later.until)
        except NotOursError as error:
            return self._end(case.claim, started, case, Outcome("skipped", why=str(error)))
        except ActionError as error:
            return self._failed(case, started, error)
        except TimeoutError:
            limit = self._settings.lease_seconds * 0.8
            said = f"{case.target.name} took longer than {limit:g} s"
            return self._failed(case, started, DoubtError(said, kind="timeout"))
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one event's bug must not stop the others
            name = type(error).__name__  # no traceback: its frames hold bodies and credentials
            log.error("action failed", name=case.claim.name, error=name)  # noqa: TRY400
            return self._failed(case, started, ActionError(name, kind="bug"))
        return self._end(case.claim, started, case, outcome)

    def _end(
        self,
        claim: Claim,
        started: datetime,
        case: Case | None,
        outcome: Outcome,
        until: datetime | None = None,
    ) -> Finish:
        return Finish(
            claim=claim,
            action_id=self._store.new_ids(),
            rule=case.action.rule.name if case else claim.name.partition("/")[0],
            adapter=case.target.adapter.name if case else "",
            target=_label(case, outcome.ticket) if case else "",
            outcome=outcome.word,
            started_at=started,
            finished_at=self._now(),
            detail=outcome.detail,
            error_kind=None,
            error=outcome.why,
            retry_at=until,
            record=until is None,
            told=outcome.told,
            follow_up=self._review(claim) if outcome.review else None,
            clear_start=until is None,
        )

    def _review(self, claim: Claim) -> NewWork:
        return NewWork(
            claim.event_id,
            ACT,
            f"{claim.name}/{REVIEW}",
            claim.source,
            1,
            to_microseconds(self._now()),
        )

    def _failed(self, case: Case, started: datetime, error: ActionError) -> Finish:
        wait = self._next_wait(case, error)
        if error.kind == "rate_limited" and wait is not None:
            case.target.pace.pause(wait)
        now = self._now()
        return Finish(
            claim=case.claim,
            action_id=self._store.new_ids(),
            rule=case.action.rule.name,
            adapter=case.target.adapter.name,
            target=_label(case, ""),
            outcome="dead" if wait is None else "retry",
            started_at=started,
            finished_at=now,
            error_kind=error.kind,
            error=str(error),
            retry_at=None if wait is None else now + timedelta(seconds=wait),
            dead=wait is None,
            told=case.telling if wait is None else None,
            forget=_to_forget(case, error, is_last=wait is None),
            # The call certainly did not happen, or a person decides from here on.
            clear_start=wait is None or not isinstance(error, DoubtError),
        )

    def _next_wait(self, case: Case, error: ActionError) -> float | None:
        """Seconds until the next try; None when there is none."""
        if not isinstance(error, TransientError):
            return None
        once_only = _guarantee(case) is Guarantee.AT_MOST_ONCE
        if once_only and isinstance(error, DoubtError):
            return None
        schedule, asked = self._settings.retry_after, error.retry_after_seconds or 0.0
        if error.kind == "rate_limited":
            is_old = self._now() - case.loaded.received_at > OLDEST
            return None if is_old else asked or RATE_LIMIT_SECONDS
        if case.loaded.failed_count >= len(schedule):
            return None
        return max(schedule[case.loaded.failed_count], asked)


async def _first_of(
    stop: asyncio.Event, news: asyncio.Event, tasks: set[asyncio.Task[None]]
) -> None:
    """Until there is news, something finished, it is time to stop, or a second has passed."""
    waiters = {asyncio.ensure_future(event.wait()) for event in (stop, news)}
    await asyncio.wait(waiters | tasks, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    for waiter in waiters:
        waiter.cancel()


def _to_forget(case: Case, error: ActionError, *, is_last: bool) -> Intent | None:
    """What of the announced change is taken back: all of it where it was certainly not made; where
    nobody knows and nobody tries again, the removals, so that a later event makes up for them."""
    if case.intent is None or not isinstance(error, DoubtError):
        return case.intent
    removals = TagChange(remove=case.intent.change.remove)
    return replace(case.intent, change=removals) if is_last else None


def _label(case: Case, ticket: str) -> str:
    return f"{case.target.name} {ticket}".rstrip()


def _guarantee(case: Case) -> Guarantee:
    adapter: Messenger = case.target.adapter  # type: ignore[assignment]
    return adapter.guarantee


def bury_each(
    connection: Connection, _tx: int, payloads: Sequence[tuple[Claim, datetime, str]]
) -> list[bool]:
    """The handler that makes dead letters of work whose failure cannot be recorded."""
    return bury(connection, payloads)
