"""A webhook request as its sender made it, and the two ways in which it can be turned away.

IntakeError
├── Refused       the sender is not proven: answer with the preset's refusal status
│   └── KeyMissing    a public key must be fetched first, then the same request verified again
└── Unparsable    the sender is proven, but the body cannot be read: answer 400
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

MAX_QUERY_FIELDS = 200


class IntakeError(Exception):
    """A request that is not accepted. `reason` is a stable word, `message` is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Refused(IntakeError):  # noqa: N818 - the outcome's own name, as in the refusals table
    """The request does not prove who sent it."""


class KeyMissing(Refused):
    """The key that would prove it is not here yet. Await `load()`, then verify again, once.

    `load` raises `Refused("key_unavailable")` when the key's endpoint is down: answer 503.
    """

    def __init__(self, message: str, load: Callable[[], Awaitable[None]]) -> None:
        super().__init__("key_missing", message)
        self.load = load


class Unparsable(IntakeError):  # noqa: N818 - the outcome's own name
    """The body cannot be read as any format that the preset takes."""


class Unfit(IntakeError):  # noqa: N818 - the outcome's own name
    """The body breaks the JSON Schema that its source demands."""


class Payload(msgspec.Struct, frozen=True):
    """A parsed body. `format` is json, form, query, xml, text or empty."""

    value: Any
    format: str


class Request:
    """What was sent: `headers` have lower-case names and Latin-1 decoded values, in order.

    `url` is the public URL with its query, as the sender knows it. `payload` keeps the one parse
    of the body for whoever needs it next.
    """

    __slots__ = ("_index", "_query", "_repeated", "body", "headers", "method", "payload", "url")

    def __init__(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.payload: Payload | None = None
        self._index: dict[str, str] = dict(headers)
        self._repeated: frozenset[str] = frozenset()
        self._query: dict[str, str] | None = None
        if len(self._index) != len(headers):
            self._index = dict(reversed(headers))
            counts = Counter(name for name, _ in headers)
            self._repeated = frozenset(name for name, count in counts.items() if count > 1)

    def header(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name."""
        return self._index.get(name)

    def has_none_of(self, names: frozenset[str]) -> bool:
        """Whether none of these headers, by their lower-case names, was sent."""
        return names.isdisjoint(self._index)

    def header_values(self, name: str) -> list[str]:
        """Every value of a header, in the order sent."""
        return [value for known, value in self.headers if known == name]

    def sole_header(self, name: str) -> str | None:
        """The value of a header that a signature depends on.

        Raises `Refused("repeated_header")` when it was sent twice: which one the sender signed
        would be a guess.
        """
        if self._repeated and name in self._repeated:
            count = len(self.header_values(name))
            raise Refused("repeated_header", f"header {name} was sent {count} times; limit is 1")
        return self._index.get(name)

    @property
    def query(self) -> dict[str, str]:
        """The URL's query parameters; of a repeated one the first."""
        if self._query is None:
            self._query = _query_of(self.url)
        return self._query


def _query_of(url: str) -> dict[str, str]:
    _, mark, query = url.partition("?")
    if not mark:
        return {}
    try:
        pairs = parse_qsl(
            query.partition("#")[0], keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS
        )
    except ValueError:
        return {}
    return dict(reversed(pairs))


def path_of(url: str) -> str:
    """The path of a URL, '' where it has none or is not a URL."""
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def octets(text: str) -> bytes:
    """The bytes a header value was sent as (headers are decoded as Latin-1)."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
