"""Histories for the tests: empty ones beside a store, and a made-up one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from analytics.history import History, connect
from analytics.landing import Lander
from analytics.place import Place, place_of
from analytics.settings import HistorySettings
from service.store import Store, open_store
from tests.conftest import url_of_a_store


@pytest.fixture
def store_url(request: pytest.FixtureRequest) -> str:
    """An empty SQLite store; with `on_both_stores`, also one on PostgreSQL."""
    return url_of_a_store(request, getattr(request, "param", "sqlite"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Where a new history is to be, with an SQLite catalog."""
    return place_of(HistorySettings(), tmp_path)


@pytest.fixture
def open_lander(store: Store, place: Place) -> Iterator[Callable[..., Lander]]:
    """Opens landers of the store into the history; closed at the end."""
    opened: list[Lander] = []

    def open_it(settings: HistorySettings | None = None, from_store: Store | None = None) -> Lander:
        opened.append(Lander(from_store or store, place, settings or HistorySettings()))
        return opened[-1]

    yield open_it
    for lander in opened:
        lander.close()


@pytest.fixture
def lander(open_lander: Callable[..., Lander]) -> Lander:
    """A lander of the store into a new history."""
    return open_lander()


@pytest.fixture
def history(lander: Lander, place: Place) -> Iterator[History]:
    """The history that `lander` writes, open for reading."""
    with connect(place) as opened:
        yield opened


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """A history that nothing has been landed into."""
    folder = tmp_path_factory.mktemp("empty")
    store = open_store(f"sqlite:///{folder / 'store.sqlite'}")
    place = place_of(HistorySettings(), folder)
    Lander(store, place, HistorySettings()).close()
    store.close()
    with connect(place) as opened:
        yield opened


@pytest.fixture(scope="session")
def made(made_place: Place) -> Iterator[History]:
    """The made-up history, open for reading."""
    with connect(made_place) as opened:
        yield opened
