"""What becomes of one claim: its event, its fingerprint, what may be copied, whom to ask.

Events of instant enrichers never suspend here, so that the worker can handle hundreds at once.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection

from enrich.budget import REFRESH_SECONDS, Budgets, day_of, next_day
from enrich.chain import Asked, Chain, tried_of
from enrich.errors import Spent
from enrich.fingerprint import reuse_digest
from enrich.flights import Departed, Departure, depart, sweep
from enrich.injection import looks_injected
from enrich.learned import FingerprintMemory
from enrich.loading import Known, load_events, load_known, load_spending
from enrich.outcomes import Case, OutcomeMaker, known_of
from enrich.plan import Plan
from enrich.prints import EventPrinter
from enrich.record import STUB, Outcome
from enrich.retry import Sleep
from enrich.reuse_book import ReuseBook
from enrich.screening import Screen, settle_screened
from service.errors import StoreUnavailable
from service.store import Store
from service.store.queue import Claim
from service.store.tables import to_microseconds

log = structlog.get_logger(__name__)
Result = TypeVar("Result")
FIRST_LOOK_SECONDS = 0.1  # after so long a flight of another worker is looked at again
MAX_LOOK_SECONDS = 1.0


class Casework:
    """Turns claims into outcomes. Writes nothing but what screening recognises."""

    def __init__(
        self,
        store: Store,
        plan: Plan,
        maker: OutcomeMaker,
        now: Callable[[], datetime],
        sleep: Sleep,
        screen: Screen | None = None,
    ) -> None:
        self._store = store
        self._plan = plan
        self._maker = maker
        self._now = now
        self._sleep = sleep
        self._screen = screen
        self._memory = FingerprintMemory(store)
        self._printers: dict[str, EventPrinter] = {}
        self._saving = asyncio.Lock()
        self._budgets = Budgets()
        self._budgets_read_at = float("-inf")
        self.book = ReuseBook()

    async def load(self, claims: Sequence[Claim]) -> list[Case]:
        """The claims with their events, fingerprints and what is known of those.

        What was claimed too often is not looked at: that may be what takes the process down.
        """
        worn_out = [claim for claim in claims if self._is_worn_out(claim)]
        fresh = [claim for claim in claims if not self._is_worn_out(claim)]
        return [self._case(claim) for claim in worn_out] + await self._load_safely(fresh)

    def _is_worn_out(self, claim: Claim) -> bool:
        return claim.tries > self._plan.settings.max_tries

    def _case(self, claim: Claim, error: Exception | None = None) -> Case:
        return Case(claim, self._now(), self._plan.profile(claim.source), error=error)

    async def _load_safely(self, claims: Sequence[Claim]) -> list[Case]:
        """The cases together; where that fails each alone, so that only the one at fault fails."""
        try:
            return await self._load(claims)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one event must not stop the others
            if len(claims) > 1:
                return [case for claim in claims for case in await self._load_safely([claim])]
            name = type(error).__name__  # no traceback: its frames hold bodies
            log.error("enrich.not_loaded", event_id=str(claims[0].event_id), error=name)  # noqa: TRY400
            return [self._case(claims[0], error)]

    async def _load(self, claims: Sequence[Claim]) -> list[Case]:
        claims = await self._screened(claims)
        if not claims:
            return []
        cases = [self._case(claim) for claim in claims]
        # Before the events are read: what an erasure removes meanwhile is learned by printers that
        # are let go of.
        printers = self._printers_for({claim.source for claim in claims})
        ids = [claim.event_id for claim in claims]
        events = await asyncio.to_thread(self._read, lambda c: load_events(c, ids))
        for case in cases:
            case.event = events.get(case.claim.event_id)
            self._print(case, printers)
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
        with self._store.read_once() as connection:
            return query(connection)

    def _printers_for(self, sources: Collection[str]) -> dict[str, EventPrinter]:
        """The printers of those that reuse answers."""
        reusing = [source for source in sources if self._plan.profile(source).reuses]
        for source in reusing:
            if source not in self._printers:
                self._printers[source] = EventPrinter(self._memory.fingerprinter_for(source))
        return {source: self._printers[source] for source in reusing}

    def _print(self, case: Case, printers: Mapping[str, EventPrinter]) -> None:
        event, profile = case.event, case.profile
        printer = printers.get(case.claim.source)
        if event is None or printer is None:
            return
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
        wanted = self.book.unknown(case.digest for case in cases if case.digest)
        if wanted:
            now = to_microseconds(self._now())
            found = await asyncio.to_thread(self._read, lambda c: load_known(c, wanted, now))
            for digest, known in found.items():
                self.book.remember(digest, known)

    async def _refresh_budgets(self) -> None:
        """Read what was spent today, where anybody has a budget."""
        if not any(p.budget.is_limited for p in self._plan.profiles.values()):
            return
        day = day_of(self._now())
        fresh = time.monotonic() - self._budgets_read_at < REFRESH_SECONDS
        if fresh and day == self._budgets.day:
            return
        spent = await asyncio.to_thread(self._read, lambda c: load_spending(c, day))
        self._budgets.refresh(day, spent)
        self._budgets_read_at = time.monotonic()

    async def enrich(self, case: Case) -> Outcome:
        """What becomes of one claim. Never suspends where the enricher is instant."""
        if self._is_worn_out(case.claim):
            return self._maker.worn_out(case)
        if case.error is not None:
            return self._maker.asked(case, crashed(case, case.error, 0.0, case.profile.chain))
        if case.event is None:
            return self._maker.gone(case)
        if case.digest is None:
            return await self._ask(case)
        started = time.perf_counter()
        while True:
            known = self.book.find(case.digest, to_microseconds(case.claimed_at))
            if known is not None:
                return self._maker.copied(case, known, (time.perf_counter() - started) * 1e3)
            under_way = self.book.lead(case.digest)
            if under_way is None:
                break
            await under_way.wait()
        try:
            known = await self._known_elsewhere(case)
            if known is not None:
                self.book.remember(case.digest, known)
                return self._maker.copied(case, known, (time.perf_counter() - started) * 1e3)
            outcome = await self._ask(case)
            self._remember(outcome)
        finally:
            self.book.done(case.digest)
        return outcome

    async def _known_elsewhere(self, case: Case) -> Known | None:
        """What another worker that is asking about this fingerprint finds out; None: it is on us.

        A store that is away holds nobody up: the worst that happens is one call too many.
        """
        if case.profile.instant is not None or case.digest is None:
            return None
        wait = FIRST_LOOK_SECONDS
        while True:
            departure = Departure(case.digest, case.claim, to_microseconds(self._now()))
            try:
                departed: Departed = await self._store.write(depart, departure)
            except StoreUnavailable:
                return None
            if departed.is_ours or departed.known is not None:
                return departed.known
            await self._sleep(wait)
            wait = min(wait * 2, MAX_LOOK_SECONDS)

    def _remember(self, outcome: Outcome) -> None:
        known = known_of(outcome.finding) if outcome.finding else None
        if known is not None and outcome.finding and outcome.finding.reuse:
            self.book.remember(outcome.finding.reuse.digest, known)

    async def _ask(self, case: Case) -> Outcome:
        """Ask the enrichers, within the source's budget."""
        profile, source = case.profile, case.claim.source
        assert case.event is not None
        # What copies will share is made from masked text only: no copy sees another's values.
        event = case.print.event if case.print and case.digest else case.event
        if profile.instant is not None:
            return self._maker.asked(case, await self._guard(case, event, profile.chain))
        allowed = self._budgets.allows(source, profile.budget)
        if not allowed and self._budgets.is_first_refusal(source):
            until = next_day(self._now()).isoformat(timespec="minutes")
            at_limit = profile.budget.at_limit
            log.warning("enrich.budget_used_up", source=source, until=until, at_limit=at_limit)
        if not allowed and profile.budget.at_limit == "wait":
            return self._maker.put_off(case)
        if not allowed:
            by_rules = await self._guard(case, event, self._plan.default.chain)
            return self._maker.over_budget(case, by_rules)
        self._budgets.begin(source)
        asked = Asked(None, None)
        try:
            asked = await self._guard(case, event, profile.chain)
        finally:
            self._budgets.end(source, spent_on(asked))
        return self._maker.asked(case, asked)

    async def _guard(self, case: Case, event: Any, chain: Chain) -> Asked:
        """How asking a chain ended. A fault of ours becomes an attempt."""
        taxonomy = case.profile.taxonomy
        started = time.perf_counter()
        try:
            if chain.instant is None:
                return await chain.ask(event, taxonomy)
            answer = chain.instant.answer(event, taxonomy)
            return Asked(answer.with_latency((time.perf_counter() - started) * 1e3), None)
        except Exception as error:  # noqa: BLE001 - one event must not stop the others
            return crashed(case, error, (time.perf_counter() - started) * 1e3, chain)

    async def save_fingerprints(self) -> None:
        """Share what was learned; start over where a person made the store forget something."""
        async with self._saving:  # one adopts and saves at a time: what is stored would be old
            stored = await asyncio.to_thread(self._memory.stored, self._memory.sources())
            edited = self._memory.adopt(stored)
            for source in edited:
                self._printers.pop(source, None)
            if edited:
                self.book.clear()
            await asyncio.to_thread(self._memory.save, self._memory.states(), self._now())

    async def sweep_flights(self) -> None:
        """Remove the traces of flights that have ended."""
        if any(p.reuses and p.instant is None for p in self._plan.profiles.values()):
            await self._store.write(sweep, to_microseconds(self._now()))


def crashed(case: Case, error: Exception, latency_ms: float, chain: Chain) -> Asked:
    """A fault of ours as the failure of the event that it came with."""
    return Asked(None, error, (tried_of(chain.first, case.profile.taxonomy, error, latency_ms),))


def spent_on(asked: Asked) -> Spent:
    """What asking cost at models, failed calls included."""
    total = Spent()
    for tried in asked.tried:
        if tried.provider != STUB:
            total = total + tried.spent
    if asked.answer is not None and asked.answer.provider != STUB:
        total = total + asked.answer.spent
    return total
