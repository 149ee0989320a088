"""Box: the ordinary record, tried again with the body in its escaped spelling.

Box signs some bodies as JSON with every non-ASCII character written as `\\uXXXX`; the spelling
does not change what the JSON says, so it may be tried too. Box's own library believes no time that
is yet to come; a few seconds are allowed here, because clocks differ.
"""

from collections.abc import Sequence

from service.preset import Preset
from service.receiving.request import Refused, Request
from service.verification.signatures import SignatureVerifier, Verified
from service.verification.timestamps import check_not_ahead

MAX_AHEAD_SECONDS = 5.0


class BoxVerifier:
    """The declarative verifier, and once more for bodies that are not ASCII."""

    def __init__(self, preset: Preset, secrets: Sequence[str], tolerance_seconds: float) -> None:
        self._verifier = SignatureVerifier(preset, secrets, tolerance_seconds)

    def verify(self, request: Request, now: float) -> Verified:
        """Which key signed the request. Raises `Refused`."""
        verified = self._verify(request, now)
        check_not_ahead(verified.signed_at or now, now, MAX_AHEAD_SECONDS)
        return verified

    def _verify(self, request: Request, now: float) -> Verified:
        try:
            return self._verifier.verify(request, now)
        except Refused as refused:
            if refused.reason != "signature_mismatch" or request.body.isascii():
                raise
            escaped = escaped_body(request.body)
            if escaped is None:
                raise
        again = Request(request.method, request.url, request.headers, escaped)
        return self._verifier.verify(again, now)


def escaped_body(body: bytes) -> bytes | None:
    """The body with non-ASCII characters as `\\uxxxx`, in pairs beyond the first plane."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    pieces = []
    for character in text:
        if character.isascii():
            pieces.append(character)
        else:
            units = character.encode("utf-16-be")
            pieces += [f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)]
    return "".join(pieces).encode()
