"""Readers neither wait for the lander nor hold it up."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from analytics.history import connect
from analytics.landing import Lander
from analytics.place import Place
from service.store import Store
from tests.analytics.store_facts import put_events

EVENTS_EACH = 3


def read_while_landing(
    store: Store, lander: Lander, place: Place, landings: int, merge_every: int
) -> tuple[list[int], float]:
    """Two readers ask without a pause through that many landings; their questions, the slowest."""
    put_events(store, EVENTS_EACH)
    lander.land()
    folder, want = str(Path(place.catalog).parent), str(EVENTS_EACH * landings)
    command = [sys.executable, "-m", "tests.analytics.reading_child", folder, want]
    root = Path(__file__).parents[2]
    readers = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root
        )
        for _ in range(2)
    ]
    for reader in readers:
        assert reader.stdout is not None
        reader.stdout.readline()  # it has begun to ask
    slowest = 0.0
    for turn in range(landings - 1):
        put_events(store, EVENTS_EACH)
        started = time.monotonic()
        lander.land()
        if turn % merge_every == 0:
            lander.maintain()
        slowest = max(slowest, time.monotonic() - started)
    shown = [reader.communicate(timeout=120) for reader in readers]
    assert [reader.returncode for reader in readers] == [0, 0], shown
    return [int(out.split()[0]) for out, _ in shown], slowest


def test_readers_and_lander_work_side_by_side(store: Store, lander: Lander, place: Place) -> None:
    asked, _ = read_while_landing(store, lander, place, 40, merge_every=4)
    assert min(asked) > 5


def test_a_reader_at_a_version_holds_up_no_landing_and_sees_none(
    store: Store, lander: Lander, place: Place
) -> None:
    put_events(store, 500)
    lander.land()
    with connect(place, version=newest(place)) as history:
        before = history.sql("SELECT count(*) AS n FROM events").item()
        for _ in range(5):
            put_events(store, 500)
            lander.land()
            lander.maintain()
        assert history.sql("SELECT count(*) AS n FROM events").item() == before


def newest(place: Place) -> int:
    with connect(place) as history:
        return int(history.sql("SELECT id FROM ducklake_current_snapshot('history')").item())


@pytest.mark.heavy
def test_two_thousand_landings_under_two_readers(
    store: Store, lander: Lander, place: Place
) -> None:
    asked, slowest = read_while_landing(store, lander, place, 2000, merge_every=20)
    print(f"2,000 landings (slowest {slowest:.2f} s), readers asked {asked} times")
    assert min(asked) > 100
