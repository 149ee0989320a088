"""The worker: claim, load, enrich, record, until told to stop.

Two lanes share one process. The instant lane serves sources whose enricher waits for nothing: it
claims hundreds, answers them in one go and writes them in one transaction. The model lane keeps a
bounded number of events waiting for models, one task each, and records each as it ends. A slow
model therefore never holds up the sources that do not use it.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy import Connection

from enrich.budget import REFRESH_SECONDS, Budgets, day_of
from enrich.chain import Asked, tried_of
from enrich.errors import Spent
from enrich.examples import ExampleIndex
from enrich.fingerprint import reuse_digest
from enrich.injection import looks_injected
from enrich.labels import load_labelled, newest_label_id
from enrich.learned import FingerprintMemory
from enrich.loading import Known, load_events, load_known, load_spending
from enrich.outcomes import ActionsFor, Case, OutcomeMaker, known_of, no_actions
from enrich.plan import Plan
from enrich.prints import EventPrinter
from enrich.record import STUB, Outcome, record_outcomes
from enrich.retry import Sleep
from enrich.reuse_book import ReuseBook
from enrich.screening import Screen, settle_screened
from service.errors import NotStorable, StoreUnavailable
from service.queue import (
    ENRICH,
    Claim,
    ClaimRequest,
    claim_each,
    extend,
    next_available_at,
    release,
)
from service.store import Store
from service.tables import to_microseconds

log = structlog.get_logger(__name__)
Result = TypeVar("Result")
INSTANT_LANES = 2  # one commits while the other computes
SUSPECT_TRIES = 3  # from this claim on an event is handled alone: it may take the process down
UPKEEP_SECONDS = 30.0  # how often new labels are read and learned fingerprints saved
STORE_PATIENCE_SECONDS = 300.0  # how long paid answers are kept while the store is away


class Observer(Protocol):
    """Hears of what the worker does, for metrics."""

    def attempted(self, source: str, outcome: str, count: int) -> None:
        """So many attempts ended so: enriched, copied, retry or dead."""
        ...

    def enriched(self, source: str, seconds: float) -> None:
        """An event was enriched so long after its work became available."""
        ...

    def lost_lease(self, count: int) -> None:
        """So many results came too late and were not written."""
        ...


class Silent:
    """Hears nothing."""

    def attempted(self, source: str, outcome: str, count: int) -> None:
        return None

    def enriched(self, source: str, seconds: float) -> None:
        return None

    def lost_lease(self, count: int) -> None:
        return None


def utc_now() -> datetime:
    """The time, aware and UTC."""
    return datetime.now(UTC)


class Worker:
    """Enriches what the queue holds. `run` until `stop` is set, or `step` once in tests."""

    def __init__(
        self,
        store: Store,
        plan: Plan,
        *,
        actions_for: ActionsFor = no_actions,
        observer: Observer | None = None,
        screen: Screen | None = None,
        examples: ExampleIndex | None = None,
        now: Callable[[], datetime] = utc_now,
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._plan = plan
        self._observer: Observer = observer or Silent()
        self._screen = screen
        self._memory = FingerprintMemory(store)
        self._examples = examples
        self._newest_label = 0
        self._now = now
        self._sleep = sleep
        self._maker = OutcomeMaker(plan, store.new_ids, now, chance, actions_for)
        self._book = ReuseBook()
        self._budgets = Budgets()
        self._budgets_read_at = float("-inf")
        self._printers: dict[str, EventPrinter] = {}
        self._flights: dict[tuple[int, str, str, int], tuple[Case, asyncio.Task[None]]] = {}
        self._news = asyncio.Event()
        self._stopping = False
        self.is_idle = False
        """Whether a lane found nothing to do and waits."""

    # -- running ---------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then finish what is begun within `drain_seconds`.

        What is not finished by then is given back unbegun: claimable at once, its try not counted.
        """
        self._store.subscribe(ENRICH, self._news.set)
        await self.refresh_examples()
        lanes = [self._lane(self._instant_step) for _ in range(INSTANT_LANES)]
        lanes.append(self._upkeep())
        if self._model_sources():
            lanes += [self._lane(self._model_step), self._heartbeats()]
        tasks = [asyncio.create_task(lane) for lane in lanes]
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        self._stopping = True
        self._news.set()
        await self._drain()
        for task in [stopped, *tasks]:
            task.cancel()
        results = await asyncio.gather(stopped, *tasks, return_exceptions=True)
        await self.save_fingerprints()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def step(self) -> int:
        """Claim once in each lane and finish all of it. How many events were claimed."""
        count = await self._instant_step()
        if self._model_sources():
            count += await self._model_step()
            while self._flights:
                await asyncio.wait([task for _, task in self._flights.values()])
        return count

    async def _lane(self, step: Callable[[], Coroutine[Any, Any, int]]) -> None:
        while not self._stopping:
            try:
                if await step():
                    continue
                await self._idle()
            except StoreUnavailable as error:
                log.warning("enrich.store_unavailable", error=str(error))
                await self._sleep(1.0)

    async def _idle(self) -> None:
        """Wait for news, for the next due item, or for the poll interval, whichever is first."""
        wait = self._plan.settings.poll_seconds
        due = await asyncio.to_thread(self._next_due)
        if due is not None:
            wait = min(wait, max(0.0, (due - self._now()).total_seconds()))
        if self._stopping:
            return
        self._news.clear()
        self.is_idle = True
        try:
            await asyncio.wait_for(self._news.wait(), wait)
        except TimeoutError:
            return
        finally:
            self.is_idle = False

    def _next_due(self) -> datetime | None:
        with self._store.read() as connection:
            return next_available_at(connection, ENRICH)

    async def _drain(self) -> None:
        tasks = [task for _, task in self._flights.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=self._plan.settings.drain_seconds)
        left = [case.claim for case, task in self._flights.values() if not task.done()]
        for _, task in list(self._flights.values()):
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
        if left:
            await self._store.write(release_each, (left, self._now()))
            log.info("enrich.given_back", count=len(left))

    # -- the two lanes ---------------------------------------------------------------------------

    async def _instant_step(self) -> int:
        barred = dict.fromkeys(self._model_sources(), 0)
        claims = await self._claim(self._plan.settings.batch_size, barred)
        cases = await self._load(claims)
        for group in apart(cases):
            await self._record([at_once(self._enrich(case)) for case in group])
        return len(claims)

    async def _model_step(self) -> int:
        room = self._plan.settings.max_in_flight - len(self._flights)
        if room <= 0:
            running = [task for _, task in self._flights.values()]
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            return 1
        claims = await self._claim(room, self._model_limits())
        for case in await self._load(claims):
            key = case.claim.key
            task = asyncio.create_task(self._fly(case))
            self._flights[key] = (case, task)
            task.add_done_callback(partial(self._landed, key))
        return len(claims)

    async def _fly(self, case: Case) -> None:
        await self._record([await self._enrich(case)])
        self._news.set()  # there is room again

    def _landed(self, key: tuple[int, str, str, int], task: "asyncio.Task[None]") -> None:
        """A flight ended. Its work is claimable again when the lease runs out, if it crashed."""
        self._flights.pop(key, None)
        if not task.cancelled() and task.exception() is not None:
            error = type(task.exception()).__name__
            log.error("enrich.not_recorded", event_id=str(key[0]), error=error)

    def _model_sources(self) -> list[str]:
        return [name for name, p in self._plan.profiles.items() if p.instant is None]

    def _model_limits(self) -> dict[str, int]:
        """No instant sources; of the others only as many as their own limits leave."""
        flying = Counter(case.claim.source for case, _ in self._flights.values())
        limits: dict[str, int] = {}
        for source, profile in self._plan.profiles.items():
            if profile.instant is not None:
                limits[source] = 0
            elif profile.concurrency is not None:
                limits[source] = max(0, profile.concurrency - flying[source])
        return limits

    async def _heartbeats(self) -> None:
        """Hold on to what is in flight; stop working on what somebody else holds by now."""
        settings = self._plan.settings
        while True:
            await self._sleep(settings.lease_seconds / 3)
            cases = list(self._flights.values())
            if not cases:
                continue
            until = self._now() + timedelta(seconds=settings.lease_seconds)
            claims = [case.claim for case, _ in cases]
            try:
                held = await self._store.write(extend_each, (claims, until))
            except StoreUnavailable:
                continue  # the next beat may still be in time
            lost = [task for (_, task), ours in zip(cases, held, strict=True) if not ours]
            running = [task for task in lost if not task.done()]
            for task in running:
                task.cancel()
            if running:
                self._observer.lost_lease(len(running))

    async def _upkeep(self) -> None:
        """Now and then: keep what was learned of fingerprints, read new labels."""
        while True:
            await self._sleep(UPKEEP_SECONDS)
            try:
                await self.save_fingerprints()
                await self.refresh_examples()
            except StoreUnavailable as error:
                log.info("enrich.upkeep_skipped", error=str(error))

    async def save_fingerprints(self) -> None:
        """Store what was learned; start over where a person made the store forget something."""
        states = self._memory.states()
        edited = await asyncio.to_thread(self._memory.save, states, self._now())
        for source in edited:
            self._printers.pop(source, None)
        if edited:
            self._book.clear()

    async def refresh_examples(self) -> None:
        """Index the labels again if there are new ones."""
        if self._examples is None:
            return
        newest = await asyncio.to_thread(self._read, newest_label_id)
        if newest != self._newest_label:
            group_of = self._plan.group_of
            labelled = await asyncio.to_thread(self._read, lambda c: load_labelled(c, group_of))
            self._examples.replace(labelled)
            self._newest_label = newest

    # -- one claim -------------------------------------------------------------------------------

    async def _claim(self, limit: int, source_limits: dict[str, int]) -> list[Claim]:
        due = await asyncio.to_thread(self._next_due)
        if due is None or due > self._now():
            return []
        request = ClaimRequest(
            ENRICH,
            limit,
            self._now(),
            self._plan.settings.lease_seconds,
            self._store.new_ids(),
            source_limits,
        )
        claims: list[Claim] = await self._store.write(claim_each, request)
        return claims

    async def _load(self, claims: Sequence[Claim]) -> list[Case]:
        """The claims with their events, fingerprints and what is known of those."""
        claims = await self._screened(claims)
        if not claims:
            return []
        claimed_at = self._now()
        ids = [claim.event_id for claim in claims]
        events = await asyncio.to_thread(self._read, lambda c: load_events(c, ids))
        cases = [
            Case(c, claimed_at, self._plan.profile(c.source), events.get(c.event_id))
            for c in claims
        ]
        for case in cases:
            self._print(case)
        await self._look_up(cases)
        await self._refresh_budgets()
        return cases

    async def _screened(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """The claims without those that only bring back what we wrote; they are completed."""
        screen = self._screen
        if screen is None or not claims:
            return claims
        found = await asyncio.to_thread(self._read, lambda c: screen.judge(c, claims))
        if not found:
            return claims
        await self._store.write(settle_screened, found)
        done = {each.claim.key for each in found if each.is_done}
        return [claim for claim in claims if claim.key not in done]

    def _read(self, query: Callable[[Connection], Result]) -> Result:
        with self._store.read() as connection:
            return query(connection)

    def _print(self, case: Case) -> None:
        event, profile = case.event, case.profile
        if event is None or not profile.reuses:
            return
        printer = self._printers.get(event.source)
        if printer is None:
            fingerprinter = self._memory.fingerprinter_for(event.source)
            printer = self._printers[event.source] = EventPrinter(fingerprinter)
        case.print = printer.print_of(event)
        if looks_injected(event.title, event.text):
            return  # judged alone, whatever it resembles
        first, taxonomy = profile.chain.first, profile.taxonomy
        case.digest = reuse_digest(
            event.source,
            taxonomy.version,
            first.prompt_version(taxonomy),
            first.model,
            case.print.fingerprint,
        )

    async def _look_up(self, cases: Sequence[Case]) -> None:
        wanted = self._book.unknown(case.digest for case in cases if case.digest)
        if wanted:
            now = to_microseconds(self._now())
            found = await asyncio.to_thread(self._read, lambda c: load_known(c, wanted, now))
            for digest, known in found.items():
                self._book.remember(digest, known)

    async def _refresh_budgets(self) -> None:
        """Read what was spent today, where anybody has a budget."""
        if all(
            p.budget.usd_per_day is None and p.budget.calls_per_day is None
            for p in self._plan.profiles.values()
        ):
            return
        day = day_of(self._now())
        fresh = time.monotonic() - self._budgets_read_at < REFRESH_SECONDS
        if fresh and day == self._budgets.day:
            return
        spent = await asyncio.to_thread(self._read, lambda c: load_spending(c, day))
        self._budgets.refresh(day, spent)
        self._budgets_read_at = time.monotonic()

    async def _enrich(self, case: Case) -> Outcome:
        """What becomes of one claim. Never suspends where the enricher is instant."""
        if case.claim.tries > self._plan.settings.max_tries:
            return self._maker.worn_out(case)
        if case.event is None:
            return self._maker.gone(case)
        if case.digest is None:
            return await self._ask(case)
        started = time.perf_counter()
        while True:
            known = self._book.find(case.digest, to_microseconds(case.claimed_at))
            if known is not None:
                return self._maker.copied(case, known, (time.perf_counter() - started) * 1e3)
            under_way = self._book.lead(case.digest)
            if under_way is None:
                break
            await under_way.wait()
        try:
            outcome = await self._ask(case)
            self._remember(outcome)
        finally:
            self._book.done(case.digest)
        return outcome

    def _remember(self, outcome: Outcome) -> None:
        known = known_of(outcome.finding) if outcome.finding else None
        if known is not None and outcome.finding and outcome.finding.reuse:
            self._book.remember(outcome.finding.reuse.digest, known)

    async def _ask(self, case: Case) -> Outcome:
        """Ask the enrichers, within the source's budget."""
        profile, source = case.profile, case.claim.source
        assert case.event is not None
        # What copies will share is made from masked text only: no copy sees another's values.
        event = case.print.event if case.print and case.digest else case.event
        started = time.perf_counter()
        if profile.instant is not None:
            asked = await self._guard(case, event, models_allowed=True)
            elapsed = (time.perf_counter() - started) * 1e3
            if asked.answer is not None:
                asked = Asked(asked.answer.with_latency(elapsed), None)
            return self._maker.asked(case, asked)
        allowed = self._budgets.allows(source, profile.budget)
        if not allowed and profile.budget.at_limit == "wait":
            return self._maker.put_off(case)
        self._budgets.begin(source)
        asked = Asked(None, None)
        try:
            asked = await self._guard(case, event, models_allowed=allowed)
        finally:
            self._budgets.end(source, spent_on(asked))
        return self._maker.asked(case, asked, over_budget=not allowed)

    async def _guard(self, case: Case, event: Any, *, models_allowed: bool) -> Asked:
        """The one place where an enricher's own fault is caught; it becomes an attempt."""
        profile = case.profile
        started = time.perf_counter()
        try:
            if profile.instant is not None:
                return Asked(profile.instant.answer(event, profile.taxonomy), None)
            return await profile.chain.ask(event, profile.taxonomy, models_allowed=models_allowed)
        except Exception as error:  # noqa: BLE001 - one event must not stop the others
            elapsed = (time.perf_counter() - started) * 1e3
            first = profile.chain.first
            return Asked(None, error, (tried_of(first, profile.taxonomy, error, elapsed),))

    # -- recording -------------------------------------------------------------------------------

    async def _record(self, outcomes: Sequence[Outcome]) -> None:
        """Write outcomes; wait for a store that is away, and isolate one that it refuses."""
        if not outcomes:
            return
        deadline = time.monotonic() + STORE_PATIENCE_SECONDS
        wait = 0.1
        while True:
            try:
                held = await self._store.write(record_outcomes, outcomes)
                break
            except StoreUnavailable:
                if time.monotonic() + wait > deadline:
                    raise
                await self._sleep(wait)
                wait = min(wait * 2, 5.0)
            except NotStorable as error:
                await self._record_apart(outcomes, error)
                return
        self._observe(outcomes, held)

    async def _record_apart(self, outcomes: Sequence[Outcome], error: Exception) -> None:
        """One of the outcomes cannot be written: find it, bury it, keep the others."""
        for outcome in outcomes:
            if outcome.finding and outcome.finding.reuse:
                self._book.forget(outcome.finding.reuse.digest)
        if len(outcomes) > 1:
            for outcome in outcomes:
                await self._record([outcome])
            return
        log.error(
            "enrich.unrecordable", event_id=str(outcomes[0].claim.event_id), error=repr(error)
        )
        buried = self._maker.unrecordable(outcomes[0], error)
        held = await self._store.write(record_outcomes, [buried])
        self._observe([buried], held)

    def _observe(self, outcomes: Sequence[Outcome], held: Sequence[bool]) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        lost = 0
        for outcome, ours in zip(outcomes, held, strict=True):
            if not ours:
                lost += 1
                if outcome.finding and outcome.finding.reuse:
                    self._book.forget(outcome.finding.reuse.digest)
                continue
            finding, claim = outcome.finding, outcome.claim
            for note in outcome.attempts:
                counts[claim.source, note.outcome] += 1
            if finding is not None:
                available_at = to_microseconds(claim.available_at)
                self._observer.enriched(claim.source, (finding.recorded_at - available_at) / 1e6)
        for (source, word), count in counts.items():
            self._observer.attempted(source, word, count)
        if lost:
            self._observer.lost_lease(lost)


def spent_on(asked: Asked) -> Spent:
    """What asking cost at models, failed calls included."""
    total = Spent()
    for tried in asked.tried:
        if tried.provider != STUB:
            total = total + tried.spent
    if asked.answer is not None and asked.answer.provider != STUB:
        total = total + asked.answer.spent
    return total


def apart(cases: Sequence[Case]) -> list[Sequence[Case]]:
    """Events handled together; each that may have taken a process down, alone and last."""
    calm = [case for case in cases if case.claim.tries < SUSPECT_TRIES]
    suspects = [[case] for case in cases if case.claim.tries >= SUSPECT_TRIES]
    return [calm, *suspects] if calm else list(suspects)


def at_once(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine that never suspends: no task, no turn of the loop."""
    try:
        work.send(None)
    except StopIteration as finished:
        result: Result = finished.value
        return result
    work.close()
    raise RuntimeError("an instant enricher waited for something")


Moves = tuple[Sequence[Claim], datetime]


def release_each(connection: Connection, _tx: int, moves: Sequence[Moves]) -> list[list[bool]]:
    """The handler that gives back unbegun work."""
    return [release(connection, claims, at) for claims, at in moves]


def extend_each(connection: Connection, _tx: int, moves: Sequence[Moves]) -> list[list[bool]]:
    """The handler that prolongs leases."""
    return [extend(connection, claims, until) for claims, until in moves]


__all__ = ["Known", "Observer", "Silent", "Worker", "utc_now"]
