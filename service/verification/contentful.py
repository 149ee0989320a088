"""Contentful: a canonical request of method, path, the headers that it names, and the body.

https://www.contentful.com/developers/docs/webhooks/request-verification/
"""

from collections.abc import Iterator, Sequence
from urllib.parse import quote, urlsplit

from service.receiving.request import Refused, Request, octets
from service.verification.candidates import compile_find, compile_read
from service.verification.keys import compile_check
from service.verification.signatures import Verified
from service.verification.timestamps import check_window, seconds_of

TIMESTAMP, SIGNED = "x-contentful-timestamp", "x-contentful-signed-headers"
MAX_SIGNED_HEADERS = 64
UNESCAPED, RESERVED = "-_.!~*'()", ";,/?:@&=+$#"


class ContentfulVerifier:
    """Accepts requests whose canonical form is signed under a configured secret."""

    def __init__(self, secrets: Sequence[str], tolerance_seconds: float) -> None:
        self._find = compile_find("header:x-contentful-signature")
        self._read = compile_read("{hex}", "", "hmac-sha256")
        self._checks = [compile_check("hmac-sha256", "utf8", secret) for secret in secrets]
        self._tolerance = tolerance_seconds

    def verify(self, request: Request, now: float) -> Verified:
        """Which secret signed the request. Raises `Refused`."""
        signatures = self._read(self._find(request)).signatures
        moment = request.sole_header(TIMESTAMP)
        if moment is None:
            raise Refused("missing_timestamp", f"header {TIMESTAMP} is missing")
        signed_at = seconds_of(moment, "ms")
        check_window(signed_at, now, self._tolerance)
        for content in canonical_requests(request):
            for index, check in enumerate(self._checks):
                if check(content, signatures) is not None:
                    return Verified(index, None, signed_at)
        raise Refused("signature_mismatch", "signature does not match the canonical request")


def canonical_requests(request: Request) -> Iterator[bytes]:
    """What is signed, for each way to write the address.

    Raises `Refused` when time or header list are left out.
    """
    lines = ";".join(_header_lines(request))
    for target in target_spellings(request.url):
        yield octets(f"{request.method}\n{target}\n{lines}\n") + request.body


def _header_lines(request: Request) -> Iterator[str]:
    """The named headers, in the order of their names."""
    names = {name.strip().lower() for name in (request.sole_header(SIGNED) or "").split(",")}
    if len(names) > MAX_SIGNED_HEADERS or not {TIMESTAMP, SIGNED} <= names:
        raise Refused("missing_header", f"{SIGNED} does not name {TIMESTAMP} and itself")
    for name in sorted(names):
        value = request.sole_header(name)
        if value is None:
            raise Refused("missing_header", f"header {name[:60]}, which is signed, is missing")
        yield f"{name}:{value.strip()}"


def target_spellings(url: str) -> list[str]:
    """Path and query as Contentful's library signs them, and as they are sent.

    The library escapes the query as one value, then the whole once more: `?a=b` as `?a%253Db`.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return [""]
    plain = f"{parts.path}?{parts.query}" if parts.query else parts.path
    query = quote(parts.query.partition("?")[0], safe=UNESCAPED, errors="replace")
    escaped = quote(f"{parts.path}?{query}" if query else parts.path, safe=UNESCAPED + RESERVED)
    return [escaped] if escaped == plain else [escaped, plain]
