"""Contentful: a canonical request of method, path, the headers that it names, and the body.

https://www.contentful.com/developers/docs/webhooks/request-verification/
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from service.request import Refused, Request, octets
from service.verification.candidates import compile_find, compile_read
from service.verification.keys import compile_check
from service.verification.signatures import Verified
from service.verification.timestamps import check_window, seconds_of

TIMESTAMP, SIGNED = "x-contentful-timestamp", "x-contentful-signed-headers"
MAX_SIGNED_HEADERS = 64


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
        content = canonical_request(request)
        for index, check in enumerate(self._checks):
            if check(content, signatures) is not None:
                return Verified(index, None, signed_at)
        raise Refused("signature_mismatch", "signature does not match the canonical request")


def canonical_request(request: Request) -> Sequence[bytes]:
    """The pieces that are signed. Raises `Refused` when time or header list are left out."""
    names = [name.strip().lower() for name in (request.sole_header(SIGNED) or "").split(",")]
    if len(names) > MAX_SIGNED_HEADERS or not {TIMESTAMP, SIGNED} <= set(names):
        raise Refused("missing_header", f"{SIGNED} does not name {TIMESTAMP} and itself")
    lines = []
    for name in names:
        value = request.sole_header(name)
        if value is None:
            raise Refused("missing_header", f"header {name[:60]}, which is signed, is missing")
        lines.append(f"{name}:{value.strip()}")
    head = f"{request.method}\n{_target(request.url)}\n{';'.join(lines)}\n"
    return (octets(head), request.body)


def _target(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
