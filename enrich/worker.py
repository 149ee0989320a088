"""The worker: claim, load, enrich, record, until told to stop.

Two lanes share one process. The instant lane serves sources whose enricher waits for nothing: it
claims many at once, and answers and writes some at a time; while more wait, a second one helps. The
model lane keeps a bounded number of events waiting for models, one task each, and records each as
it ends. A slow model therefore never holds up the sources that do not use it.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection

from enrich.casework import Casework
from enrich.examples import ExampleIndex
from enrich.labels import labels_mark, load_labelled
from enrich.lane import Lane
from enrich.outcomes import ActionsFor, Case, OutcomeMaker, no_actions
from enrich.plan import Plan
from enrich.record import Outcome
from enrich.recorder import Observer, Recorder, Silent
from enrich.retry import Sleep
from enrich.screening import Screen
from service.errors import StoreUnavailable
from service.outage import Outage
from service.store import Store
from service.store.queue import (
    ENRICH,
    Claim,
    extend,
    release,
)

log = structlog.get_logger(__name__)
Result = TypeVar("Result")
PACE_SECONDS = 0.05  # of a lane; at 50 events a second a step for each took 1.6 times the CPU
CASES_AT_ONCE = 4  # of an instant step, half a millisecond; then deliveries have their turn
RECORDED_AT_ONCE = 25  # deliveries that come meanwhile wait for the transaction
REST_SECONDS = 0.001  # at least, until the next few: acknowledgements are the first to suffer
SUSPECT_TRIES = 3  # from this claim on an event is handled alone: it may take the process down
UPKEEP_SECONDS = 30.0  # how often new labels are read and learned fingerprints saved


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
        pace_seconds: float = PACE_SECONDS,
    ) -> None:
        self._store = store
        self._plan = plan
        self._observer: Observer = observer or Silent()
        self._examples = examples
        self._labels_indexed: tuple[int | None, int] = (None, 0)
        self._now = now
        self._sleep = sleep
        maker = OutcomeMaker(plan, store.new_ids, now, chance, actions_for)
        self._casework = Casework(store, plan, maker, now, sleep, screen)
        self._recorder = Recorder(store, maker, self._casework.book, self._observer, now, sleep)
        self._flights: dict[tuple[int, str, str, int], tuple[Case, asyncio.Task[None]]] = {}
        outage = Outage(log)
        self._instant_lane = Lane(store, plan.settings, now, sleep, outage, pace_seconds)
        self._helping_lane = Lane(store, plan.settings, now, sleep, outage)
        self._model_lane = Lane(store, plan.settings, now, sleep, outage, pace_seconds)
        self._lanes = [self._instant_lane, self._helping_lane]
        if self._model_sources():
            self._lanes.append(self._model_lane)

    @property
    def is_idle(self) -> bool:
        """Whether no lane found anything to do: all wait."""
        return all(lane.is_idle for lane in self._lanes)

    # -- running ---------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then finish what is begun within `drain_seconds`.

        What is not finished by then is given back unbegun: claimable at once, its try not counted.
        """
        await self.refresh_examples()
        lanes = [
            asyncio.create_task(self._instant_lane.run(self._instant_step)),
            asyncio.create_task(self._helping_lane.run(self._helping_step)),
        ]
        beats = [asyncio.create_task(self._upkeep())]
        if self._model_sources():
            lanes.append(asyncio.create_task(self._model_lane.run(self._model_step)))
            beats.append(asyncio.create_task(self._heartbeats()))
        self._store.subscribe(ENRICH, self._wake)
        running = [asyncio.create_task(stop.wait()), *lanes, *beats]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            with suppress(StoreUnavailable):  # leases run out, what was learned is learned again
                await self._drain(lanes)
                await self._casework.save_fingerprints()
        finally:  # also where it is cancelled, as another stage failed
            results = await end_all(running)
            await end_all([task for _, task in self._flights.values()])
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def step(self) -> int:
        """Claim once in each lane and finish all of it. How many events were claimed."""
        count = await self._instant_step(self._instant_lane)
        if self._model_sources():
            count += await self._model_step(self._model_lane)
            while self._flights:
                await asyncio.wait([task for _, task in self._flights.values()])
        return count

    def _wake(self) -> None:
        """There may be work. The helping lane is called where there is much."""
        self._instant_lane.wake()
        self._model_lane.wake()

    async def _drain(self, lanes: "Sequence[asyncio.Task[None]]") -> None:
        """Lanes end first: one that still claims would take again what is given back."""
        deadline = time.monotonic() + self._plan.settings.drain_seconds
        for lane in self._lanes:
            lane.stop()
        await cut_short(lanes, deadline)
        flights = list(self._flights.values())
        await cut_short([task for _, task in flights], deadline)
        left = [case.claim for case, task in flights if task.cancelled()]
        left.extend(claim for lane in self._lanes for claim in lane.unfinished)
        if left:
            given_back = await self._store.write(release_each, (left, self._now()))
            log.info("enrich.given_back", count=sum(given_back))

    # -- the lanes -------------------------------------------------------------------------------

    async def _instant_step(self, lane: Lane) -> int:
        limit = self._plan.settings.batch_size
        async with lane.claimed(limit, self._instant_limits()) as claims:
            if lane.is_full:
                self._helping_lane.wake()
            calm, suspects = apart(claims)
            if suspects[1:]:  # they shall not die with the first: it is one of them in a step
                await self._store.write(release_each, (suspects[1:], self._now()))
            for group in (calm, suspects[:1]):
                cases = await self._casework.load(group)
                for start in range(0, len(cases), RECORDED_AT_ONCE):
                    part = cases[start : start + RECORDED_AT_ONCE]
                    await self._recorder.record(await self._answered(part))
        return len(claims)

    async def _helping_step(self, lane: Lane) -> int:
        """One commits while the other computes; where little waits, two would do it in halves."""
        return await self._instant_step(lane) if self._instant_lane.is_full else 0

    async def _answered(self, cases: Sequence[Case]) -> list[Outcome]:
        """Their outcomes, a few at a time: with `hooksift serve` deliveries wait for this loop."""
        outcomes = []
        for number, case in enumerate(cases):
            if number and number % CASES_AT_ONCE == 0:
                await self._rest()
            outcomes.append(at_once(self._casework.enrich(case)))
        return outcomes

    async def _rest(self) -> None:
        """Let others go first; with much to do and nobody else about, only a turn of the loop."""
        began = time.monotonic()
        await asyncio.sleep(0)
        is_alone = time.monotonic() - began < REST_SECONDS
        if not (is_alone and self._instant_lane.is_full):
            await asyncio.sleep(REST_SECONDS)

    async def _model_step(self, lane: Lane) -> int:
        full = self._plan.settings.max_in_flight
        room = 0 if lane.is_stopping else full - len(self._flights)  # no new calls at the end
        async with lane.claimed(room, self._model_limits()) as claims:
            calm, suspects = apart(claims)
            groups = [calm, *([claim] for claim in suspects)]
            cases = [case for group in groups for case in await self._casework.load(group)]
            for case in cases:
                key = case.claim.key
                task = asyncio.create_task(self._fly(case))
                self._flights[key] = (case, task)
                task.add_done_callback(partial(self._landed, key))
        return len(claims)

    async def _fly(self, case: Case) -> None:
        await self._recorder.record([await self._casework.enrich(case)])

    def _landed(self, key: tuple[int, str, str, int], task: "asyncio.Task[None]") -> None:
        """A flight ended. Its work is claimable again when the lease runs out, if it crashed."""
        self._flights.pop(key, None)
        self._model_lane.wake()  # there is room again
        if not task.cancelled() and task.exception() is not None:
            error = type(task.exception()).__name__
            log.error("enrich.not_recorded", event_id=str(key[0]), error=error)

    def _model_sources(self) -> list[str]:
        return [name for name, p in self._plan.profiles.items() if p.instant is None]

    def _instant_limits(self) -> dict[str, int]:
        """Nothing of the sources that wait for models."""
        return dict.fromkeys(self._model_sources(), 0)

    def _model_limits(self) -> dict[str, int]:
        """No instant sources; of the others only as many as each may have in flight."""
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
        """Now and then: share what was learned of fingerprints, sweep, read new labels."""
        while True:
            await self._sleep(UPKEEP_SECONDS)
            try:
                await self._casework.save_fingerprints()
                await self._casework.sweep_flights()
                await self.refresh_examples()
            except StoreUnavailable as error:
                log.info("enrich.upkeep_skipped", error=str(error))

    async def refresh_examples(self) -> None:
        """Index the labels again if there are new ones, or some have gone."""
        if self._examples is None:
            return
        mark = await asyncio.to_thread(self._read, labels_mark)
        if mark != self._labels_indexed:
            group_of = self._plan.group_of
            labelled = await asyncio.to_thread(self._read, lambda c: load_labelled(c, group_of))
            self._examples.replace(labelled)
            self._labels_indexed = mark

    def _read(self, query: Callable[[Connection], Result]) -> Result:
        with self._store.read() as connection:
            return query(connection)


def apart(claims: Sequence[Claim]) -> tuple[list[Claim], list[Claim]]:
    """Claims to handle together, and those that may have taken a process down, the worst last."""
    calm = [claim for claim in claims if claim.tries < SUSPECT_TRIES]
    suspects = [claim for claim in claims if claim.tries >= SUSPECT_TRIES]
    return calm, sorted(suspects, key=lambda claim: claim.tries)


async def cut_short(tasks: "Sequence[asyncio.Task[None]]", deadline: float) -> None:
    """Wait for tasks until `deadline`, on the monotonic clock, and cancel those that go on."""
    if not tasks:
        return
    await asyncio.wait(tasks, timeout=max(0.0, deadline - time.monotonic()))
    await end_all(tasks)


async def end_all(tasks: "Sequence[asyncio.Task[Any]]") -> list[Any]:
    """Cancel tasks and wait for their ends."""
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


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
