"""The fingerprint of an event, and what may be shared among events that have the same.

An event's fingerprint covers its type, its level, its title and its text: two events share one
only when all of these do. Of a stack trace the title and the frames count; of other texts the first
lines, of which the title (or the first) is learned from and the rest only masked.
"""

import hashlib
import re
from base64 import b32encode
from typing import NamedTuple

from enrich.enricher import EventText
from enrich.fingerprint import Fingerprinter, mask
from enrich.fingerprint.traces import split_trace

MAX_LINES = 12  # of the text that tell events apart; the rest is mostly the stack below the error
MAX_LINE = 400  # characters
PLACEHOLDER = re.compile(r"<(?:[a-z]{1,12}|\*)>")
REMEMBERED_LINES = 4_096


class Print(NamedTuple):
    """A fingerprint, and the event without its values: what a shared enrichment is made from."""

    fingerprint: str
    event: EventText


class EventPrinter:
    """Fingerprints the events of one source."""

    def __init__(self, fingerprinter: Fingerprinter) -> None:
        self.fingerprinter = fingerprinter
        self._masked: dict[str, str] = {}

    def print_of(self, event: EventText) -> Print:
        """The event's fingerprint. Learns from it."""
        lines = [line.strip()[:MAX_LINE] for line in event.text.splitlines()[: MAX_LINES * 2]]
        lines = [line for line in lines if line][:MAX_LINES]
        head = event.title[:MAX_LINE] or (lines.pop(0) if lines else "")
        whole = f"{event.title}\n{event.text}" if len(lines) > 1 else ""
        if whole and split_trace(whole) is not None:
            head, lines = whole, []  # the way through the code tells errors apart
        known = self.fingerprinter.fingerprint(head)
        rest = [self._mask(line) for line in lines if line != head]
        digest = hashlib.blake2b(digest_size=10)
        for part in (event.event_type, event.level or "", known.print, *rest):
            digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
        shown = "\n".join([known.masked, *rest])
        title, _, text = shown.partition("\n") if event.title else ("", "", shown)
        shared = event._replace(
            title=plain(title),
            text=plain(text),
            subject=None,
            url=None,
            customer=None,
        )
        return Print(b32encode(digest.digest()).decode("ascii").lower(), shared)

    def _mask(self, line: str) -> str:
        masked = self._masked.get(line)
        if masked is None:
            if len(self._masked) >= REMEMBERED_LINES:
                self._masked.clear()
            masked = self._masked[line] = mask(line)
        return masked


def plain(masked: str) -> str:
    """Masked text for people and models: an ellipsis where a value stood."""
    return PLACEHOLDER.sub("…", masked)
