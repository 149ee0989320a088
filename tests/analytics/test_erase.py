"""A person who was erased is nowhere: not in a table, a snapshot, a data file, or the catalog."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import polars as pl
import pytest

from analytics.erase import MARK, _begin, _delete, count_person, erase_person
from analytics.errors import HistoryError
from analytics.history import attach, connect
from analytics.landing import Lander
from analytics.place import Place
from service.lifecycle.erasure import ErasureError, look, wanted_words
from service.store import Store
from tests.analytics.store_facts import put, put_events
from tests.contract.test_lifecycle_erase import FORMS, PERSON, PLACES, written_in


def places_that_hold(place: Place, word: str) -> list[str]:
    """Every file of the history in which the word stands, compressed or not."""
    found = []
    for file in sorted(Path(place.catalog).parent.rglob("*")):
        if not file.is_file():
            continue
        content = file.read_bytes()
        if file.suffix == ".parquet":
            content += str(pl.read_parquet(file).to_dicts()).encode()
        if word.encode() in content:
            found.append(file.name)
    return found


def fill(store: Store, lander: Lander) -> list[int]:
    """Several landings, files merged in between, with the person first, last and in the middle."""
    kept = []
    for _ in range(3):
        kept += put_events(store, 30)
        (event,) = put_events(
            store, 1, customer=PERSON, body=f'{{"from": "{PERSON.upper()}"}}'.encode()
        )
        put(store, "enrichments", {"event_id": event, "summary": f"{PERSON} cannot sign in"})
        put(store, "labels", {"event_id": event})
        lander.land()
        lander.maintain()
    put_events(store, 1, text=f"please call {PERSON}")
    lander.land()
    return kept


def test_an_erased_person_is_found_in_no_file(store: Store, lander: Lander, place: Place) -> None:
    fill(store, lander)
    assert places_that_hold(place, PERSON)  # the scan can see
    erase_person(place, [PERSON])
    assert places_that_hold(place, PERSON) + places_that_hold(place, PERSON.upper()) == []


def test_a_file_that_was_never_committed_goes(store: Store, lander: Lander, place: Place) -> None:
    """Though the person is in no row: a lander was killed, and the store has erased them since."""
    fill(store, lander)
    files = {file: file.read_bytes() for file in Path(place.files).rglob("*.parquet")}
    erase_person(place, [PERSON])
    for file, content in files.items():
        file.write_bytes(content)
    erase_person(place, [PERSON])
    assert places_that_hold(place, PERSON) == []


def test_a_snapshot_that_a_fast_clock_has_dated_ends_too(
    store: Store, lander: Lander, place: Place
) -> None:
    fill(store, lander)
    lander.close()
    with closing(sqlite3.connect(place.catalog)) as catalog, catalog:
        catalog.execute("UPDATE ducklake_snapshot SET snapshot_time = '2999-01-01 00:00:00+00'")
    erase_person(place, [PERSON])
    assert places_that_hold(place, PERSON) == []


def test_everybody_else_stays(store: Store, lander: Lander, place: Place) -> None:
    kept = fill(store, lander)
    erase_person(place, [PERSON])
    assert events_in(place) == kept


def test_all_that_hung_on_the_person_s_events_goes(
    store: Store, lander: Lander, place: Place
) -> None:
    fill(store, lander)
    gone = erase_person(place, [PERSON])
    assert gone == {"events": 4, "attempts": 0, "enrichments": 3, "actions": 0, "labels": 3}


def test_what_the_store_finds_goes_from_the_history_wherever_it_stands(
    store: Store, lander: Lander, place: Place
) -> None:
    for in_the_store in PLACES:
        written_in(store, *in_the_store)
    lander.land()
    erase_person(place, [PERSON], look(store, wanted_words([PERSON])).events)
    assert events_in(place) == []


@pytest.mark.parametrize("form", FORMS)
def test_what_the_store_finds_goes_from_the_history_however_it_is_written(
    store: Store, lander: Lander, place: Place, form: str
) -> None:
    put_form(store, form)
    lander.land()
    erase_person(place, [PERSON], look(store, wanted_words([PERSON])).events)
    assert events_in(place) == []


@pytest.mark.parametrize("form", FORMS)
def test_what_the_store_no_longer_holds_goes_however_it_is_written(
    store: Store, lander: Lander, place: Place, form: str
) -> None:
    put_form(store, form)
    lander.land()
    erase_person(place, [PERSON])
    assert events_in(place) == []


@pytest.mark.parametrize(
    ("table", "column"),
    [("events", "level"), ("attempts", "model"), ("labels", "author"), ("enrichments", "tags")],
)
def test_every_text_of_the_history_is_looked_into(
    store: Store, lander: Lander, place: Place, table: str, column: str
) -> None:
    value = json.dumps([PERSON]) if column == "tags" else PERSON
    put(store, table, {column: value})
    lander.land()
    assert count_person(place, [PERSON])[table] == 1


def test_case_and_combining_accents_are_no_hiding_place_in_the_history(
    store: Store, lander: Lander, place: Place
) -> None:
    put_events(store, 1, title="ÉLODIE Straße")
    put_events(store, 1, body=b'{"by": "\\u00c9lodie Stra\\u00dfe"}')
    put_events(store, 1, title="E\u0301lodie Straße")
    lander.land()
    assert count_person(place, ["élodie strasse"])["events"] == 3


def put_form(store: Store, form: str) -> None:
    """An event whose body is, or holds, the person so written."""
    written = FORMS[form]
    put_events(store, 1, body=written.encode() if isinstance(written, str) else written)


def events_in(place: Place) -> list[int]:
    with connect(place) as history:
        return history.sql("SELECT id FROM events ORDER BY id")["id"].to_list()


def test_what_would_go_is_counted_and_stays(store: Store, lander: Lander, place: Place) -> None:
    fill(store, lander)
    assert count_person(place, [PERSON]) == count_person(place, [PERSON.upper()])
    assert count_person(place, [PERSON]) == erase_person(place, [PERSON])


def test_landing_goes_on_after_an_erasure(store: Store, lander: Lander, place: Place) -> None:
    fill(store, lander)
    erase_person(place, [PERSON])
    put_events(store, 5)
    assert lander.land().row_count == 5


def test_a_word_that_would_hit_everybody_is_refused(lander: Lander, place: Place) -> None:
    with pytest.raises(ErasureError, match="at least 4 letters"):
        erase_person(place, ["e"])


def cut_off(place: Place) -> None:
    """An erasure that a killed process has left: rows are deleted, and no more."""
    lake = attach(place, read_only=False)
    _begin(lake, place)
    _delete(lake, [PERSON], [])
    lake.close()


def test_an_erasure_that_was_cut_off_is_finished_by_the_next(
    store: Store, lander: Lander, place: Place
) -> None:
    fill(store, lander)
    cut_off(place)
    assert places_that_hold(place, PERSON)
    erase_person(place, [PERSON])
    assert places_that_hold(place, PERSON) + places_that_hold(place, PERSON.upper()) == []


def test_an_erasure_of_nobody_leaves_older_snapshots(
    store: Store, lander: Lander, place: Place
) -> None:
    fill(store, lander)
    for _ in range(2):
        erase_person(place, ["nobody known"])
    with connect(place, version=3) as history:
        assert not history.sql("SELECT id FROM events").is_empty()


# In another process: DuckDB's SQLite and Python's do not see each other's locks within one.
READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM ducklake_snapshot").fetchall()
print("reading", flush=True)
sys.stdin.read()
"""
IDLE = """
import sys
from analytics import connect
history = connect(sys.argv[1])
history.sql("SELECT count(*) FROM events")
print("reading", flush=True)
sys.stdin.read()
"""


@contextmanager
def beside(code: str, place: Place) -> Iterator[None]:
    """Another process that has the history open."""
    command = [sys.executable, "-c", code, place.catalog]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"reading\n"
        yield


def test_an_erasure_is_not_done_while_a_reader_keeps_the_catalog_s_log(
    store: Store, lander: Lander, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, lander)
    lander.close()
    monkeypatch.setattr("analytics.erase.WAIT_SECONDS", 0.5)
    with beside(READER, place):
        with pytest.raises(HistoryError, match=r"a reader keeps its log.*erase once more"):
            erase_person(place, [PERSON])
        assert is_marked(place)


def is_marked(place: Place) -> bool:
    """Whether an erasure has begun and not ended."""
    with closing(sqlite3.connect(place.catalog)) as connection:
        found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (MARK,))
        return found.fetchone() is not None


def test_a_history_that_is_open_and_asks_nothing_is_in_no_erasure_s_way(
    store: Store, lander: Lander, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, lander)
    lander.close()
    monkeypatch.setattr("analytics.erase.WAIT_SECONDS", 2)
    with beside(IDLE, place):
        erase_person(place, [PERSON])
        assert not is_marked(place)
