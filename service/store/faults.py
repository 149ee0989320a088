"""Whose fault a failed write is: the store's, for now, or the payload's, for good.

Hot statements do not go through SQLAlchemy, so the driver's errors come as often as its own; both
are judged by what the driver said.
"""

import sqlite3

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.errors import NotStorable

DATABASE_ERRORS = (SQLAlchemyError, sqlite3.Error, psycopg.Error)
STORE_AWAY = (
    sqlite3.OperationalError,  # disk full, read-only, locked
    psycopg.OperationalError,  # gone, shutting down, out of disk or memory, a conflict
    psycopg.InterfaceError,  # the connection is closed
    psycopg.InternalError,  # the transaction had failed, or the server turned into a replica
    psycopg.errors.InvalidSqlStatementName,  # what was prepared is gone: a new connection mends it
    psycopg.errors.DuplicatePreparedStatement,
    PoolTimeout,
)
CONFLICTS = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.UniqueViolation,  # another took the number that was free when ours looked
)
TAKEN = (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE)
PAYLOAD_FAULTS = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    psycopg.DataError,
    psycopg.IntegrityError,
    UnicodeError,  # a lone surrogate
    OverflowError,  # an integer of more than 64 bits
)


def origin_of(error: BaseException) -> BaseException:
    """What the driver raised."""
    origin = getattr(error, "orig", None)
    return origin if isinstance(origin, BaseException) else error


def is_away(error: BaseException) -> bool:
    """Whether the store as a whole cannot commit now, whatever the payload."""
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or isinstance(origin_of(error), STORE_AWAY)


def is_conflict(error: BaseException) -> bool:
    """Whether another transaction may have been in the way of this one: tried again it may pass."""
    return isinstance(origin_of(error), CONFLICTS)


def is_payload_fault(error: BaseException) -> bool:
    """Whether the database will refuse this payload again, however often it is tried."""
    return isinstance(origin_of(error), PAYLOAD_FAULTS)


def is_taken(error: NotStorable) -> bool:
    """Whether an id or a key of the payload is taken: under another it may pass."""
    origin = origin_of(error.__cause__ or error)
    if isinstance(origin, sqlite3.IntegrityError):
        return origin.sqlite_errorcode in TAKEN
    return isinstance(origin, psycopg.errors.UniqueViolation)


def is_database_error(error: BaseException) -> bool:
    """Whether a database raised it, rather than our own code."""
    return isinstance(error, DATABASE_ERRORS)


def first_line(error: BaseException) -> str:
    """The database's own words without SQL or parameters, which may hold a body."""
    origin = origin_of(error)
    return (str(origin).splitlines() or [type(origin).__name__])[0]
