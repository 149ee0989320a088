"""What a running receiver knows of its pairings: looked up each second, asked on every request."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from service.errors import HooksiftError, StoreUnavailable
from service.receiving.endpoint import Endpoint
from service.receiving.pairing import (
    Offer,
    Pairing,
    digest_of_secret,
    keep_secret,
    read_pairings,
    take_offers,
)
from service.store import Store
from service.store.tables import to_microseconds

LOOK_SECONDS = 1.0
log = structlog.get_logger("hooksift.pairing")


class PairingWatch:
    """Which sources may be paired now; swaps an endpoint for one with its new secret.

    `rebuild` compiles a source again, with the secret that its file holds by then.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        sources: frozenset[str],
        rebuild: Callable[[str], Endpoint],
    ) -> None:
        self.open: frozenset[str] = frozenset()
        self._store = store
        self._folder = folder
        self._sources = sources
        self._rebuild = rebuild
        self._confirmed: dict[str, datetime] = {}

    async def run(self, endpoints: dict[str, Endpoint]) -> None:
        """Look each second; returns at once where no source pairs."""
        while self._sources:
            try:
                await self.look(endpoints, datetime.now(UTC))
            except (HooksiftError, OSError) as error:
                log.warning("pairings_not_read", reason=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, endpoints: dict[str, Endpoint], now: datetime) -> None:
        """Bring what is known up to date. Raises StoreUnavailable, SettingsError."""
        found = [p for p in await asyncio.to_thread(self._read) if p.source in self._sources]
        self.open = frozenset(p.source for p in found if p.is_open(now))
        for pairing in found:
            confirmed = pairing.confirmed_at
            if confirmed and self._confirmed.get(pairing.source) != confirmed:
                endpoints[pairing.source] = self._rebuild(pairing.source)
                self._confirmed[pairing.source] = confirmed
                log.info("paired", source=pairing.source, digest=pairing.secret_digest)

    def _read(self) -> list[Pairing]:
        with self._store.read() as connection:
            return read_pairings(connection)

    async def take(self, source: str, secret: str, address: str) -> bool:
        """Keep a secret that came in-band, if it is the first; it verifies nothing yet.

        The state is committed before the file is written: where the process dies in between, the
        provider, which has no answer, sends the same secret again and it is taken again. Raises
        StoreUnavailable.
        """
        now = to_microseconds(datetime.now(UTC))
        offer = Offer(source, digest_of_secret(secret), address, now)
        if not await self._store.write(take_offers, offer):
            return False
        try:
            await asyncio.to_thread(keep_secret, self._folder, source, secret)
        except OSError as error:
            raise StoreUnavailable(f"the secret cannot be kept: {error.strerror}") from error
        log.info("secret_came", source=source, digest=offer.secret_digest, address=address)
        return True
