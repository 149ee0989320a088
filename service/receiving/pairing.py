"""Pairing: taking the secret that a provider sends in its first request.

Such a request is signed by nobody, so it counts only while a person has opened the source, for ten
minutes, and only the first secret does. It verifies nothing before the person has compared its
digest and the address it came from. The store holds the state, which all receivers share; the
secret itself is in a file of the data folder that only its owner reads and that no backup holds.
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from service.errors import HooksiftError, SettingsError
from service.preset import Preset
from service.settings import SourceSettings
from service.store import Store
from service.store.tables import from_microseconds, to_microseconds

OPEN_FOR = timedelta(minutes=10)
IN_BAND = frozenset({"asana", "notion"})  # handshakes that bring the secret
FOLDER = "secrets"


class PairingError(HooksiftError):
    """What a person asked of a pairing cannot be; the text says why."""


class Pairing(NamedTuple):
    """How far a source's pairing is. Without a digest no secret has come yet."""

    source: str
    closes_at: datetime
    address: str
    secret_digest: str | None
    confirmed_at: datetime | None

    def is_open(self, now: datetime) -> bool:
        """Whether a handshake may still bring a secret."""
        return now < self.closes_at and self.confirmed_at is None


class Offer(NamedTuple):
    """A secret that came in-band, at a time in microseconds since 1970."""

    source: str
    secret_digest: str
    address: str
    at: int


def pairs(preset: Preset, settings: SourceSettings) -> bool:
    """Whether this source gets its secret by pairing."""
    return not settings.secrets and not IN_BAND.isdisjoint(preset.handshake.split())


def digest_of_secret(secret: str) -> str:
    """What a person compares: 32 hexadecimal digits of SHA-256."""
    return hashlib.sha256(secret.encode()).hexdigest()[:32]


def read_pairings(connection: Connection) -> list[Pairing]:
    """Every pairing that was ever opened, the last one of each source."""
    rows = connection.execute(
        text("SELECT source, closes_at, address, secret_digest, confirmed_at FROM pairings")
    )
    return [
        Pairing(s, from_microseconds(c), a, d, None if f is None else from_microseconds(f))
        for s, c, a, d, f in rows
    ]


def pairing_of(store: Store, source: str) -> Pairing | None:
    """The last pairing of one source."""
    with store.read() as connection:
        return next((p for p in read_pairings(connection) if p.source == source), None)


def open_pairing(store: Store, source: str, now: datetime) -> datetime:
    """Let the source be paired for ten minutes; forgets a secret that nobody confirmed.

    A secret that was confirmed before goes on to verify until a new one is. Returns when it closes.
    """
    closes_at = now + OPEN_FOR

    def handler(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[None]:
        connection.execute(
            text(
                "INSERT INTO pairings (source, opened_at, closes_at, address)"
                " VALUES (:source, :opened_at, :closes_at, '')"
                " ON CONFLICT (source) DO UPDATE SET opened_at = excluded.opened_at,"
                " closes_at = excluded.closes_at, address = '', secret_digest = NULL,"
                " confirmed_at = NULL"
            ),
            {
                "source": source,
                "opened_at": to_microseconds(now),
                "closes_at": to_microseconds(closes_at),
            },
        )
        return [None] * len(payloads)

    store.write_now(handler, None)
    return closes_at


def take_offers(connection: Connection, _tx: int, offers: Sequence[Offer]) -> list[bool]:
    """The handler that lets the first secret of an open pairing in, and the same one again."""
    statement = text(
        "UPDATE pairings SET secret_digest = :secret_digest, address = :address"
        " WHERE source = :source AND closes_at > :at AND confirmed_at IS NULL"
        " AND (secret_digest IS NULL OR secret_digest = :secret_digest)"
    )
    return [connection.execute(statement, offer._asdict()).rowcount == 1 for offer in offers]


def confirm_pairing(store: Store, folder: Path, source: str, digest: str) -> Path:
    """From now on the paired secret verifies; all receivers know within seconds.

    Returns the file that holds it. Raises PairingError where the digest is not that of the secret
    that came, or the secret is not in this data folder.
    """
    found = pairing_of(store, source)
    if found is None or found.secret_digest is None:
        raise PairingError(f"no secret has come for {source}; open it with: hooksift pair {source}")
    if digest != found.secret_digest:
        raise PairingError(
            f"{digest} is not the digest of the secret that came; it has {found.secret_digest}"
        )
    file, waiting = secret_file(folder, source), waiting_file(folder, source)
    with contextlib.suppress(FileNotFoundError):
        if digest_of_secret(waiting.read_text()) == digest:
            waiting.replace(file)
    if digest_of_secret(read_secret(folder, source) or "") != digest:
        raise PairingError(
            f"the secret is not in {waiting}; confirm where the receiver's data folder is"
        )
    names_to_disk(file.parent)

    def handler(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[bool]:
        statement = text(
            "UPDATE pairings SET confirmed_at = :now"
            " WHERE source = :source AND secret_digest = :digest"
        )
        now = to_microseconds(datetime.now(UTC))
        values = {"source": source, "digest": digest, "now": now}
        return [connection.execute(statement, values).rowcount == 1] * len(payloads)

    if not store.write_now(handler, None):
        raise PairingError(f"{source} was opened again meanwhile; look at its new digest")
    return file


def secret_file(folder: Path, source: str) -> Path:
    """Where the confirmed secret of a source is."""
    if not source or "/" in source or source.startswith("."):
        raise SettingsError(f"sources.{source}: a source that pairs needs a name fit for a file")
    return folder / FOLDER / source


def waiting_file(folder: Path, source: str) -> Path:
    """Where its secret waits to be confirmed."""
    return secret_file(folder, source).with_name(f"{source}.unconfirmed")


def keep_secret(folder: Path, source: str, secret: str) -> None:
    """Write a secret that waits to be confirmed: whole or not at all, for its owner only."""
    file = waiting_file(folder, source)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    names_to_disk(file.parent.parent)
    made = file.with_name(f"{file.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        made.unlink()
    number = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "w") as out:
        out.write(secret)
        out.flush()
        os.fsync(out.fileno())
    made.replace(file)
    names_to_disk(file.parent)


def names_to_disk(folder: Path) -> None:
    """A file that is on disk may be gone after a power failure as long as its name is not."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def read_secret(folder: Path, source: str) -> str | None:
    """The confirmed secret; None where there is none."""
    try:
        return secret_file(folder, source).read_text() or None
    except FileNotFoundError:
        return None
