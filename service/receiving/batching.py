"""Verify, read, store, acknowledge: requests of one turn of the event loop take steps together.

The code of all the steps is several times what a processor's first cache holds. With each request
going through all of it alone, most of the time went into fetching instructions: 1.3 times the CPU.
What is made for each of them is a msgspec.Struct wherever it can be: in a third of a NamedTuple's
time.

While turn after turn brings more of them, they gather before they go to the store, in one larger
transaction; the first turn that brings none sends them on their way.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from service.metrics import SourceMetrics
from service.receiving.answers import Answer, Turned
from service.receiving.endpoint import Endpoint
from service.receiving.request import Payload, Request
from service.store import Store
from service.store.intake import Arrival, Receipt, store_arrivals
from service.store.writer import Outcome
from service.verification.verify import Verified

ENOUGH = 32  # that go to the store at once; with 16 nothing was gained, with 48 PostgreSQL idled

Acknowledge = Callable[[Endpoint, Request, Receipt], Answer]


@dataclass(slots=True, eq=False, repr=False)
class Entry:
    """A whole request on its way, and what the steps so far found.

    The store tells it what became of its delivery, as it would tell a future.
    """

    endpoint: Endpoint
    request: Request
    address: str
    acknowledge: Acknowledge
    outcome: Outcome
    verified: Verified = field(init=False)
    payload: Payload = field(init=False)
    arrival: Arrival = field(init=False)

    def done(self) -> bool:
        """Whether nobody waits any more."""
        return not hasattr(self, "outcome") or self.outcome.done()

    def set_result(self, receipt: Receipt) -> None:
        """It is on disk: make the answer."""
        try:
            answer = self.acknowledge(self.endpoint, self.request, receipt)
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            self.set_exception(error)
        else:
            self.outcome.set_result(answer)

    def set_exception(self, error: BaseException) -> None:
        """Tell whoever waits, if anybody does, that it ended here.

        The entry lets go of the outcome: the error's traceback holds the entry with its body, and
        all of them would be a cycle, which waits for a garbage collection.
        """
        if not self.done():
            outcome = self.outcome
            del self.outcome
            outcome.set_exception(error)


class Batching:
    """Takes whole requests; whoever gave one is told what becomes of it."""

    def __init__(
        self,
        store: Store,
        metrics: Mapping[str, SourceMetrics],
        now: Callable[[], float],
        acknowledge: Acknowledge,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._now = now
        self._acknowledge = acknowledge
        self._entries: list[Entry] = []  # of this turn
        self._gathered: list[Entry] = []  # through all steps; while there are any, a turn is due
        self._steps = (self._verify, self._parse, self._greet, self._arrive)

    def take(self, endpoint: Endpoint, request: Request, address: str, outcome: Outcome) -> None:
        """Tell `outcome` the acknowledgement once the delivery is on disk, or the reply to a signed
        handshake; or else IntakeError, Turned, NotStorable or StoreUnavailable.
        """
        if not self._entries and not self._gathered:
            asyncio.get_running_loop().call_soon(self._run)
        self._entries.append(Entry(endpoint, request, address, self._acknowledge, outcome))

    def _run(self) -> None:
        entries, self._entries = self._entries, []
        gathered, self._gathered = self._gathered, []
        arrived: list[Entry] = []
        try:
            arrived = self._take_steps(entries)
        except BaseException:  # nobody may wait for ever, not even for what panics
            fail(entries)
            raise
        finally:
            gathered += arrived
            if arrived and len(gathered) < ENOUGH:
                asyncio.get_running_loop().call_soon(self._run)
                self._gathered = gathered
            else:
                self._write(gathered)

    def _take_steps(self, entries: list[Entry]) -> list[Entry]:
        entries = [entry for entry in entries if not entry.done()]
        for step in self._steps:
            entries = [entry for entry in entries if goes_on(entry, step)]
        return entries

    def _write(self, entries: list[Entry]) -> None:
        try:
            writes = [(e.arrival, e.arrival.size_bytes, e) for e in entries]
            if writes:
                self._store.take_in(store_arrivals, writes)
        except BaseException:
            fail(entries)
            raise

    def _verify(self, entry: Entry) -> bool:
        endpoint = entry.endpoint
        entry.verified = endpoint.reader.verify(entry.request, self._now())
        self._metrics[endpoint.source].secret_matched(entry.verified.secret_index)
        return True

    def _parse(self, entry: Entry) -> bool:
        entry.payload = entry.endpoint.parse(entry.request)
        return True

    def _greet(self, entry: Entry) -> bool:
        """Reply to what is a handshake, and no delivery: it ends here."""
        reply = entry.endpoint.reader.handshakes.signed(
            entry.request, entry.payload, entry.verified.secret_index
        )
        if reply is None:
            return True
        entry.outcome.set_result(reply)
        return False

    def _arrive(self, entry: Entry) -> bool:
        """Make of it what is stored, if its source takes it now; nobody reads the parsed body then.

        While it waits for the store its bytes are counted, and a parsed body takes up to thirty
        times their room.
        """
        endpoint, request = entry.endpoint, entry.request
        limit = endpoint.rate_limit
        if limit is not None and not limit.take("", time.monotonic()):
            wait = limit.wait_seconds("", time.monotonic())
            status = endpoint.preset.ack.overload_status
            raise Turned(status, "source_rate", "more deliveries than this source takes", wait)
        if endpoint.schemas is not None:
            endpoint.schemas.check(request, entry.payload)
        received_at = int(self._now() * 1_000_000)
        entry.arrival = endpoint.arrival(
            request, entry.payload, entry.verified, self._store.new_ids, received_at, entry.address
        )
        del entry.payload
        request.payload = None
        return True


def fail(entries: Iterable[Entry]) -> None:
    """Tell whoever waits for these that it was our fault."""
    for entry in entries:
        entry.set_exception(RuntimeError("the turn that this request came in has failed"))


def goes_on(entry: Entry, step: Callable[[Entry], bool]) -> bool:
    """Take a step; False where the request ended with it."""
    try:
        return step(entry)
    except Exception as error:  # noqa: BLE001 - whoever waits is told
        entry.set_exception(error)
        return False
