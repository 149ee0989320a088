"""Closing the threads beside the writer: none may miss it, whatever it is about to do."""

import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from service.store.checkpoints import Checkpoints
from service.store.wake import CHANNEL, PostgresWake


class LastNews(threading.Event):
    """News that somebody closes in the instant before they are taken."""

    def __init__(self, close: Callable[[], None]) -> None:
        super().__init__()
        self._close = close

    def clear(self) -> None:
        self._close()
        self.set()
        super().clear()


def test_checkpoints_that_close_as_they_take_news_end(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'store.sqlite'}")
    checkpoints = Checkpoints(engine)
    checkpoints._news = LastNews(checkpoints._stop.set)
    with engine.connect() as connection:
        checkpoints.committed(connection)
    assert checkpoints._thread is not None
    checkpoints._thread.join(10)
    assert not checkpoints._thread.is_alive()


def test_a_notifier_that_closes_as_it_takes_news_ends(postgres_url: str) -> None:
    wake = PostgresWake(make_url(postgres_url))
    wake._news = LastNews(wake._stop.set)
    wake.announce({"enrich"})
    wake._threads["notifier"].join(10)
    assert not wake._threads["notifier"].is_alive()


def test_the_last_news_are_passed_on_before_the_notifier_ends(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute(f"LISTEN {CHANNEL}")
        wake = PostgresWake(make_url(postgres_url))
        heard = []
        for kind in ("first", "last"):
            wake.announce({kind})
            if kind == "last":
                wake.close()
            heard += [notice.payload for notice in other.notifies(timeout=10, stop_after=1)]
        assert heard == ["first", "last"]
