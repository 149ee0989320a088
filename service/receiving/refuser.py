"""Turning a request away: what it is told, where that is counted, and where its bytes are kept."""

import time
from collections.abc import Callable
from contextlib import suppress
from traceback import extract_tb

import structlog

from service.errors import NotStorable, StoreUnavailable
from service.metrics import Metrics
from service.receiving.addresses import counted_by
from service.receiving.answers import Answer, Turned, refusal_answer, unavailable
from service.receiving.call import Call
from service.receiving.limits import RateLimit
from service.receiving.quarantine import QuarantineBuffer
from service.receiving.refusals import UNKNOWN_SOURCE, RefusalCounter
from service.receiving.request import IntakeError, Refused
from service.store.faults import is_taken

OURS = Turned(500, "failed", "something is wrong here, and logged; send it again")
NOT_THE_ADDRESSES_FAULT = ("source_rate", "address_rate")

log = structlog.get_logger("hooksift.receive")


class Refuser:
    """Answers what is not accepted, and knows which addresses sent too much that nothing proved."""

    def __init__(
        self,
        metrics: Metrics,
        refusals: RefusalCounter,
        quarantine: QuarantineBuffer,
        per_minute: int,
        now: Callable[[], float],
    ) -> None:
        self._metrics = metrics
        self._refusals = refusals
        self._quarantine = quarantine
        self._strangers = RateLimit(per_minute / 60, per_minute)
        self._now = now

    def check(self, address: str) -> None:
        """Raise Turned (429) for an address that had too much refused."""
        now, counted = time.monotonic(), counted_by(address)
        if self._strangers.left(counted, now) < 1:
            wait = self._strangers.wait_seconds(counted, now)
            raise Turned(429, "address_rate", "too many refused deliveries from you", wait)

    def take(self, address: str) -> None:
        """Count one more request of this address that nothing proved."""
        self._strangers.take(counted_by(address), time.monotonic())

    def refuse(self, call: Call, error: BaseException, *, keep: bool = False) -> None:
        """Tell a call why it is not accepted; `keep` its bytes where the source has a quarantine.

        A fault of ours on the way leaves nobody waiting.
        """
        try:
            answer = self._counted(call, error, keep=keep)
        except Exception as worse:  # noqa: BLE001 - the others of this turn are told all the same
            call.tell(refusal_answer(OURS))
            with suppress(Exception):
                say_where(call, worse)
        else:
            call.tell(answer)

    def _counted(self, call: Call, error: BaseException, *, keep: bool) -> Answer:
        turned = turned_by(call, error)
        at = int(self._now() * 1_000_000)
        if keep and call.endpoint is not None and isinstance(error, Turned | IntakeError):
            self._quarantine.keep(call.endpoint, call.request, error.reason, call.address, at)
        source = call.source if call.endpoint else UNKNOWN_SOURCE
        self._refusals.count(source, turned.reason, call.address, at)
        self._metrics.refused.labels(source, turned.reason).inc()
        if is_the_addresses_fault(turned):
            self.take(call.address)
        return refusal_answer(turned)


def is_the_addresses_fault(turned: Turned) -> bool:
    """Whether it counts against the address: also a key in vain, which strangers can ask for."""
    if turned.status >= 500:
        return turned.reason == "key_unavailable"
    return turned.reason not in NOT_THE_ADDRESSES_FAULT


def turned_by(call: Call, error: BaseException) -> Turned:
    """How a request is turned away for what happened to it."""
    match error:
        case Turned():
            return error
        case Refused(reason="key_unavailable"):
            return unavailable(error.reason, error.message)
        case Refused() if call.endpoint is not None:
            status = call.endpoint.preset.ack.refused_status
            return Turned(status, error.reason, error.message)
        case IntakeError():
            return Turned(400, error.reason, error.message)
        case NotStorable() if is_taken(error):
            log.warning("id_taken", source=call.source, reason=str(error))
            return unavailable("store_unavailable", "cannot store now; send it again")
        case NotStorable():
            log.warning("not_storable", source=call.source, reason=str(error))
            return Turned(400, "not_storable", "the database cannot hold this delivery")
        case StoreUnavailable():
            log.warning("not_stored", source=call.source, reason=str(error))
            return unavailable("store_unavailable", "cannot store now; send it again")
    say_where(call, error)
    return OURS


def say_where(call: Call, error: BaseException) -> None:
    """A line in the log on a fault of ours; the error's message might hold what was sent."""
    frames = [f"{frame.filename}:{frame.lineno}" for frame in extract_tb(error.__traceback__)]
    log.error("failed", source=call.source[:100], reason=type(error).__name__, frames=frames)
