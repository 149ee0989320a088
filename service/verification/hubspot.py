"""HubSpot: the ordinary record, tried again with the URL's escapes undone.

HubSpot's page has receivers decode certain escapes of the URL before they check; HubSpot's own
libraries sign the URL as it is. The spelling does not change where the request goes.

https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation
"""

import re
from collections.abc import Sequence
from urllib.parse import unquote

from service.preset import Preset
from service.receiving.request import Refused, Request
from service.verification.signatures import SignatureVerifier, Verified

ESCAPES = re.compile("%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)


class HubSpotVerifier:
    """The declarative verifier, and once more for URLs that hold such escapes."""

    def __init__(self, preset: Preset, secrets: Sequence[str], tolerance_seconds: float) -> None:
        self._verifier = SignatureVerifier(preset, secrets, tolerance_seconds)

    def verify(self, request: Request, now: float) -> Verified:
        """Which secret signed the request. Raises `Refused`."""
        try:
            return self._verifier.verify(request, now)
        except Refused as refused:
            url = decoded_url(request.url)
            if refused.reason != "signature_mismatch" or url == request.url:
                raise
        again = Request(request.method, url, request.headers, request.body)
        return self._verifier.verify(again, now)


def decoded_url(url: str) -> str:
    """The URL with HubSpot's twelve escapes undone, all others left."""
    return ESCAPES.sub(lambda escape: unquote(escape[0]), url)
