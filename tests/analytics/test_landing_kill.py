"""SIGKILL at any moment of landing or tidying up: nothing is lost, nothing is doubled."""

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from analytics.history import connect
from analytics.landing import Lander
from analytics.place import Place, place_of
from analytics.settings import HistorySettings
from service.store import Store
from tests.analytics.store_facts import put_events


@contextmanager
def landing_process(url: str, data: Path) -> Iterator[subprocess.Popen[str]]:
    """A lander that runs until it is killed."""
    command = [sys.executable, "-m", "tests.analytics.landing_child", url, str(data)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        try:
            yield process
        finally:
            process.kill()


def kill_while_landing(store: Store, url: str, data: Path, seconds: float) -> list[int]:
    """Put events while a lander runs, and kill it after so long; the events' ids."""
    ids: list[int] = []
    with landing_process(url, data) as process:
        assert process.stdout is not None
        process.stdout.readline()
        killer = threading.Timer(seconds, process.kill)
        killer.start()
        while process.poll() is None:
            ids += put_events(store, 40)
        killer.join()
    return ids


def landed_ids(place: Place) -> list[int]:
    with connect(place) as history:
        return history.sql("SELECT id FROM events ORDER BY id")["id"].to_list()


def check(store: Store, url: str, data: Path, kills: int, seed: int) -> int:
    """How many events there were; each was landed once."""
    chance = random.Random(seed)
    ids: list[int] = []
    for _ in range(kills):
        ids += kill_while_landing(store, url, data, chance.uniform(0.05, 0.6))
    place = place_of(HistorySettings(), data)
    with Lander(store, place, HistorySettings()) as lander:
        lander.land()
        lander.maintain()
    assert landed_ids(place) == ids
    return len(ids)


def test_a_killed_lander_loses_and_doubles_nothing(
    store: Store, store_url: str, tmp_path: Path, record_property: Any
) -> None:
    record_property("landed_once", check(store, store_url, tmp_path, kills=2, seed=1))


@pytest.mark.heavy
@pytest.mark.parametrize("store_url", ["sqlite", "postgresql"], indirect=True)
def test_twenty_kills_lose_and_double_nothing(
    store: Store, store_url: str, tmp_path: Path, record_property: Any
) -> None:
    record_property("landed_once", check(store, store_url, tmp_path, kills=20, seed=2))
