"""Senders whose signing no record describes, each verified by a module of its own."""

from collections.abc import Sequence
from typing import Protocol

from service.preset import Preset, PresetError
from service.receiving.request import Request
from service.verification.box import BoxVerifier
from service.verification.contentful import ContentfulVerifier
from service.verification.hubspot import HubSpotVerifier
from service.verification.keys import NONE_IS_SET, SecretError
from service.verification.known import KnownKeys
from service.verification.paypal import PayPalVerifier
from service.verification.signatures import Verified
from service.verification.sns import SnsVerifier
from service.verification.tokens import TokenVerifier
from service.verification.twilio import TwilioVerifier

SPECIALS = ("aws_sns", "paypal", "contentful", "twilio", "box", "hubspot")


class Verifies(Protocol):
    """What every verifier can do."""

    def verify(self, request: Request, now: float) -> Verified: ...


def compile_special(
    preset: Preset, secrets: Sequence[str], tolerance_seconds: float, known: KnownKeys
) -> Verifies | None:
    """The verifier of a special sender; None for those that a record describes."""
    if preset.jwt is not None:
        return TokenVerifier(preset, secrets, known)
    special = preset.verify.special
    if not special:
        return None
    if special == "aws_sns":
        return SnsVerifier(secrets, tolerance_seconds, known)
    if special == "paypal":
        return PayPalVerifier(secrets, tolerance_seconds, known)
    if not secrets:
        raise SecretError(NONE_IS_SET)
    if special == "contentful":
        return ContentfulVerifier(secrets, tolerance_seconds)
    if special == "twilio":
        return TwilioVerifier(secrets)
    if special == "box":
        return BoxVerifier(preset, secrets, tolerance_seconds)
    if special == "hubspot":
        return HubSpotVerifier(preset, secrets, tolerance_seconds)
    raise PresetError(f"no special verification {special!r}; there are {', '.join(SPECIALS)}")
