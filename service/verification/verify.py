"""Compile a preset and its secrets into what verifies a request.

    verifier = compile_verifier(load_preset("github"), ["It's a Secret"])
    verified = verifier.verify(request, now)        # Verified, or raises Refused

Everything that can be prepared is prepared here: keys decoded, templates and paths compiled. What
`verify` raises is `Refused` (with a stable reason word) or, where the time is in a body that is
signed but not readable, `Unparsable`; never anything else, whatever a stranger sends.
"""

from collections.abc import Sequence
from typing import Protocol

from service.extraction.expressions import ExpressionError
from service.preset import Preset, PresetError, with_authentication
from service.receiving.request import IntakeError, KeyMissing, Payload, Refused, Request, Unparsable
from service.verification.keys import SecretError
from service.verification.known import NOTHING_KNOWN, KnownKeys
from service.verification.signatures import SignatureVerifier, Verified
from service.verification.specials import compile_special

__all__ = [
    "IntakeError",
    "KeyMissing",
    "Payload",
    "Refused",
    "Request",
    "Unparsable",
    "Verified",
    "Verifier",
    "compile_verifier",
]


class Verifier(Protocol):
    """Proves who sent a request."""

    def verify(self, request: Request, now: float) -> Verified:
        """Which secret matched, and when it was signed. `now` is in seconds since 1970."""
        ...


class Unsigned:
    """Accepts every request: the provider does not sign, and no secret is configured."""

    def verify(self, request: Request, now: float) -> Verified:
        """Always verified, by nothing."""
        return Verified(-1, None, None)


def compile_verifier(
    preset: Preset,
    secrets: Sequence[str],
    *,
    tolerance_seconds: float | None = None,
    known: KnownKeys = NOTHING_KNOWN,
) -> Verifier:
    """The verifier of a preset under some secrets, of which any may match (rotation).

    Raises `PresetError` when the record is wrong or a secret is missing or cannot be used.
    """
    if not preset.signed:
        if not secrets:
            return Unsigned()
        preset = with_authentication(preset, "path")
    if preset.jwt is not None and tolerance_seconds is not None:
        raise PresetError(
            f"preset {preset.name}: tolerance_seconds has no effect on tokens;"
            " set override = { jwt = { leeway_seconds = 60 } }"
        )
    tolerance = preset.verify.tolerance_seconds if tolerance_seconds is None else tolerance_seconds
    try:
        special = compile_special(preset, secrets, tolerance, known)
        return special or SignatureVerifier(preset, secrets, tolerance)
    except (ExpressionError, SecretError) as error:
        raise PresetError(f"preset {preset.name}: {error}") from error
