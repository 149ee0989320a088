"""Finding a person in the store: every text of every table, however it is written.

Text is looked at as it is, with JSON and percent escapes undone, and unpacked where it is
compressed; upper and lower case are the same, and so are the two ways to write an accent: in the
letter, or after it. What is encrypted or in base64 is not seen.
"""

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import normalize
from urllib.parse import quote, quote_plus, unquote_plus

from sqlalchemy import Connection, LargeBinary, String, inspect, text

PAGE_ROWS = 500
CHUNK_BYTES = 1 << 20
MAX_UNPACKED_BYTES = 64 << 20
UNSEARCHED = frozenset(
    {"alembic_version", "store_facts", "dedup_keys", "dedup_recent", "tombstones", "audit"}
)
ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
# A text in which a word can stand otherwise than in small ASCII letters has one of these in it.
WRITTEN_OTHERWISE = r"[^\x00-\x7f]|\\[u/]|[%+]"


class Table(NamedTuple):
    """A table as the scan needs it: its key, and its columns that may hold text."""

    name: str
    key: tuple[str, ...]
    texts: tuple[str, ...]
    has_event: bool


class Hit(NamedTuple):
    """A row in which the person stands, and in which columns."""

    table: Table
    key: tuple[Any, ...]
    event_id: int | None
    columns: tuple[str, ...]


def tables_of(connection: Connection) -> list[Table]:
    """Every table of the store that could hold text from outside, whoever owns it."""
    inspector = inspect(connection)
    found = []
    for name in sorted(set(inspector.get_table_names()) - UNSEARCHED):
        columns = inspector.get_columns(name)
        key = tuple(inspector.get_pk_constraint(name)["constrained_columns"])
        texts = tuple(c["name"] for c in columns if isinstance(c["type"], String | LargeBinary))
        has_event = any(c["name"] == "event_id" for c in columns)
        found.append(Table(name, key, texts, has_event))
    return found


def find_person(connection: Connection, words: Sequence[str]) -> Iterator[Hit]:
    """Every row of every table that holds one of the words (`folded`)."""
    for table in tables_of(connection):
        for row in rows_of(connection, table):
            columns = tuple(c for c in table.texts if holds(row[c], words))
            if columns:
                event_id = row["event_id"] if table.has_event else None
                yield Hit(table, tuple(row[c] for c in table.key), event_id, columns)


def rows_of(connection: Connection, table: Table) -> Iterator[Any]:
    """The rows of a table, a page at a time in the order of its key."""
    columns = dict.fromkeys((*table.key, *table.texts, *(["event_id"] if table.has_event else [])))
    key = ", ".join(table.key)
    marks = ", ".join(f":k{number}" for number in range(len(table.key)))
    after: dict[str, Any] = {}
    while True:
        condition = f"WHERE ({key}) > ({marks})" if after else ""
        statement = (
            f"SELECT {', '.join(columns)} FROM {table.name} {condition}"
            f" ORDER BY {key} LIMIT {PAGE_ROWS}"
        )
        rows = connection.execute(text(statement), after).mappings().all()
        yield from rows
        if len(rows) < PAGE_ROWS:
            return
        after = {f"k{number}": rows[-1][c] for number, c in enumerate(table.key)}


def holds(value: Any, words: Sequence[str]) -> bool:
    """Whether one of the words stands in a value, however it is written there."""
    if not isinstance(value, str | bytes):
        return False
    return any(word in form for form in forms_of(value) for word in words)


def forms_of(value: str | bytes) -> Iterator[str]:
    """The value as text, `folded`: as it is, unpacked, with escapes undone."""
    if isinstance(value, bytes):
        unpacked = unpack(value)
        if unpacked is not None:
            yield from forms_of(unpacked.decode("utf-8", "replace"))
        value = value.decode("utf-8", "replace")
    yield folded(value)
    if "\\" in value:
        yield folded(unescaped(value))
    if "%" in value or "+" in value:
        yield folded(unquote_plus(value))


def folded(value: str) -> str:
    """Text in lower case, each accent in its letter."""
    return normalize("NFC", value.casefold())


def unpack(value: bytes, limit: int = MAX_UNPACKED_BYTES) -> bytes | None:
    """A gzip or zlib body unpacked, as far as the limit; None where it is neither."""
    if not value.startswith((b"\x1f\x8b", b"\x78")):
        return None
    try:
        return zlib.decompressobj(wbits=47).decompress(value, limit)
    except zlib.error:
        return None


def unescaped(value: str) -> str:
    r"""Text with JSON's `\u0041` and `\/` undone."""
    return ESCAPE.sub(lambda found: chr(int(found[1], 16)), value).replace("\\/", "/")


def files_that_hold(paths: Sequence[Path], words: Sequence[str]) -> list[str]:
    """Names of the files in whose raw bytes a word stands, free space included."""
    wanted = sorted({form for word in words for form in _bytes_of(word)})
    return [path.name for path in paths if path.is_file() and _file_holds(path, wanted)]


def _bytes_of(word: str) -> Iterator[bytes]:
    """How a word may stand in a file: with JSON or percent escapes, in capitals, accents apart."""
    cases = (word, word.upper(), word.title())
    for written in (*cases, *(normalize("NFD", case) for case in cases)):
        escaped = json.dumps(written)[1:-1]
        for form in (
            written,
            escaped,
            escaped.replace("/", "\\/"),
            quote(written),
            quote_plus(written),
        ):
            yield form.encode().lower()


def _file_holds(path: Path, words: Sequence[bytes]) -> bool:
    overlap, tail = max(map(len, words)), b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            window = tail + chunk.lower()
            if any(word in window for word in words):
                return True
            tail = window[-overlap:]
    return False
