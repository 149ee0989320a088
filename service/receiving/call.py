"""One request on its way to its answer."""

import time
from collections.abc import Callable
from typing import Protocol

import structlog

from service.receiving.answers import Answer
from service.receiving.endpoint import Endpoint
from service.receiving.handshake import Reply
from service.receiving.request import Request

log = structlog.get_logger("hooksift.receive")


class Way(Protocol):
    """The receive path, as far as a call needs it once it is known what becomes of it."""

    def greet(self, call: "Call", reply: Reply, /) -> None:
        """It is a handshake."""

    def fail(self, call: "Call", error: BaseException, /) -> None:
        """It is not stored."""

    def accepted(self, source: str, seconds: float, /) -> None:
        """It was answered with 2xx after so long."""


class Call:
    """One request on its way to its answer, told what became of it as a future would be."""

    __slots__ = (
        "_is_decided",
        "_reply",
        "_started",
        "_way",
        "address",
        "endpoint",
        "has_asked_for_key",
        "request",
        "rest",
        "source",
    )

    def __init__(
        self,
        source: str,
        rest: str,
        address: str,
        reply: Callable[[Answer], object],
        way: Way,
    ) -> None:
        self.source = source
        self.rest = rest
        self.address = address
        self.endpoint: Endpoint | None = None
        self.request: Request
        self.has_asked_for_key = False
        self._is_decided = False
        self._reply: Callable[[Answer], object] | None = reply
        self._way = way
        self._started = time.perf_counter()

    def done(self) -> bool:
        """Whether it is known what becomes of it."""
        return self._is_decided

    def set_result(self, outcome: Answer | Reply) -> None:
        """It is stored, or else a handshake."""
        self._is_decided = True
        if isinstance(outcome, Reply):
            self._way.greet(self, outcome)
        else:
            self.tell(outcome)

    def set_exception(self, error: BaseException) -> None:
        """It is not stored."""
        self._way.fail(self, error)

    def tell(self, answer: Answer) -> None:
        """Answer it. A caller who cannot be told stops nothing else."""
        reply = self._reply
        self.let_go()
        if reply is None:
            return
        try:
            reply(answer)
        except Exception as error:  # noqa: BLE001 - the others of this turn are told all the same
            log.error("not_answered", reason=type(error).__name__)  # noqa: TRY400 - no values
        else:
            if self.endpoint is not None and answer.status < 300:
                self._way.accepted(self.source, time.perf_counter() - self._started)

    def let_go(self) -> None:
        """Nobody waits for an answer any more."""
        self._is_decided, self._reply = True, None
