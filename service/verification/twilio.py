"""Twilio: the public URL and the form's fields, or the URL with a hash of the body.

https://www.twilio.com/docs/usage/security#validating-requests
"""

import hashlib
from collections.abc import Sequence
from hmac import compare_digest
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from service.extraction.parse import MAX_FORM_FIELDS
from service.receiving.request import Refused, Request
from service.verification.candidates import compile_find, compile_read
from service.verification.keys import Check, compile_check
from service.verification.signatures import Verified

SETTINGS = "x-twilio-webhooks-signature-settings"
BODY_HASH = "bodySHA256"


class TwilioVerifier:
    """Accepts requests signed under a configured auth token."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._find = compile_find("header:X-Twilio-Signature")
        self._read = compile_read("{b64}", "", "hmac-sha1")
        self._checks: dict[str, list[Check]] = {
            alg: [compile_check(alg, "utf8", secret) for secret in secrets]
            for alg in ("hmac-sha1", "hmac-sha256")
        }

    def verify(self, request: Request, now: float) -> Verified:
        """Which token signed the request. Raises `Refused`."""
        signatures = self._read(self._find(request)).signatures
        fields, has_hash = signed_fields(request), BODY_HASH in request.query
        if not fields and request.body and not has_hash and not _is_form(request):
            raise Refused("missing_body_hash", f"URL has no {BODY_HASH}, so the body is not signed")
        index = self._match(request, fields, signatures)
        if has_hash and not _is_form(request):
            digest = hashlib.sha256(request.body).hexdigest()
            if not compare_digest(digest.encode(), request.query[BODY_HASH].lower().encode()):
                raise Refused("body_hash_mismatch", f"body's SHA-256 is not the URL's {BODY_HASH}")
        return Verified(index, None, None)

    def _match(self, request: Request, fields: str, signatures: Sequence[bytes]) -> int:
        checks = self._checks[algorithm_of(request)]
        for url in url_spellings(request.url):
            content = (url + fields).encode("utf-8", "surrogatepass")
            for index, check in enumerate(checks):
                if check(content, signatures) is not None:
                    return index
        raise Refused(
            "signature_mismatch",
            "signature does not match URL and fields; is the source's public URL right?",
        )


def algorithm_of(request: Request) -> str:
    """HMAC-SHA1, or SHA-256 where the settings header says so."""
    settings = request.sole_header(SETTINGS) or ""
    pairs = dict(part.replace(" ", "").partition("=")[::2] for part in settings.split(","))
    name = (pairs.get("algorithm") or "HMAC_SHA1").upper()
    if name not in ("HMAC_SHA1", "HMAC_SHA256"):
        raise Refused("unsupported_algorithm", f"algorithm is {name[:40]!r}")
    return "hmac-" + name.removeprefix("HMAC_").lower()


def _is_form(request: Request) -> bool:
    kind = (request.header("content-type") or "").partition(";")[0]
    return "form-urlencoded" in kind.lower()


def signed_fields(request: Request) -> str:
    """Names and values of the form, sorted, each value of a name once."""
    if not _is_form(request) or not request.body:
        return ""
    try:
        pairs = parse_qsl(
            request.body.decode("utf-8"),
            keep_blank_values=True,
            max_num_fields=MAX_FORM_FIELDS,
            errors="strict",
        )
    except ValueError:
        raise Refused("malformed_signature", "the signed form cannot be read") from None
    return "".join(name + value for name, value in sorted(set(pairs)))


def url_spellings(url: str) -> list[str]:
    """The URL as it is, and with its port left out or the scheme's own put in."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return [url]
    if port is not None:
        netloc = parts.netloc.rpartition(":")[0]
    else:
        netloc = f"{parts.netloc}:{443 if parts.scheme == 'https' else 80}"
    return [url, urlunsplit(parts._replace(netloc=netloc))] if host else [url]
