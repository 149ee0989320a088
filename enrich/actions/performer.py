"""One action of one event: decided, prepared, called, and what came of it.

tenacity tries again for seconds; what takes longer goes back to the store.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast
from weakref import WeakValueDictionary

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from enrich.actions.adapters.contract import (
    Guarantee,
    Message,
    Messenger,
    NoteAdapter,
    TagAdapter,
    Ticket,
    TicketAdapter,
)
from enrich.actions.errors import ConflictError, DoubtError, NotOursError, TransientError
from enrich.actions.group_store import Joining, take_place
from enrich.actions.grouping import Place, Role
from enrich.actions.journal import Intent, OwnTagState, Start, intend, own_tags, start_once
from enrich.actions.loading import Loaded, StoreHistory, load
from enrich.actions.messages import (
    build_message,
    build_note,
    clean_values,
    group_of,
    idempotency_key,
    marker,
)
from enrich.actions.rule_book import (
    REVIEW_TEXT,
    REVIEW_TITLE,
    PlannedAction,
    RuleBook,
    WorkName,
    decision_of,
)
from enrich.actions.rules import Decision, Step, Verdict, evaluate
from enrich.actions.tags import OURS, WITHDRAWN, TagMeaning, plan
from enrich.actions.targets import Kind, Target, serves
from enrich.actions.template import Template
from service.store import Store
from service.store.queue import Claim

TRIES = 3
MAX_WAIT_SECONDS = 5.0
NEWS = timedelta(days=1)
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an action that did not fail."""

    word: str
    ticket: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    told: str | None = None
    review: bool = False
    why: str | None = None


class NotYet(Exception):  # noqa: N818 - no error: the work is given back untouched
    """Nothing was tried; the work may be claimed again at `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until.isoformat())
        self.until = until


@dataclass(slots=True)
class Case:
    """A work item with everything that its performance needs."""

    claim: Claim
    name: WorkName
    action: PlannedAction
    loaded: Loaded
    verdict: Verdict
    decision: Decision
    target: Target
    wanted: Mapping[str, TagMeaning]
    intent: Intent | None = None
    """Tags announced to the store; taken back when they were certainly not written."""
    telling: str | None = None
    """Key of the group whose count is being told."""


class Performer:
    """Performs actions. Everything it writes before a call goes through the store's writer."""

    def __init__(
        self,
        store: Store,
        book: RuleBook,
        targets: Mapping[str, Target],
        *,
        now: Callable[[], datetime],
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._book = book
        self._targets = targets
        self._now = now
        self._sleep = sleep
        self._chance = chance
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def open_case(self, claim: Claim) -> Case | str:
        """The claim's case, or why there is nothing to do. Reads the store; blocks."""
        name = WorkName.parse(claim.name)
        action = self._book.find(name) if name else None
        if name is None or action is None:
            return "the rule is no longer configured"
        target_name = action.rule.review if name.review else action.settings.target
        target = self._targets.get(target_name or "")
        if target is None:
            return "the target is no longer configured"
        with self._store.read() as connection:
            loaded = load(connection, claim.event_id, claim.name)
            if loaded is None:
                return "the event is gone"
            situation = loaded.situation
            history = StoreHistory(connection, situation, loaded.received_at)
            verdict = evaluate(action.rule, situation, history)
            wanted = (
                self._book.wanted_tags(target.name, situation, history)
                if action.kind is Kind.TAGS and verdict.matched and not name.review
                else {}
            )
        decision = decision_of(action, situation)
        return Case(claim, name, action, loaded, verdict, decision, target, wanted)

    async def perform(self, case: Case) -> Outcome:
        """Do it. Raises NotYet, or what the action failed with."""
        if not case.verdict.matched:
            failed = [r.said for r in case.verdict.reasons if not r.held]
            return Outcome("skipped", why="; ".join(failed))
        if case.name.review:
            return await self._tell(case, Template(REVIEW_TITLE), Template(REVIEW_TEXT))
        if case.decision.step is Step.SUGGEST:
            return self._suggested(case)
        if case.action.kind is Kind.MESSAGE:
            return await self._tell(case, case.action.title, case.action.text)
        ticket = self._ticket_of(case)
        if case.action.kind is Kind.NOTE:
            return await self._note(case, ticket)
        return await self._tag(case, ticket)

    def _suggested(self, case: Case) -> Outcome:
        detail: dict[str, Any] = {"would": case.action.kind.value}
        if case.action.kind is Kind.TAGS:
            detail["add"] = sorted(case.action.wanted_tags(case.loaded.situation))
        review = case.action.kind is not Kind.MESSAGE and case.action.rule.review is not None
        return Outcome("suggested", detail=detail, review=review, why=case.decision.why)

    def _ticket_of(self, case: Case) -> Ticket:
        adapter = cast(TicketAdapter, case.target.adapter)
        if case.loaded.preset not in adapter.presets:
            raise NotOursError(
                f"a {case.loaded.preset} event is about no {adapter.name} ticket;"
                " write-back goes to where the event came from"
            )
        if not serves(case.target.settings, case.loaded.situation.source):
            raise NotOursError(f"{case.target.name} is not where this source's tickets live")
        if case.loaded.payload is None:
            raise NotOursError("the delivery's body is gone, and with it the ticket's id")
        return adapter.ticket_of(case.loaded.payload)

    async def _tag(self, case: Case, ticket: Ticket) -> Outcome:
        adapter, target = cast(TagAdapter, case.target.adapter), case.target
        wanted = {tag[: adapter.max_tag_chars]: meaning for tag, meaning in case.wanted.items()}
        done: dict[str, list[str]] = {}

        async def once() -> None:
            await self._go(target, calls=2)
            seen = await adapter.read(ticket)
            known = await asyncio.to_thread(self._own_tags, target.name, str(ticket))
            if any(state.event_id > case.claim.event_id for state in known.values()):
                done["newer"] = [str(max(state.event_id for state in known.values()))]
                return
            change = plan(seen.tags, wanted, _states(known, case.claim.event_id))
            if not change:
                return
            case.intent = Intent(
                target.name,
                str(ticket),
                change,
                wanted,
                known,
                case.claim.event_id,
                case.loaded.digest,
                self._now(),
            )
            if not await self._store.write(intend, case.intent):
                raise ConflictError(f"another action wrote to {ticket} meanwhile")
            await adapter.change(ticket, seen, change)
            done["add"], done["remove"] = sorted(change.add), sorted(change.remove)

        # Two actions on one ticket would plan from the same state and undo each other.
        async with self._locks.setdefault(f"{target.name} {ticket}", asyncio.Lock()):
            await self._retrying(once)
        case.intent = None
        return Outcome("done" if "add" in done else "unchanged", str(ticket), done)

    async def _note(self, case: Case, ticket: Ticket) -> Outcome:
        adapter = cast(NoteAdapter, case.target.adapter)
        values = clean_values(case.loaded.situation, case.action.rule.name)
        name = case.action.name
        text = build_note(case.action.text, values, case.claim.event_id, name)
        written: list[bool] = []

        async def once() -> None:
            await self._go(case.target, calls=2)
            mark = marker(case.claim.event_id, name)
            if any(mark in note for note in await adapter.notes(ticket)):
                return
            await adapter.add_note(ticket, text)
            written.append(True)

        await self._retrying(once)
        return Outcome("done" if written else "unchanged", str(ticket), {"note": mark_of(case)})

    async def _tell(self, case: Case, title: Template, text: Template) -> Outcome:
        messenger = cast(Messenger, case.target.adapter)
        stale = self._no_news(case, messenger)
        if stale is not None:
            return Outcome("skipped", why=stale)
        place, group = await self._place(case, messenger)
        if place.role is Role.HOLD and place.until is not None:
            raise NotYet(place.until)
        if place.role is Role.JOIN:
            return Outcome("grouped", detail={"group": group})
        told = case.telling = group if place.role is Role.TELL else None
        situation = case.loaded.situation
        message = build_message(
            title,
            text,
            clean_values(situation, case.action.rule.name),
            key=idempotency_key(case.claim.event_id, case.claim.name),
            group=group,
            at=self._now(),
            count=place.count,
            more=place.role is Role.TELL,
        )
        await self._send(case, messenger, message)
        return Outcome("done", detail={"key": message.key, "count": place.count}, told=told)

    def _no_news(self, case: Case, messenger: Messenger) -> str | None:
        """Why a later revision is nothing to tell people: enriching a year again wakes nobody."""
        if case.loaded.revision == 1:
            return None
        if case.loaded.is_told:
            return "people were told of this event already"
        if case.loaded.is_in_doubt and messenger.guarantee is Guarantee.AT_MOST_ONCE:
            return "people may have been told already; `hooksift dead replay` tells them once more"
        age = self._now() - case.loaded.received_at
        return "the event is a day old or older" if age > NEWS else None

    async def _place(self, case: Case, messenger: Messenger) -> tuple[Place, str]:
        within = case.action.settings.group_within
        seconds = messenger.group_seconds if within is None else within
        base = f"{case.action.name}/review" if case.name.review else case.action.name
        group = group_of(case.loaded.situation, base, case.action.settings.group_by)
        if seconds <= 0:
            return Place(Role.LEAD), group
        window = timedelta(seconds=seconds)
        joining = Joining(group, case.claim.event_id, self._now(), window)
        place: Place = await self._store.write(take_place, joining)
        return place, group

    async def _send(self, case: Case, messenger: Messenger, message: Message) -> None:
        await self._go(case.target)
        once_only = messenger.guarantee is Guarantee.AT_MOST_ONCE
        if once_only:
            await self._start(case.claim)

        async def once() -> None:
            await messenger.send(message)

        await self._retrying(once, even_in_doubt=not once_only)

    async def _start(self, claim: Claim) -> None:
        start: Start = await self._store.write(start_once, (claim, self._now()))
        if start is Start.LEASE_LOST:  # what becomes of the work is for its holder to say
            raise NotYet(self._now())
        if start is Start.NOTED_BEFORE:
            raise DoubtError(
                "a try was cut off; it may have been delivered and is not repeated",
                kind="in_doubt",
            )

    async def _go(self, target: Target, calls: int = 1) -> None:
        wait = target.pace.reserve(calls, within_seconds=MAX_WAIT_SECONDS)
        if wait > MAX_WAIT_SECONDS:
            raise NotYet(self._now() + timedelta(seconds=wait))
        if wait > 0:
            await self._sleep(wait)

    def _own_tags(self, target: str, ticket: str) -> dict[str, OwnTagState]:
        with self._store.read() as connection:
            return own_tags(connection, target, ticket)

    async def _retrying(
        self, call: Callable[[], Awaitable[None]], *, even_in_doubt: bool = True
    ) -> None:
        def worth_it(error: BaseException) -> bool:
            if not isinstance(error, TransientError):
                return False
            if isinstance(error, DoubtError) and not even_in_doubt:
                return False
            if error.kind == "rate_limited" and error.retry_after_seconds is None:
                return False
            return (error.retry_after_seconds or 0.0) <= MAX_WAIT_SECONDS

        retrying = AsyncRetrying(
            stop=stop_after_attempt(TRIES),
            wait=self._wait,
            retry=retry_if_exception(worth_it),
            sleep=self._sleep,
            reraise=True,
        )
        await retrying(call)

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, TransientError) and error.retry_after_seconds is not None:
            return error.retry_after_seconds
        if isinstance(error, ConflictError):
            return 0.2 * self._chance()
        return min(0.5 * 2.0 ** (state.attempt_number - 1) + 0.5 * self._chance(), MAX_WAIT_SECONDS)


def _states(known: Mapping[str, OwnTagState], event_id: int) -> dict[str, str]:
    """What plans go by. A tag that this very event was taking away and that is there is still to
    be taken away: an earlier try failed."""
    return {
        tag: OURS if s.state == WITHDRAWN and s.event_id == event_id else s.state
        for tag, s in known.items()
    }


def mark_of(case: Case) -> str:
    """The marker of a case's note."""
    return marker(case.claim.event_id, case.action.name)
