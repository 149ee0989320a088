"""A program that goes on while a newer one upgrades its store: it writes nothing into that."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, Engine, text

from service.errors import StoreUnavailable
from service.store import Store, open_store, writer
from service.store.schema import config
from service.store.store import make_engine
from tests.contract.names import kept, put


@pytest.fixture
def other(store: Store) -> Iterator[Engine]:
    """What another process has of the store."""
    url = store.engine.url.render_as_string(hide_password=False)
    engine = make_engine(url).execution_options(hooksift_writes=True)
    yield engine
    engine.dispose()


def migrate(engine: Engine, step: Callable[..., None], revision: str) -> None:
    with engine.connect() as connection, connection.begin(), config(connection) as made:
        step(made, revision)


def set_revision(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))


def test_it_refuses_to_write_and_says_what_to_do(store: Store, other: Engine) -> None:
    store.write_now(put, "t-before")
    set_revision(other, "9999")
    with pytest.raises(StoreUnavailable, match=r"schema 9999.*start the newer Hooksift"):
        store.write_now(put, "t-late")
    assert kept(store) == ["t-before"]


def test_it_writes_again_once_the_schema_is_its_own(store: Store, other: Engine) -> None:
    store.write_now(put, "t-before")
    migrate(other, command.downgrade, "-1")
    with pytest.raises(StoreUnavailable, match="has schema"):
        store.write_now(put, "t-late")
    migrate(other, command.upgrade, "head")
    store.write_now(put, "t-again")
    assert kept(store) == ["t-again", "t-before"]


def test_who_was_written_just_before_is_told_so(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next transaction begins with that commit, and is not written in."""
    monkeypatch.setattr(writer, "OFTEN_SECONDS", 60.0)
    with closing(open_store(postgres_url)) as store, closing(open_store(postgres_url)) as newer:

        def put_while_upgraded(connection: Connection, tx: int, names: Sequence[Any]) -> list[Any]:
            set_revision(newer.engine, "9999")
            return put(connection, tx, names)

        store.write_now(put, "t-1")
        store.write_now(put_while_upgraded, "t-2")
        with pytest.raises(StoreUnavailable, match="schema 9999"):
            store.write_now(put, "t-3")
        assert kept(store) == ["t-1", "t-2"]


def test_an_upgrade_of_postgresql_waits_for_what_is_being_written(postgres_url: str) -> None:
    separator = "&" if "?" in postgres_url else "?"
    impatient = f"{postgres_url}{separator}options=-c%20lock_timeout%3D50"
    older = make_engine(postgres_url)
    migrate(older, command.downgrade, "0003")

    def upgrade(_connection: Connection, _tx: int, payloads: Sequence[Any]) -> Sequence[Any]:
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            open_store(impatient)
        return payloads

    with closing(Store(older, "0003")) as store:
        store.write_now(upgrade, None)
    open_store(impatient).close()
