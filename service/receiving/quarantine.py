"""Quarantine: the bytes of refused deliveries, for sources that ask for it.

A ring for each source, bounded in rows and bytes: the newest push out the oldest. What is kept
changes nothing for the sender, who was refused, and claims no dedup key, so the provider's own
retry is still taken. Once a secret is mended, `take_in_again` verifies the exact bytes as of the
moment at which they came.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, text

from service.receiving.endpoint import Endpoint
from service.receiving.request import IntakeError, KeyMissing, Request, Unparsable
from service.store import Store
from service.store.intake import Arrival, Receipt, store_arrivals
from service.store.store import words_of
from service.store.tables import Rows

MAX_BODY_BYTES = 1 << 20  # larger bodies of strangers are not worth the disk
MAX_WAITING_BYTES = 16 << 20  # in memory, of one source, until the next flush
HEADER_BYTES = 250  # of memory that a header takes beside its letters
MAX_KEPT_BYTES = 64 << 20  # on disk, of one source
PAGE_ROWS = 100
COLUMNS = (
    "id", "source", "reason", "received_at", "method", "url", "headers", "body", "address",
    "concealed",
)  # fmt: skip
SCHEMA_REASONS = frozenset({"schema_violation", "unknown_schema_version"})
NOT_KEPT = frozenset({"source_rate", "key_unavailable", "method_not_allowed"})


class Refusal(NamedTuple):
    """A refused request, as it was; `at` in microseconds since 1970."""

    endpoint: Endpoint
    request: Request
    reason: str
    address: str
    at: int


class QuarantineBuffer:
    """What was refused since the last flush, as far as it may be kept."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Refusal]] = {}
        self._bytes: Counter[str] = Counter()

    def keep(
        self, endpoint: Endpoint, request: Request, reason: str, address: str, at: int
    ) -> None:
        """Keep the request if its source asked for that; a flood pushes out itself."""
        limit = endpoint.settings.quarantine
        if not limit or reason in NOT_KEPT or len(request.body) > MAX_BODY_BYTES:
            return
        if reason in SCHEMA_REASONS and endpoint.settings.schema_failure != "quarantine":
            return
        request.payload = None  # a parsed body takes up to thirty times the room of its bytes
        source = endpoint.source
        waiting = self._waiting.setdefault(source, deque())
        waiting.append(Refusal(endpoint, request, reason, address, at))
        self._bytes[source] += size_of(request)
        while len(waiting) > limit or self._bytes[source] > MAX_WAITING_BYTES:
            self._bytes[source] -= size_of(waiting.popleft().request)

    def drain(self) -> list[Refusal]:
        """What was kept; keeping starts again."""
        waiting, self._waiting = self._waiting, {}
        self._bytes.clear()
        return [refusal for refusals in waiting.values() for refusal in refusals]


def size_of(request: Request) -> int:
    """Bytes of memory that an unparsed request takes, about."""
    headers = sum(HEADER_BYTES + len(name) + len(value) for name, value in request.headers)
    return len(request.body) + len(request.url) + headers


def row_of(refusal: Refusal, row_id: int) -> tuple[Any, ...] | None:
    """The row to store, without credentials; None where they cannot be told from the rest."""
    endpoint, request = refusal.endpoint, refusal.request
    if endpoint.reader.conceals_body and request.payload is None:
        try:
            endpoint.reader.parse(request)
        except Unparsable:
            return None
    kept = endpoint.reader.conceal(request, endpoint.digest_key)
    return (
        row_id,
        endpoint.source,
        refusal.reason,
        refusal.at,
        request.method,
        kept.url,
        msgspec.json.encode(kept.headers).decode(),
        kept.body,
        refusal.address,
        kept.changed,
    )


def store_quarantine(
    new_ids: Callable[[int], int],
) -> Callable[[Connection, int, Sequence[Any]], list[None]]:
    """The handler that stores drained refusals and cuts each ring to its length."""

    def handler(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[None]:
        refusals: list[Refusal] = [one for drained in payloads for one in drained]
        rows = [row for one in refusals if (row := row_of(one, new_ids(1))) is not None]
        words_of(connection).insert_rows(connection, Rows("quarantine", COLUMNS, rows))
        for source, keep in {
            r.endpoint.source: r.endpoint.settings.quarantine for r in refusals
        }.items():
            cut(connection, source, keep)
        return [None] * len(payloads)

    return handler


def cut(connection: Connection, source: str, keep: int, most_bytes: int = MAX_KEPT_BYTES) -> None:
    """Delete all but a source's newest rows: so many, and no more than come to so many bytes."""
    connection.execute(
        text(
            "DELETE FROM quarantine WHERE source = :source AND id <= (SELECT id FROM quarantine"
            " WHERE source = :source ORDER BY id DESC LIMIT 1 OFFSET :keep)"
        ),
        {"source": source, "keep": keep},
    )
    connection.execute(
        text(
            "DELETE FROM quarantine WHERE source = :source AND id <= (SELECT max(id) FROM ("
            "SELECT id, sum(length(body) + length(headers) + length(url)) OVER (ORDER BY id DESC)"
            " AS bytes FROM quarantine WHERE source = :source) AS kept WHERE bytes > :most_bytes)"
        ),
        {"source": source, "most_bytes": most_bytes},
    )


async def take_in_again(store: Store, endpoint: Endpoint, *, dry_run: bool = False) -> Counter[str]:
    """Verify what the quarantine of a source holds, oldest first, and take in what is now valid.

    Returns how many came to what: accepted, duplicate, handshake, concealed (its credentials were
    not kept), or the reason for which it is still refused. Those stay in quarantine.
    """
    outcomes: Counter[str] = Counter()
    last = 0
    while True:
        with store.read() as connection:
            rows = connection.execute(
                text(
                    "SELECT * FROM quarantine WHERE source = :source AND id > :last"
                    " ORDER BY id LIMIT :limit"
                ),
                {"source": endpoint.source, "last": last, "limit": PAGE_ROWS},
            ).all()
        for row in rows:
            outcomes[await _judge(store, endpoint, row, dry_run=dry_run)] += 1
            last = row.id
        if len(rows) < PAGE_ROWS:
            return outcomes


async def _judge(store: Store, endpoint: Endpoint, row: Any, *, dry_run: bool) -> str:
    if row.concealed:
        return "concealed"
    headers = [(name, value) for name, value in msgspec.json.decode(row.headers)]
    request = Request(row.method, url_now(endpoint, row.url), headers, bytes(row.body))
    try:
        arrival = await _arrival(store, endpoint, request, row)
    except IntakeError as refused:
        return refused.reason
    if dry_run:
        return "accepted" if arrival else "handshake"
    receipt: Receipt | None = await store.write(_take, (arrival, row.id))
    if receipt is None:
        return "handshake"
    return "duplicate" if receipt.duplicate else "accepted"


async def _arrival(store: Store, endpoint: Endpoint, request: Request, row: Any) -> Arrival | None:
    """The delivery as it would have been taken then; None for a handshake. Raises IntakeError."""
    reader, then = endpoint.reader, row.received_at / 1_000_000
    try:
        verified = reader.verify(request, then)
    except KeyMissing as missing:
        await missing.load()
        verified = reader.verify(request, then)
    payload = endpoint.parse(request)
    if reader.handshakes.signed(request, payload, verified.secret_index) is not None:
        return None
    if endpoint.schemas is not None:
        endpoint.schemas.check(request, payload)
    return endpoint.arrival(request, payload, verified, store.new_ids, row.received_at, row.address)


def url_now(endpoint: Endpoint, stored: str) -> str:
    """The URL under today's public URL: that may be what was mended."""
    _, mark, query = stored.partition("?")
    return f"{endpoint.public_url}{mark}{query}" if endpoint.public_url else stored


def _take(connection: Connection, tx: int, payloads: Sequence[Any]) -> list[Receipt | None]:
    """Store the arrivals and let go of their rows, in one transaction."""
    arrivals = [arrival for arrival, _ in payloads if arrival is not None]
    receipts = iter(store_arrivals(connection, tx, arrivals))
    listed = ", ".join(str(int(row_id)) for _, row_id in payloads)
    connection.execute(text(f"DELETE FROM quarantine WHERE id IN ({listed})"))
    return [None if arrival is None else next(receipts) for arrival, _ in payloads]
