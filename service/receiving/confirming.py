"""Subscriptions that are confirmed by fetching an address: durable work, done by the worker.

AWS SNS sends the address in a message that was verified; it is fetched on a host of SNS only, over
https and without redirects, however the work item came to be.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import structlog
from sqlalchemy import Connection

from service.errors import StoreUnavailable
from service.store import Store
from service.store.queue import (
    Claim,
    ClaimRequest,
    NewWork,
    bury,
    claim_each,
    complete,
    enqueue,
    next_available_at,
    retry_later,
)
from service.store.tables import to_microseconds
from service.verification.fetching import fetch_https
from service.verification.sns import HOSTS

CONFIRM = "confirm"
LEASE_SECONDS = 30
POLL_SECONDS = 5.0
FIRST_RETRY_SECONDS = 10  # then doubled each time: 10, 20, ... 2560 s, an hour and a half in all
TRIES = 10
log = structlog.get_logger("hooksift.confirming")

Result = tuple[Claim, str | None]  # None: confirmed; else what went wrong


def confirmation(store: Store, source: str, url: str, at: datetime) -> NewWork:
    """The work item that fetches this address; the address is its name."""
    return NewWork(store.new_ids(), CONFIRM, url, source, 0, to_microseconds(at))


def enqueue_each(connection: Connection, _tx: int, works: Sequence[NewWork]) -> list[None]:
    """The handler for `store.write`."""
    enqueue(connection, works)
    return [None] * len(works)


def is_sns(url: str) -> bool:
    """Whether an address is one of SNS, over https, on its own port."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme == "https"
            and parts.netloc == parts.hostname
            and re.fullmatch(HOSTS, parts.netloc) is not None
        )
    except ValueError:
        return False


class ConfirmWorker:
    """Fetches what is to be confirmed. Any number may run; confirming twice does no harm."""

    def __init__(
        self,
        store: Store,
        fetch: Callable[[str], Awaitable[bytes]] = fetch_https,
        allowed: Callable[[str], bool] = is_sns,
        first_retry_seconds: float = FIRST_RETRY_SECONDS,
    ) -> None:
        self._store = store
        self._fetch = fetch
        self._allowed = allowed
        self._first_retry_seconds = first_retry_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`."""
        woken = asyncio.Event()
        self._store.subscribe(CONFIRM, woken.set)
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                woken.clear()
                try:
                    await self.work_once()
                except StoreUnavailable as error:
                    log.warning("not_confirmed", reason=str(error))
                waiting = asyncio.create_task(woken.wait())
                await asyncio.wait(
                    {stopping, waiting},
                    timeout=POLL_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                waiting.cancel()
        finally:
            stopping.cancel()

    async def work_once(self) -> int:
        """Do what is due now; how many items that were."""
        now = datetime.now(UTC)
        due = await asyncio.to_thread(self._due)
        if due is None or due > now:
            return 0
        request = ClaimRequest(CONFIRM, 10, now, LEASE_SECONDS, self._store.new_ids())
        claims: list[Claim] = await self._store.write(claim_each, request)
        results = await asyncio.gather(*(self._confirm(each) for each in claims))
        if results:
            await self._store.write(self._record, results)
        return len(results)

    def _due(self) -> datetime | None:
        with self._store.read_once() as connection:
            return next_available_at(connection, CONFIRM)

    async def _confirm(self, claim: Claim) -> Result:
        if not self._allowed(claim.name):
            return claim, "the address is not one of SNS"
        try:
            await self._fetch(claim.name)
        except OSError as error:
            return claim, str(error) or type(error).__name__
        return claim, None

    def _record(
        self, connection: Connection, _tx: int, payloads: Sequence[Sequence[Result]]
    ) -> list[None]:
        now = datetime.now(UTC)
        for claim, wrong in (result for results in payloads for result in results):
            if wrong is None:
                complete(connection, [claim])
            elif claim.tries >= TRIES or not self._allowed(claim.name):
                bury(connection, [(claim, now, wrong)])
            else:
                wait = timedelta(seconds=self._first_retry_seconds * 2 ** (claim.tries - 1))
                retry_later(connection, [(claim, now + wait)])
            log.info("confirmed" if wrong is None else "not_confirmed", source=claim.source)
        return [None] * len(payloads)
