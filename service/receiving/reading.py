"""Everything a source does with a request before it is stored, compiled once per source.

reader = compile_reader(load_preset("github"), secrets)
reply = reader.handshakes.unsigned(request)               # Reply | None
verified = reader.verify(request, now)                    # raises Refused
payload = reader.parse(request)                           # raises Unparsable
reply = reader.handshakes.signed(request, payload, verified.secret_index)
key = reader.delivery_key(request, payload)               # str | None
items = reader.events(request, payload)                   # list[Item], at least one
kept = reader.conceal(request, digest_key)                # headers, url, body fit to be stored
"""

from collections.abc import Sequence
from functools import partial

from service.extraction.expressions import ExpressionError
from service.extraction.extract import compile_extractor
from service.extraction.parse import MAX_UNPACKED_BYTES, parse
from service.preset import Preset, PresetError
from service.receiving.conceal import Concealer, Kept
from service.receiving.handshake import Handshaker
from service.receiving.request import Request
from service.verification.known import NOTHING_KNOWN, KnownKeys
from service.verification.verify import compile_verifier


class Reader:
    """A preset with its secrets, ready to read requests."""

    __slots__ = (
        "_concealer",
        "delivery_key",
        "events",
        "handshakes",
        "parse",
        "preset",
        "verify",
    )

    def __init__(
        self,
        preset: Preset,
        secrets: Sequence[str],
        *,
        tolerance_seconds: float | None = None,
        verify_token: str | None = None,
        max_unpacked_bytes: int = MAX_UNPACKED_BYTES,
        known: KnownKeys = NOTHING_KNOWN,
    ) -> None:
        self.preset = preset
        self.verify = compile_verifier(
            preset, secrets, tolerance_seconds=tolerance_seconds, known=known
        ).verify
        extractor = compile_extractor(preset)
        self.delivery_key = extractor.delivery_key
        self.events = extractor.events
        self.handshakes = Handshaker(preset, secrets, verify_token)
        self.parse = partial(
            parse,
            preset.body,
            empty_body=preset.empty_body,
            max_unpacked_bytes=max_unpacked_bytes,
        )
        self._concealer = Concealer(preset, has_secrets=bool(secrets))

    @property
    def conceals_body(self) -> bool:
        """Whether a body holds credentials: it must be parsed before it is concealed."""
        return self._concealer.needs_payload

    def conceal(self, request: Request, digest_key: bytes) -> Kept:
        """What may be stored: credentials that the preset names are replaced by keyed digests."""
        return self._concealer.conceal(request, digest_key)


def compile_reader(
    preset: Preset,
    secrets: Sequence[str],
    *,
    tolerance_seconds: float | None = None,
    verify_token: str | None = None,
    max_unpacked_bytes: int = MAX_UNPACKED_BYTES,
    known: KnownKeys = NOTHING_KNOWN,
) -> Reader:
    """The reader of one source. Raises `PresetError` that says what is wrong with the preset.

    `known` holds what a receiver would otherwise fetch or must be told: see `KnownKeys`.
    """
    try:
        return Reader(
            preset,
            secrets,
            tolerance_seconds=tolerance_seconds,
            verify_token=verify_token,
            max_unpacked_bytes=max_unpacked_bytes,
            known=known,
        )
    except (ExpressionError, ValueError) as error:
        if isinstance(error, PresetError):
            raise
        raise PresetError(f"preset {preset.name}: {error}") from error
