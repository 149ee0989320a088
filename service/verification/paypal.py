"""PayPal: a certificate's signature over four values, one of them the body's CRC-32.

https://developer.paypal.com/api/rest/webhooks/rest/
"""

import zlib
from collections.abc import Sequence

from service.receiving.request import Refused, Request, octets
from service.verification.certificates import Certificates, check_rsa
from service.verification.keys import SecretError
from service.verification.known import KnownKeys
from service.verification.signatures import Verified
from service.verification.timestamps import check_window, seconds_of

HOSTS = r"([a-z0-9-]+\.)*paypal\.com"
ALGORITHM = "SHA256withRSA"


class PayPalVerifier:
    """Accepts deliveries of the configured webhook ids, the 'secrets' of such a source."""

    def __init__(self, ids: Sequence[str], tolerance_seconds: float, known: KnownKeys) -> None:
        if not ids or not all(ids):
            raise SecretError("the secret must be the webhook's id")
        self._ids = ids
        self._tolerance = tolerance_seconds
        self._certificates = Certificates(HOSTS, known, owner="paypal.com")

    def verify(self, request: Request, now: float) -> Verified:
        """Which webhook id was signed. Raises `Refused`."""
        signature = _header(request, "paypal-transmission-sig", "missing_signature")
        algorithm = _header(request, "paypal-auth-algo", "missing_header")
        if algorithm != ALGORITHM:
            raise Refused("unsupported_algorithm", f"only {ALGORITHM} is supported")
        moment = _header(request, "paypal-transmission-time", "missing_timestamp")
        signed_at = seconds_of(moment, "iso")
        check_window(signed_at, now, self._tolerance)
        key = self._certificates.key(_header(request, "paypal-cert-url", "missing_header"))
        for index, webhook_id in enumerate(self._ids):
            try:
                check_rsa(key, signature, signed_content(request, webhook_id), "sha256")
            except Refused as refused:
                if refused.reason != "signature_mismatch" or index + 1 == len(self._ids):
                    raise
                continue
            return Verified(index, None, signed_at)
        raise Refused("signature_mismatch", "signature is of no configured webhook id")


def signed_content(request: Request, webhook_id: str) -> bytes:
    """`transmission id|time|webhook id|CRC-32 of the body`, which is all that PayPal signs."""
    transmission = _header(request, "paypal-transmission-id", "missing_header")
    moment = _header(request, "paypal-transmission-time", "missing_timestamp")
    return b"|".join(
        (
            octets(transmission),
            octets(moment),
            webhook_id.encode(),
            b"%d" % zlib.crc32(request.body),
        )
    )


def _header(request: Request, name: str, reason: str) -> str:
    value = request.sole_header(name)
    if not value:
        raise Refused(reason, f"header {name} is missing")
    return value
