"""What each event of a delivery is and says, read by the preset's paths.

    extractor = compile_extractor(preset)
    extractor.delivery_key(request, payload)      # the provider's own id, or None
    extractor.events(request, payload)            # at least one Item

Extraction never fails: what a path does not find is None or empty. NUL characters, which
PostgreSQL cannot store, become U+FFFD.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from service.extraction.expressions import TextGetter, View, compile_text, compile_value
from service.extraction.guesses import guess_text, guess_title
from service.preset import Preset
from service.receiving.request import Payload, Request

MAX_ITEMS = 2_000
MAX_TITLE_CHARACTERS = 500
MAX_TEXT_CHARACTERS = 100_000
MAX_SHORT_CHARACTERS = 1_000


class Item(NamedTuple):
    """One event. `payload` is its JSON where the delivery holds several, else None.

    `dedup_key` identifies an item of a split delivery within its source; None where the delivery
    is one event, which the delivery key identifies. `sent_at` is in microseconds since 1970.
    """

    dedup_key: str | None
    event_type: str
    subject: str | None
    sent_at: int | None
    title: str
    text: str
    url: str | None
    customer: str | None
    level: str | None
    payload: str | None


class Extractor:
    """One preset's paths, compiled."""

    __slots__ = (
        "_customer",
        "_default_type",
        "_id",
        "_items",
        "_key",
        "_level",
        "_sent_at",
        "_subject",
        "_text",
        "_title",
        "_type",
        "_url",
    )

    def __init__(self, preset: Preset) -> None:
        paths = preset.event
        self._default_type = paths.default_type
        self._id = compile_text(paths.id)
        self._type = compile_text(paths.type)
        self._subject = compile_text(paths.subject)
        self._sent_at = compile_text(paths.sent_at) if paths.sent_at else None
        self._title = compile_text(paths.title)
        self._text = [compile_text(part) for part in paths.text]
        self._url = compile_text(paths.url)
        self._customer = compile_text(paths.customer)
        self._level = compile_text(paths.level)
        self._items = compile_value(preset.split.items) if preset.split else None
        self._key = compile_text(preset.split.key) if preset.split else None

    def delivery_key(self, request: Request, payload: Payload) -> str | None:
        """The provider's own id of this delivery; None where it sends none."""
        return _key(self._id(View(request, payload.value, payload.value)))

    def events(self, request: Request, payload: Payload) -> list[Item]:
        """The delivery's events in order, at least one.

        A delivery of no items, or of more than `MAX_ITEMS`, is one event: never lost, not split.
        """
        body = payload.value
        if self._items is not None:
            found = self._items(View(request, body, body))
            if type(found) is list and 0 < len(found) <= MAX_ITEMS:
                return [self._split_item(View(request, body, item)) for item in found]
        return [self._item(View(request, body, body), None, None)]

    def _split_item(self, view: View) -> Item:
        encoded = msgspec.json.encode(view.item)
        key = self._key(view) if self._key is not None else None
        if not key:
            key = key_of_content(encoded)
        return self._item(view, _key(key), encoded.decode())

    def _item(self, view: View, key: str | None, payload: str | None) -> Item:
        event_type = _short(self._type(view)) or self._default_type
        title = self._title(view) or ""
        text = _joined(self._text, view)
        if not text and title in ("", event_type):
            title = title or guess_title(view.item) or event_type
            text = guess_text(view.item)
        return Item(
            key,
            event_type,
            _short(self._subject(view)),
            None if self._sent_at is None else moment_of(self._sent_at(view)),
            _clean(title or event_type, MAX_TITLE_CHARACTERS),
            _clean(text, MAX_TEXT_CHARACTERS),
            _short(self._url(view)),
            _short(self._customer(view)),
            _short(self._level(view)),
            payload,
        )


def key_of_content(item: bytes) -> str:
    """The dedup key of an item that names none: equal items are one."""
    return blake2b(item, digest_size=16).hexdigest()


def compile_extractor(preset: Preset) -> Extractor:
    """The extractor of a preset. Raises `ExpressionError` when a path is not in the language."""
    return Extractor(preset)


def _joined(getters: Sequence[TextGetter], view: View) -> str:
    """The parts that hold, each once, a blank line between them."""
    parts: list[str] = []
    for getter in getters:
        part = getter(view)
        if part and part not in parts:
            parts.append(part)
    return parts[0] if len(parts) == 1 else "\n\n".join(parts)


def _clean(text: str, limit: int) -> str:
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    return text.strip() if len(text) <= limit else text[:limit].strip()


def _key(text: str | None) -> str | None:
    """A key as it is, or its digest where it is long: two that begin alike are still two."""
    if text is None or len(text) <= MAX_SHORT_CHARACTERS:
        return _short(text)
    return f"blake2b:{blake2b(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _short(text: str | None) -> str | None:
    if not text:
        return None
    if len(text) <= MAX_SHORT_CHARACTERS and "\0" not in text:
        return text.strip() or None
    return _clean(text, MAX_SHORT_CHARACTERS) or None


MICROSECOND_DIGITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
YEAR_2200 = 7_258_118_400.0
EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
SPACED_OFFSET = re.compile(r" ([+-]\d{2}:?\d{2})$")


def moment_of(text: str | None) -> int | None:
    """Microseconds since 1970 of an ISO 8601 text, or of seconds, ms, us or ns by their size.

    A space before the offset and the name UTC, as Ruby writes them, are read too.
    """
    if not text:
        return None
    try:
        return _from_number(text) if _is_number(text) else _from_text(text)
    except (ValueError, OverflowError):
        return None


def _is_number(text: str) -> bool:
    return len(text) <= 25 and text.isascii() and text.replace(".", "", 1).isdigit()


def _from_text(text: str) -> int:
    moment = datetime.fromisoformat(SPACED_OFFSET.sub(r"\1", text.removesuffix(" UTC")))
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // MICROSECOND


def _from_number(text: str) -> int | None:
    seconds = float(text)
    for floor, divisor in MICROSECOND_DIGITS:
        if seconds >= floor:
            seconds /= divisor
            break
    return round(seconds * 1e6) if 0 < seconds < YEAR_2200 else None
