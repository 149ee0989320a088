"""The schema of the store: made on first use, upgraded on the next, refused when newer."""

import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from service.errors import SchemaError, StoreUnavailable
from service.store.faults import DATABASE_ERRORS, first_line

UPGRADE_LOCK = 0x486F6F6B  # advisory lock: one process upgrades, the others wait


@contextmanager
def config(connection: Connection) -> Iterator[Config]:
    """Alembic's configuration on this connection, from the installed package."""
    with as_file(files("service") / "migrations") as folder:
        made = Config()
        made.set_main_option("script_location", str(folder).replace("%", "%%"))
        made.attributes["connection"] = connection
        yield made


def prepare(engine: Engine, *, upgrade: bool) -> str:
    """Bring the schema to this program's version; which that is.

    Raises SchemaError when that cannot be.
    """
    try:
        with engine.execution_options(hooksift_writes=upgrade).connect() as connection:
            own = _own_revision(connection)
            if _revision(connection) == own:
                return own
            connection.rollback()
            with connection.begin(), config(connection) as made:
                if engine.dialect.name == "postgresql":
                    connection.execute(text(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})"))
                _refuse_newer(connection, made)
                if not upgrade:
                    raise SchemaError(
                        "the store's schema is not this program's; run: hooksift check"
                    )
                if engine.dialect.name == "postgresql" and _revision(connection):
                    # Which all that is being written has looked at: it ends first.
                    connection.execute(text("LOCK TABLE alembic_version"))
                command.upgrade(made, "head")
                _seed(connection)
                return own
    except DATABASE_ERRORS as error:
        message = first_line(error)
        if "not a database" in message or "malformed" in message:
            raise SchemaError(
                f"the store {engine.url.database} is damaged: {message}; restore it from a backup"
            ) from error
        raise


def refuse_other(connection: Connection, found: str) -> None:
    """Raises StoreUnavailable where the store's schema is not the one this program opened it with.

    Writers ask with each transaction: a newer program may have upgraded the store meanwhile.
    """
    own = connection.get_execution_options()["hooksift_schema"]
    if found != own:
        raise StoreUnavailable(
            f"the store has schema {found} now, and this program writes {own};"
            " stop it, and start the newer Hooksift"
        )


def _own_revision(connection: Connection) -> str:
    with config(connection) as made:
        return str(ScriptDirectory.from_config(made).get_current_head())


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(connection: Connection, made: Config) -> None:
    found = _revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(made).walk_revisions()}
    if found is not None and found not in known:
        raise SchemaError(
            f"the store has schema {found}, which this program does not know;"
            " it was made by a newer Hooksift: upgrade the program, or restore an older backup"
        )


def _seed(connection: Connection) -> None:
    for name, number, value in (
        ("transaction", 0, ""),
        ("node", 0, ""),
        ("identity", 0, uuid.uuid4().hex),
        ("digest_key", 0, secrets.token_hex(32)),
    ):
        connection.execute(
            text(
                "INSERT INTO store_facts (name, number, value) VALUES (:name, :number, :value)"
                " ON CONFLICT (name) DO NOTHING"
            ),
            {"name": name, "number": number, "value": value},
        )
