"""What landing promises, on both stores: each fact once, whatever happens on the way."""

import gzip
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import text

from analytics.dictionary import FACTS
from analytics.errors import HistoryBusy
from analytics.history import History
from analytics.landing import Cursor, Lander
from analytics.lock import FileLock, held
from analytics.place import Place
from analytics.settings import HistorySettings
from service.store import Store
from tests.analytics.store_facts import insert, put, put_all, put_event_rows, put_events

on_both_stores = pytest.mark.parametrize("store_url", ["sqlite", "postgresql"], indirect=True)
LATE = ("redeliveries", "acknowledgements", "refusals", "attempts", "enrichments", "actions",
        "labels")  # fmt: skip


def ids_of(history: History, table: str) -> list[int]:
    return history.sql(f"SELECT id FROM {table} ORDER BY id")["id"].to_list()


@on_both_stores
def test_every_event_is_landed_once(store: Store, lander: Lander, history: History) -> None:
    ids = put_events(store, 700)
    lander.land()
    assert ids_of(history, "events") == ids


@pytest.mark.parametrize("table", LATE)
def test_every_kind_of_fact_is_landed_once(
    table: str, store: Store, lander: Lander, history: History
) -> None:
    first = put(store, table, {}, {"revision": 2} if table == "enrichments" else {})
    lander.land()
    second = (
        put(store, table, {"event_id": 9} if "event_id" in LATE else {"source": "x"})
        if (table != "enrichments")
        else put(store, table, {"event_id": 9})
    )
    lander.land()
    assert ids_of(history, table) == sorted(first + second)


def test_all_fact_tables_of_the_store_are_landed() -> None:
    from service.store.tables import FACTS as OF_THE_STORE

    assert {table.name for table in FACTS} == set(OF_THE_STORE)


def test_landing_again_lands_nothing(store: Store, lander: Lander) -> None:
    put_events(store, 10)
    lander.land()
    assert lander.land().row_count == 0


def test_an_idle_store_costs_no_commit(store: Store, lander: Lander, history: History) -> None:
    put_events(store, 1)
    lander.land()
    before = history.sql("SELECT max(snapshot_id) AS s FROM ducklake_snapshots('history')").item()
    lander.land()
    after = history.sql("SELECT max(snapshot_id) AS s FROM ducklake_snapshots('history')").item()
    assert after == before


def test_writes_that_are_no_facts_cost_no_commit(store: Store, lander: Lander) -> None:
    put_events(store, 1)
    lander.land()
    store.write_now(lambda _connection, _tx, payloads: [None] * len(payloads), None)
    assert lander.land().commit_count == 0


@on_both_stores
def test_a_backlog_lands_in_many_commits(
    store: Store, open_lander: Callable[..., Lander], history: History
) -> None:
    ids = put_events(store, 950)
    landed = open_lander(HistorySettings(page_rows=100)).land()
    assert (landed.commit_count >= 10, ids_of(history, "events")) == (True, ids)


def test_a_large_body_does_not_fill_a_page(
    store: Store, open_lander: Callable[..., Lander], history: History
) -> None:
    ids = put_events(store, 8, body=b"x" * 900_000)
    landed = open_lander(HistorySettings(page_bytes=1_000_000)).land()
    assert (landed.row_count, ids_of(history, "events")) == (8, ids)


def test_the_delivery_s_facts_stand_beside_the_event(
    store: Store, lander: Lander, history: History
) -> None:
    put_events(store, 1, body=b'{"a": "\xc3\xa9"}')
    lander.land()
    found = history.sql(
        "SELECT preset, method, request_url, address_prefix, delivery_key, verified, body_bytes,"
        " body FROM events"
    ).row(0)
    url = "/v1/webhooks/support"
    prefix = "198.51.100.0/24"
    assert found == ("zendesk", "POST", url, prefix, "key", True, 11, '{"a": "é"}')


def test_a_count_beyond_32_bits_lands_as_the_largest(
    store: Store, lander: Lander, history: History
) -> None:
    put(store, "attempts", {"event_id": 1, "input_tokens": 3_000_000_000})
    lander.land()
    assert history.sql("SELECT input_tokens FROM attempts").item() == 2**31 - 1


def test_an_item_s_payload_is_its_body(store: Store, lander: Lander, history: History) -> None:
    put_events(store, 1, payload='{"item": 1}')
    lander.land()
    assert history.sql("SELECT body FROM events").item() == '{"item": 1}'


def test_a_body_that_is_not_text_is_landed_readable(
    store: Store, lander: Lander, history: History
) -> None:
    put_events(store, 1, body=b"\xff\x00ok")
    lander.land()
    assert history.sql("SELECT body FROM events").item() == "\ufffd\ufffdok"


def test_a_packed_body_is_landed_unpacked(store: Store, lander: Lander, history: History) -> None:
    packed = gzip.compress('{"a": "é"}'.encode())
    put_events(store, 1, body=packed)
    lander.land()
    found = history.sql("SELECT body, body_bytes FROM events").row(0)
    assert found == ('{"a": "é"}', len(packed))


def test_tags_become_a_list(store: Store, lander: Lander, history: History) -> None:
    put(store, "enrichments", {"tags": '["x", "y"]'})
    lander.land()
    assert history.sql("SELECT tags FROM enrichments")["tags"].to_list() == [["x", "y"]]


@on_both_stores
def test_times_arrive_to_the_microsecond(store: Store, lander: Lander, history: History) -> None:
    put(store, "labels", {"recorded_at": 1_767_225_600_123_456})
    lander.land()
    shown = history.sql("SELECT epoch_us(recorded_at) AS us FROM labels").item()
    assert shown == 1_767_225_600_123_456


def test_a_late_fact_supersedes_and_rewrites_nothing(
    store: Store, lander: Lander, history: History
) -> None:
    (event,) = put_events(store, 1)
    put(store, "enrichments", {"event_id": event, "category": "login"})
    lander.land()
    put(store, "enrichments", {"event_id": event, "revision": 2, "category": "billing"})
    lander.land()
    found = history.sql(
        "SELECT revision, category, superseded_at IS NULL AS holds FROM enrichments_over_time"
        " ORDER BY revision"
    ).rows()
    assert found == [(1, "login", False), (2, "billing", True)]


def test_a_candidate_is_never_in_force(store: Store, lander: Lander, history: History) -> None:
    put(store, "enrichments", {"event_id": 5, "category": "login"})
    put(store, "enrichments", {"event_id": 5, "revision": 2, "candidate": True, "category": "x"})
    lander.land()
    assert history.sql("SELECT category FROM current_enrichments").item() == "login"


def test_lag_is_the_age_of_the_oldest_fact(store: Store, lander: Lander) -> None:
    put_events(store, 3)
    assert 0 <= lander.land().lag_seconds < 30


def test_no_news_has_no_lag(lander: Lander) -> None:
    assert lander.land().lag_seconds == 0


def test_a_second_lander_goes_on_where_the_first_stopped(
    store: Store, lander: Lander, open_lander: Callable[..., Lander], history: History
) -> None:
    first = put_events(store, 300)
    lander.land()
    lander.close()
    second = put_events(store, 300)
    open_lander().land()
    assert ids_of(history, "events") == first + second


def test_two_landers_taking_turns_land_each_fact_once(
    store: Store, lander: Lander, open_lander: Callable[..., Lander], history: History
) -> None:
    other = open_lander()
    ids = []
    for turn in range(6):
        ids += put_events(store, 20)
        (lander if turn % 2 else other).land()
    assert ids_of(history, "events") == ids


def test_a_commit_waits_for_another_writer_and_says_so(place: Place, lander: Lander) -> None:
    lander.land()
    lock = FileLock(lander._writer._path)  # type: ignore[attr-defined]
    with (
        held(lock, 1),
        pytest.raises(HistoryBusy, match="another process"),
        held(lander._writer, 0.1),
    ):
        pass


def test_a_rebuild_keeps_what_the_store_no_longer_holds(
    store: Store, lander: Lander, history: History
) -> None:
    old, new = put_events(store, 2), put_events(store, 2)
    lander.land()

    def forget(connection, tx, payloads):  # type: ignore[no-untyped-def]
        for table in ("events", "deliveries"):
            connection.execute(text(f"DELETE FROM {table} WHERE id <= :last"), {"last": old[-1]})
        return [None]

    store.write_now(forget, None)
    lander.rebuild()
    assert ids_of(history, "events") == old + new


def test_a_rebuild_keeps_bodies_that_retention_dropped_from_the_store(
    store: Store, lander: Lander, history: History
) -> None:
    put_events(store, 1, body=b"long ago")
    lander.land()

    def empty(connection, tx, payloads):  # type: ignore[no-untyped-def]
        connection.execute(text("UPDATE deliveries SET body = :empty"), {"empty": b""})
        return [None]

    store.write_now(empty, None)
    lander.rebuild()
    assert history.sql("SELECT body, body_bytes FROM events").row(0) == ("long ago", 8)


def test_a_rebuild_mends_a_row_that_was_damaged(
    store: Store, lander: Lander, history: History
) -> None:
    put_events(store, 3, title="right")
    lander.land()
    lander._lake.execute("UPDATE events SET title = 'wrong'")
    lander.rebuild()
    assert history.sql("SELECT title FROM events")["title"].to_list() == ["right"] * 3


def test_a_rebuild_keeps_when_a_row_was_first_landed(
    store: Store, lander: Lander, history: History
) -> None:
    put_events(store, 1)
    lander.land()
    before = history.sql("SELECT landed_at FROM events").item()
    lander.rebuild()
    assert history.sql("SELECT landed_at FROM events").item() == before


@on_both_stores
def test_a_rebuild_that_was_cut_off_goes_on_with_the_next_landing(
    store: Store, open_lander: Callable[..., Lander], history: History
) -> None:
    ids = put_events(store, 500)
    lander = open_lander(HistorySettings(page_rows=100))
    lander.land()
    lander._lake.execute("UPDATE events SET title = 'wrong'")
    lander.land = lambda: None  # type: ignore[method-assign,assignment,return-value] # cut off
    lander.rebuild()
    lander.close()
    open_lander(HistorySettings(page_rows=100)).land()
    found = history.sql("SELECT count(*) AS n, count(*) FILTER (title = 'wrong') AS w FROM events")
    assert found.row(0) == (len(ids), 0)


def ahead_of(landed: Cursor, by: int) -> Cursor:
    """Where a landing would be that came further by so many transactions."""
    assert landed.since is not None
    xmin, xmax, rest = landed.since.split(":") if ":" in landed.since else ("", landed.since, "")
    end = str(int(xmax) + by)
    return replace(landed, since=f"{end}:{end}:{rest}" if xmin else end)


@on_both_stores
def test_a_backup_that_was_restored_loses_and_doubles_nothing(
    store: Store, lander: Lander, history: History
) -> None:
    kept = put_events(store, 2)
    lander.land()
    lander._save(ahead_of(lander._load(), by=10**6))
    new = put_events(store, 2)
    lander.land()
    assert ids_of(history, "events") == kept + new


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("begun", [False, True])
def test_a_dump_restored_into_a_server_just_behind_loses_and_doubles_nothing(
    store: Store, lander: Lander, history: History, begun: bool
) -> None:
    """What that server writes before the first landing has numbers that were landed elsewhere."""
    kept = put_events(store, 2)
    lander.land()
    ahead = ahead_of(lander._load(), by=3).since
    assert ahead is not None
    elsewhere = ahead.replace("@", "@1")
    lander._save(Cursor("1:1:", elsewhere) if begun else Cursor(elsewhere))
    new = [put_events(store, 1)[0] for _ in range(5)]
    lander.land()
    assert ids_of(history, "events") == kept + new


@pytest.mark.parametrize("how", ["land", "rebuild"])
def test_a_lander_that_found_nothing_yet_lands_nothing_twice(
    store: Store, open_lander: Callable[..., Lander], history: History, how: str
) -> None:
    running, other = open_lander(), open_lander()
    running.land()
    ids = put_events(store, 3)
    getattr(other, how)()
    running.land()
    counted = history.sql("SELECT (SELECT count(*) FROM landings) AS n").row(0)
    assert (ids_of(history, "events"), counted) == (ids, (1,))


def test_a_rebuild_by_another_process_is_gone_on_with(
    store: Store, open_lander: Callable[..., Lander], history: History
) -> None:
    running, rebuilding = open_lander(), open_lander()
    ids = put_events(store, 3)
    running.land()
    rebuilding._lake.execute("UPDATE events SET title = 'wrong'")
    rebuilding.land = lambda: None  # type: ignore[method-assign,assignment,return-value] # cut off
    rebuilding.rebuild()
    ids += put_events(store, 1)
    running.land()
    found = history.sql("SELECT count(*) AS n, count(*) FILTER (title = 'wrong') AS w FROM events")
    assert found.row(0) == (len(ids), 0)


def test_a_cursor_survives_its_own_writing() -> None:
    cursor = Cursor("5:7:", "9:9:", 3, 42, replaces=True)
    assert Cursor.from_json(cursor.to_json()) == cursor


def test_a_transaction_held_open_delays_only_itself(
    postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """On PostgreSQL an older transaction may commit after 1,000 younger ones were landed."""
    from analytics.history import connect
    from analytics.place import place_of
    from service.store import open_store

    store = open_store(postgres_url)
    place = place_of(HistorySettings(), tmp_path_factory.mktemp("held"))
    first = store.new_ids(1)
    with Lander(store, place, HistorySettings()) as lander, connect(place) as history:
        with store.engine.connect() as holder:
            tx = holder.execute(text("SELECT pg_current_xact_id()::text::bigint")).scalar_one()
            insert(holder, "deliveries", [{"id": first}], tx)
            insert(holder, "events", [{"id": first, "delivery_id": first}], tx)
            later = store.new_ids(1000)
            for start in range(later, later + 1000, 100):
                put_event_rows(store, range(start, start + 100))
                lander.land()
            landed_meanwhile = len(ids_of(history, "events"))
            holder.commit()
        lander.land()
        everything = ids_of(history, "events")
    store.close()
    assert (landed_meanwhile, everything) == (1000, [first, *range(later, later + 1000)])


@on_both_stores
def test_facts_of_one_transaction_land_together(
    store: Store, lander: Lander, history: History
) -> None:
    put_all(store, [("attempts", {"event_id": 1}), ("enrichments", {"event_id": 1})])
    lander.land()
    counts = history.sql(
        "SELECT (SELECT count(*) FROM attempts) AS a, (SELECT count(*) FROM enrichments) AS e"
    )
    assert counts.row(0) == (1, 1)
