"""From rows of the store to Arrow tables in the shape of the history."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection

from analytics.dictionary import Table
from service.lifecycle.person_scan import unpack
from service.receiving.refusals import prefix_of

ARROW: dict[str, pa.DataType] = {
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "VARCHAR": pa.string(),
    "VARCHAR[]": pa.list_(pa.string()),
    "DOUBLE[]": pa.list_(pa.float64()),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
}
MOST = 2**31 - 1  # of an INTEGER
DELIVERIES = "SELECT id, preset, method, url, address, delivery_key, verified, body FROM deliveries"
DELIVERY_COLUMNS = (
    "preset",
    "method",
    "request_url",
    "address_prefix",
    "delivery_key",
    "verified",
    "body",
    "body_bytes",
)
IDS_AT_ONCE = 1_000  # in the text of one statement
UNPACKED_BYTES = 1 << 20  # of a packed body: few bytes may stand for many


def to_arrow(
    table: Table, rows: Sequence[Any], landed_at: datetime, deliveries: dict[int, Any]
) -> pa.Table:
    """Rows of a fact table as the history holds them; events with their delivery's facts."""
    names = list(rows[0]._fields)
    values: dict[str, Sequence[Any]] = dict(zip(names, zip(*rows, strict=True), strict=True))
    if table.name == "events":
        values |= _delivery_values(values, deliveries)
    values["landed_at"] = [landed_at] * len(rows)
    arrays = [
        _array(values[column.name], column.type)
        if column.name in values
        else pa.nulls(len(rows), ARROW[column.type])
        for column in table.columns
    ]
    return pa.Table.from_arrays(arrays, names=list(table.names))


def _array(values: Sequence[Any], kind: str) -> pa.Array:
    if kind == "VARCHAR":
        # Neither PostgreSQL nor an inlined row of an SQLite catalog can hold a NUL in a text.
        return pc.replace_substring(pa.array(values, pa.string()), "\0", "\ufffd")
    if kind == "BOOLEAN":
        return pa.array([None if value is None else bool(value) for value in values], pa.bool_())
    if kind == "INTEGER":
        # SQLite holds any number: one that the history cannot would stop all that comes after it.
        whole = pa.array(values, pa.int64())
        return pc.min_element_wise(whole, MOST, skip_nulls=False).cast(ARROW[kind])
    if kind == "VARCHAR[]":
        return pa.array([_words(value) for value in values], ARROW[kind])
    if kind == "DOUBLE[]":
        return pa.array([msgspec.json.decode(value) for value in values], ARROW[kind])
    return pa.array(values, ARROW[kind])


@lru_cache(maxsize=4096)
def _words(json: str | None) -> list[str]:
    found = msgspec.json.decode(json) if json else []
    return [str(word).replace("\0", "\ufffd") for word in found]


def _delivery_values(
    events: dict[str, Sequence[Any]], deliveries: dict[int, Any]
) -> dict[str, Sequence[Any]]:
    facts = [
        _event_facts(deliveries.get(delivery_id), payload)
        for delivery_id, payload in zip(events["delivery_id"], events["payload"], strict=True)
    ]
    return dict(zip(DELIVERY_COLUMNS, zip(*facts, strict=True), strict=True))


def deliveries_of(events: Sequence[Any], connection: Connection) -> dict[int, Any]:
    """The deliveries that these events came with, by their ids."""
    wanted = sorted({event.delivery_id for event in events})
    found: dict[int, Any] = {}
    for start in range(0, len(wanted), IDS_AT_ONCE):
        listed = ",".join(map(str, wanted[start : start + IDS_AT_ONCE]))  # integers only
        part = connection.exec_driver_sql(f"{DELIVERIES} WHERE id IN ({listed})")
        found.update((row[0], row) for row in part)
    return found


def _event_facts(delivery: Any, payload: str | None) -> tuple[Any, ...]:
    """In the order of DELIVERY_COLUMNS; the body is NULL where retention has dropped it."""
    if delivery is None:  # its delivery is gone already
        size = None if payload is None else len(payload.encode())
        return (None, None, None, None, None, None, payload, size)
    _, preset, method, url, address, key, verified, raw = delivery
    if payload is not None:
        raw = payload.encode()
    size = len(raw) if raw else None
    return (preset, method, url, _prefix(address), key, verified, _text(raw), size)


def _text(raw: bytes | None) -> str | None:
    """A body as a person reads it."""
    if not raw:
        return None
    body = bytes(raw)
    try:
        return body.decode()
    except UnicodeDecodeError:  # as every gzip body
        return (unpack(body, UNPACKED_BYTES) or body).decode("utf-8", "replace")


_prefix: Callable[[str], str] = lru_cache(maxsize=65_536)(prefix_of)


def size_of(page: pa.Table) -> int:
    """Bytes that a page takes in memory, about."""
    return int(page.nbytes)
