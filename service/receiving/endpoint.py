"""One configured source, compiled: everything the receive path needs of it, prepared once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from secrets import token_hex

import msgspec

from service.errors import SettingsError
from service.extraction.extract import Item
from service.preset import Preset, PresetError, customised, with_authentication
from service.receiving.addresses import Network, is_within
from service.receiving.conceal import Kept
from service.receiving.limits import RateLimit
from service.receiving.pairing import pairs
from service.receiving.reading import Reader, compile_reader
from service.receiving.request import Payload, Request, Unparsable
from service.receiving.schema import SchemaError, Schemas, compile_schemas
from service.secrets import resolve
from service.settings import ReceiveSettings, SourceSettings
from service.store.ids import SEQUENCE_LIMIT
from service.store.intake import Arrival, NewEvent, digest_of
from service.verification.verify import Verified

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Endpoint:
    """A source ready to receive. Built by `compile_endpoint`; nothing in it changes."""

    source: str
    preset: Preset
    settings: SourceSettings
    reader: Reader
    methods: frozenset[str]
    secret_in_path: bool
    max_body_bytes: int
    public_url: str
    networks: tuple[Network, ...]
    rate_limit: RateLimit | None
    dedup_microseconds: int
    repeat_microseconds: int
    digest_key: bytes
    pairs: bool = False
    schemas: Schemas | None = None

    def allows(self, address: str) -> bool:
        """Whether the allow-list, if there is one, holds this address."""
        return not self.networks or is_within(address, self.networks)

    def parse(self, request: Request) -> Payload:
        """The parsed body. Raises Unparsable, unless the source stores such bodies as text."""
        try:
            return self.reader.parse(request)
        except Unparsable:
            if not self.settings.store_unparsable:
                raise
            return Payload(request.body.decode("utf-8", "replace"), "text")

    def arrival(
        self,
        request: Request,
        payload: Payload,
        verified: Verified,
        new_ids: Callable[[int], int],
        received_at: int,
        address: str,
    ) -> Arrival:
        """The delivery as it will be stored; `received_at` in microseconds since 1970."""
        kept = self.reader.conceal(request, self.digest_key)
        payload = kept.payload or payload
        items = self.reader.events(request, payload)
        if len(items) > SEQUENCE_LIMIT:
            raise Unparsable(
                "too_many_events", f"{len(items)} events in one delivery; limit is {SEQUENCE_LIMIT}"
            )
        key = self.reader.delivery_key(request, payload)
        digest, window = self._identity(request.method, kept, items, key)
        content = verified.signed_digest
        return Arrival(
            id=new_ids(len(items)),
            source=self.source,
            preset=self.preset.name,
            received_at=received_at,
            method=request.method,
            url=kept.url,
            headers=msgspec.json.encode(kept.headers).decode(),
            body=kept.body,
            delivery_key=key,
            address=address,
            verified=verified.secret_index >= 0,
            priority=self.settings.priority,
            digest=digest,
            content_digest=digest_of("content", content) if content else None,
            expires_at=received_at + window,
            events=[self._event(item) for item in items],
        )

    def _identity(
        self, method: str, kept: Kept, items: Sequence[Item], key: str | None
    ) -> tuple[bytes | None, int]:
        """The delivery's dedup key and how long it holds: by id, by items, or by its body.

        Of what is stored, so that an erasure can find the key again: see `lost_keys`.
        """
        if key:
            return digest_of("delivery", self.source, key), self.dedup_microseconds
        split = self.preset.split
        if split is not None and items[0].dedup_key:
            return None, self.dedup_microseconds if split.key else self.repeat_microseconds
        kind = items[0].event_type  # a header may say it
        return (
            digest_of("body", self.source, method, kind, kept.url, kept.body),
            self.repeat_microseconds,
        )

    def _event(self, item: Item) -> NewEvent:
        key = item.dedup_key
        return NewEvent(digest_of("item", self.source, key) if key else None, *item[1:])


def compile_endpoint(
    source: str,
    settings: SourceSettings,
    receive: ReceiveSettings,
    presets: Mapping[str, Preset],
    digest_key: bytes,
    paired_secret: str | None = None,
) -> Endpoint:
    """The endpoint of `[sources.NAME]`. Raises SettingsError that names the source and the key.

    A source that pairs, and is not paired yet, has a secret that nobody knows.
    """
    where = f"sources.{source}"
    if settings.preset not in presets:
        raise SettingsError(
            f"{where}.preset: no preset {settings.preset!r}; `hooksift presets` lists them"
        )
    secrets = [resolve(reference) for reference in settings.secrets]
    verify_token = resolve(settings.verify_token) if settings.verify_token else None
    try:
        preset = prepared(presets[settings.preset], settings)
        by_pairing = pairs(preset, settings)
        if by_pairing:
            secrets = [paired_secret or token_hex(32)]
        reader = compile_reader(
            preset,
            secrets,
            tolerance_seconds=settings.tolerance_seconds,
            verify_token=verify_token,
        )
        schemas = compile_schemas(settings.schemas, settings.schema_version)
    except (PresetError, SchemaError) as error:
        raise SettingsError(f"{where}: {error}") from error
    window = max(receive.dedup_days * 86_400, preset.retry_window_seconds)
    return Endpoint(
        source=source,
        preset=preset,
        settings=settings,
        reader=reader,
        methods=frozenset(preset.accepts),
        secret_in_path=preset.verify.source == "path" or (bool(secrets) and not preset.signed),
        max_body_bytes=settings.max_body_bytes or receive.max_body_bytes,
        public_url=settings.public_url or _public_url(receive.public_url, source),
        networks=tuple(ip_network(text, strict=False) for text in settings.allow_addresses),
        rate_limit=_rate_limit(settings.per_second),
        dedup_microseconds=int(window * MICROSECONDS),
        repeat_microseconds=int(preset.repeat_window_seconds * MICROSECONDS),
        digest_key=digest_key,
        schemas=schemas,
        pairs=by_pairing,
    )


def prepared(preset: Preset, settings: SourceSettings) -> Preset:
    """The preset with what the source changes of it. Raises PresetError."""
    if settings.override:
        preset = customised(preset, settings.override)
    if settings.authentication:
        preset = with_authentication(preset, settings.authentication)
    return preset


def _public_url(base: str, source: str) -> str:
    return f"{base.rstrip('/')}/v1/webhooks/{source}" if base else ""


def _rate_limit(per_second: float | None) -> RateLimit | None:
    return RateLimit(per_second, max(1.0, per_second)) if per_second else None
