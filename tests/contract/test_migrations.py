"""The migrations make what the models say, keep rows on the way up, and can be taken back."""

from collections.abc import Callable, Iterator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text
from sqlmodel import SQLModel

import enrich.tables  # noqa: F401 - adds its tables to the metadata
from service.errors import SchemaError
from service.store import open_store
from service.store.schema import config
from service.store.store import make_engine
from tests.analytics.store_facts import put_events


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    open_store(store_url).close()
    made = make_engine(store_url).execution_options(hooksift_writes=True)
    yield made
    made.dispose()


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def is_for(dialect: str) -> Callable[..., bool]:
    """Whether a table is one of this database's; most are of both."""
    return lambda found, *_: found.info.get("dialect", dialect) == dialect


def test_the_migrations_make_exactly_the_tables_of_the_models(engine: Engine) -> None:
    with engine.connect() as connection:
        opts = {"compare_type": True, "include_object": is_for(engine.dialect.name)}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, SQLModel.metadata) == []


def test_going_down_leaves_nothing_behind(engine: Engine) -> None:
    with engine.connect() as connection:
        with connection.begin(), config(connection) as made:
            command.downgrade(made, "base")
        assert tables(connection) == {"alembic_version"}


def test_down_and_up_again_makes_the_same_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        before = tables(connection)
        connection.rollback()
        for step in (command.downgrade, command.upgrade):
            with connection.begin(), config(connection) as made:
                step(made, "base" if step is command.downgrade else "head")
        assert tables(connection) == before


def test_a_store_with_rows_goes_down_and_opens_again(store_url: str, engine: Engine) -> None:
    store = open_store(store_url)
    put_events(store, 5)
    store.close()
    with engine.connect() as connection, connection.begin(), config(connection) as made:
        command.downgrade(made, "base")
    again = open_store(store_url)
    with again.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM events")).scalar() == 0
    again.close()


def test_rows_survive_every_step_down_and_the_way_up_again(store_url: str, engine: Engine) -> None:
    store = open_store(store_url)
    ids = put_events(store, 5)
    store.close()
    for revision in earlier_revisions(engine):
        with engine.connect() as connection, connection.begin(), config(connection) as made:
            command.downgrade(made, revision)
        again = open_store(store_url)
        with again.read() as connection:
            found = connection.execute(text("SELECT id FROM events ORDER BY id"))
            assert list(found.scalars()) == ids
        again.close()


def earlier_revisions(engine: Engine) -> list[str]:
    """All but the newest, newest first: what older programs made."""
    with engine.connect() as connection, config(connection) as made:
        scripts = list(ScriptDirectory.from_config(made).walk_revisions())
    assert len(scripts) > 1
    return [script.revision for script in scripts[1:]]


def test_opening_a_store_twice_keeps_its_rows_and_identity(store_url: str) -> None:
    first = open_store(store_url)
    put_events(first, 5)
    asked = text(
        "SELECT (SELECT count(*) FROM events), value FROM store_facts WHERE name = 'identity'"
    )
    with first.read() as connection:
        before = connection.execute(asked).one()
    first.close()
    second = open_store(store_url)
    with second.read() as connection:
        assert connection.execute(asked).one() == before
    second.close()


def test_a_newer_schema_is_refused(store_url: str, engine: Engine) -> None:
    with engine.connect() as connection, connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match="newer Hooksift"):
        open_store(store_url)


def test_a_store_is_not_upgraded_where_that_was_not_asked_for(
    store_url: str, engine: Engine
) -> None:
    with engine.connect() as connection, connection.begin(), config(connection) as made:
        command.downgrade(made, "base")
    with pytest.raises(SchemaError, match="not this program's"):
        open_store(store_url, upgrade=False)
