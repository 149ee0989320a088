"""From a message to its fingerprint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from enrich.fingerprint.learning import Learner, Limits, Pattern, print_of
from enrich.fingerprint.masking import mask
from enrich.fingerprint.traces import split_trace


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`print` is 16 lower-case base32 characters; `masked` is the message without its values."""

    print: str
    masked: str


class Fingerprinter:
    """Gives every message of one source its fingerprint, from what it has seen before.

    A message's print depends on the messages before it only and never changes afterwards, unless
    something is forgotten or adopted. Not thread-safe; its state is bounded.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._learner = Learner(limits)

    def fingerprint(self, message: str) -> Fingerprint:
        """The fingerprint of one message: a log line, or an error with its stack trace."""
        trace = split_trace(message) if "\n" in message else None
        if trace is None:
            return Fingerprint(*self._learner.learn(mask(message)))
        title = self._learner.learn(mask(trace.title))
        print_ = print_of("\n".join((title.print, *trace.frames)))
        return Fingerprint(print_, "\n".join((title.text, *trace.frames)))

    def learned(self) -> list[Pattern]:
        """The patterns found so far, the one unused longest first."""
        return self._learner.patterns()

    def forget(self, print_: str) -> int:
        """Drops whatever was learned for this print and returns how many entries that were."""
        return self._learner.forget(print_)

    def adopt(self, other: "Fingerprinter") -> None:
        """Learn what another one of the source knows; where they differ, the other's word counts.

        Fingerprinters that adopt from one place and save to it come to give the same prints.
        """
        self._learner.adopt(other._learner)

    def to_state(self) -> dict[str, Any]:
        """The learned state as plain JSON values."""
        return self._learner.to_state()

    @classmethod
    def from_state(cls, state: Mapping[str, Any], limits: Limits | None = None) -> "Fingerprinter":
        """The fingerprinter that `to_state` described.

        Raises:
            FingerprintStateError: the state is of another version or damaged.
        """
        fingerprinter = cls(limits)
        fingerprinter._learner = Learner.from_state(state, limits)
        return fingerprinter
