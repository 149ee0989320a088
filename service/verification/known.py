"""What a verifier knows besides its secrets: keys given by hand, the audience, how to fetch."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

Fetch = Callable[..., Awaitable[bytes]]
"""Gets the content of an https URL (posting a body where one is given), without redirects, within a
few seconds; raises `OSError`."""


class KnownKeys(NamedTuple):
    """`jwk` and `certificate_pem` stand in for what would be fetched; `audience` is the `aud` that
    tokens must name; `fetch` replaces the usual way of fetching keys."""

    jwk: dict[str, Any] | None = None
    certificate_pem: str | None = None
    audience: str | None = None
    fetch: Fetch | None = None


NOTHING_KNOWN = KnownKeys()
