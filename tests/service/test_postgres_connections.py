"""Connections to PostgreSQL: how long they wait for a server that has vanished."""

from contextlib import closing
from typing import Any

import pytest

from service.store import open_store


def limits_of(url: str) -> dict[str, str]:
    """What a connection of a store goes by, where that is not libpq's default."""
    with closing(open_store(url)) as store, store.engine.connect() as connection:
        session: Any = connection.connection.driver_connection
        found: dict[str, str] = session.info.get_parameters()
        return found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connect_timeout", "5"),
        ("keepalives_idle", "10"),
        ("keepalives_interval", "5"),
        ("keepalives_count", "3"),
        ("tcp_user_timeout", "15000"),
    ],
)
def test_it_is_given_up_within_seconds(postgres_url: str, name: str, value: str) -> None:
    assert limits_of(postgres_url)[name] == value


def test_what_the_url_says_goes_first(postgres_url: str) -> None:
    separator = "&" if "?" in postgres_url else "?"
    found = limits_of(f"{postgres_url}{separator}keepalives_idle=99")
    assert (found["keepalives_idle"], found["keepalives_interval"]) == ("99", "5")
