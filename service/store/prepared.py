"""PostgreSQL's hot statements, prepared once on each connection and run straight through libpq.

psycopg's cursor cost two to three times the CPU of the statement it ran. Parameters are columns of
rows as arrays in their binary form, which neither side has to escape or parse: as text a body of
2 KB would be 4 KB of hex digits that the server reads twice. The layout is that of array_recv and
array_send:
https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/adt/arrayfuncs.c
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from psycopg.abc import PQGen
from psycopg.errors import OperationalError, error_from_result
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait
from sqlalchemy import Connection

NULL = b"\xff\xff\xff\xff"
HEAD = struct.Struct(">iiI").pack  # of an array: dimensions, whether NULLs may come, element type
COUNT = struct.Struct(">ii").pack  # its length and lower bound
LENGTH = struct.Struct(">i").pack
BIGINT_OID = 20
TEXT_OID = 25
BINARY = 1
FINE = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)
Parameter = tuple[int, bytes]  # the oid of its type, and the value in its binary form
Statement = tuple[str, Sequence[Parameter]]  # with $1, $2 … for its parameters


def run(connection: Connection, statement: str, parameters: Sequence[Parameter]) -> PGresult:
    """Run a statement in this connection's transaction. Raises psycopg.Error.

    The types of its parameters must be the same each time. psycopg itself must prepare nothing on
    this connection: after a rollback it would let go of our statements with its own.
    """
    pgconn = in_transaction(connection)
    name = prepared(connection, statement, parameters)
    values = [data for _, data in parameters]
    return checked(pgconn.exec_prepared(name, values, [BINARY] * len(values)))


def run_together(
    connection: Connection, statements: Sequence[Statement], needed: int
) -> list[PGresult]:
    """Run statements in one round trip; their results. None runs after one that failed.

    Those without parameters are not prepared. Raises psycopg.Error where one of the first `needed`
    did not work; how the others went is for the caller to see. Where the connection was lost their
    results are missing, and it is invalidated.
    """
    pgconn = in_transaction(connection)
    names = [
        prepared(connection, statement, parameters) if parameters else None
        for statement, parameters in statements
    ]
    pgconn.enter_pipeline_mode()
    for name, (statement, parameters) in zip(names, statements, strict=True):
        if name is None:
            pgconn.send_query_params(statement.encode(), None)
        else:
            values = [data for _, data in parameters]
            pgconn.send_query_prepared(name, values, [BINARY] * len(values))
    pgconn.pipeline_sync()
    driver: Any = connection.connection.driver_connection
    results: list[PGresult]
    results, lost = driver.wait(received(pgconn))
    if lost is None:
        pgconn.exit_pipeline_mode()
    else:
        connection.invalidate()
    for result in results[:needed]:
        checked(result)
    if lost is not None and len(results) < needed:
        raise lost
    return results


def received(pgconn: PGconn) -> PQGen[tuple[list[PGresult], OperationalError | None]]:
    """The results of all that was sent, up to the end of the pipeline or of the connection."""
    results: list[PGresult] = []
    try:
        while pgconn.flush():  # PostgreSQL may want to be read from before it reads on
            if (yield Wait.RW) & Ready.R:
                pgconn.consume_input()
        while True:
            while pgconn.is_busy():
                yield Wait.R
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:  # the end of one statement's
                if pgconn.status != ConnStatus.OK:
                    return results, OperationalError(pgconn.get_error_message())
            elif result.status == ExecStatus.PIPELINE_SYNC:
                return results, None
            else:
                results.append(result)
    except OperationalError as error:
        return results, error


def run_plain(connection: Connection, statements: str) -> PGresult:
    """Run statements without parameters in one round trip; the last one's result."""
    return checked(libpq(connection).exec_(statements.encode()))


def libpq(connection: Connection) -> PGconn:
    """The connection as libpq knows it."""
    pgconn: PGconn = connection.connection.driver_connection.pgconn  # type: ignore[union-attr]
    return pgconn


def in_transaction(connection: Connection) -> PGconn:
    """The same; RuntimeError where no transaction is open."""
    pgconn = libpq(connection)
    if pgconn.transaction_status == TransactionStatus.IDLE:
        raise RuntimeError("no transaction is open; rows are written by the store's writer")
    return pgconn


def prepared(connection: Connection, statement: str, parameters: Sequence[Parameter]) -> bytes:
    """The name of the statement on this connection, prepared at its first use."""
    names: dict[str, bytes] = connection.info.setdefault("prepared", {})
    name = names.get(statement)
    if name is None:
        name = b"hooksift_%d" % len(names)
        oids = [oid for oid, _ in parameters]
        checked(libpq(connection).prepare(name, statement.encode(), oids))
        names[statement] = name
    return name


def is_fine(result: PGresult) -> bool:
    """Whether a statement worked."""
    return result.status in FINE


def checked(result: PGresult) -> PGresult:
    """The result of a statement that worked. Raises the psycopg.Error of one that did not."""
    if is_fine(result):
        return result
    if result.error_field(DiagnosticField.SQLSTATE) is None:  # libpq says it: the server is gone
        raise OperationalError(result.get_error_message())
    raise error_from_result(result)


def rows_of(result: PGresult) -> list[tuple[str, ...]]:
    """The rows as text; they hold no NULL."""
    columns = range(result.nfields)
    return [
        tuple((result.get_value(row, column) or b"").decode() for column in columns)
        for row in range(result.ntuples)
    ]


def bigint(value: int) -> Parameter:
    """One bigint."""
    return BIGINT_OID, struct.pack(">q", value)


def words(value: str) -> Parameter:
    """One text."""
    return TEXT_OID, value.encode()


def one_text(value: str) -> bytes:
    """An element of text[]."""
    raw = value.encode()
    return LENGTH(len(raw)) + raw


def one_bytes(value: bytes) -> bytes:
    """An element of bytea[]."""
    return LENGTH(len(value)) + value


def one_bool(value: object) -> bytes:
    """An element of boolean[]."""
    return b"\0\0\0\1\1" if value else b"\0\0\0\1\0"


def one_number(letter: str) -> Callable[[Any], bytes]:
    """How an element of one of struct's formats is encoded."""
    return partial(struct.Struct(f">i{letter}").pack, struct.calcsize(f">{letter}"))


KINDS: dict[str, tuple[int, bytes, Callable[[Any], bytes]]] = {
    # The oid of the array, the beginning of its header, and how an element is encoded.
    "BOOLEAN": (1000, HEAD(1, 1, 16), one_bool),
    "BYTEA": (1001, HEAD(1, 1, 17), one_bytes),
    "BIGINT": (1016, HEAD(1, 1, BIGINT_OID), one_number("q")),
    "INTEGER": (1007, HEAD(1, 1, 23), one_number("i")),
    "TEXT": (1009, HEAD(1, 1, TEXT_OID), one_text),
    "FLOAT": (1022, HEAD(1, 1, 701), one_number("d")),
}


def array_of(kind: str, values: Sequence[Any]) -> Parameter:
    """The values, of which there is at least one, as an array of this SQL type; None is NULL.

    Raises UnicodeError for a lone surrogate and OverflowError for an integer that does not fit.
    """
    array_oid, head, encode = KINDS[kind]
    first, count = values[0], len(values)
    try:
        if values.count(first) == count:  # as in most columns of deliveries that come together
            elements = (NULL if first is None else encode(first)) * count
        elif None in values:
            elements = b"".join([NULL if value is None else encode(value) for value in values])
        else:
            elements = b"".join(map(encode, values))
    except struct.error as error:
        raise OverflowError(f"a value does not fit {kind}: {error}") from error
    return array_oid, b"".join((head, COUNT(count, 1), elements))


def arrays_of(kinds: Iterable[str], rows: Sequence[Sequence[Any]]) -> list[Parameter]:
    """One array for each column of the rows, of which there is at least one."""
    columns = zip(*rows, strict=True)
    return [array_of(kind, values) for kind, values in zip(kinds, columns, strict=True)]
