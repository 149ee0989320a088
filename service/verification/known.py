"""What a verifier knows besides its secrets: keys given by hand, the audience, how to fetch."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

Fetch = Callable[[str], Awaitable[bytes]]
"""Gets the content of an https URL, without redirects, within a few seconds; raises `OSError`."""


class KnownKeys(NamedTuple):
    """`jwk` and `certificate_pem` stand in for what would be fetched; `audience` is the `aud` that
    tokens must name; `fetch` gets keys, None where none may be fetched."""

    jwk: dict[str, Any] | None = None
    certificate_pem: str | None = None
    audience: str | None = None
    fetch: Fetch | None = None


NOTHING_KNOWN = KnownKeys()
