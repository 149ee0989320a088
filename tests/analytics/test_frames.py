"""The questions: their columns are as documented, and they tell the truth."""

import inspect
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

import analytics
from analytics.errors import HistoryError
from analytics.history import History, connect
from analytics.landing import Lander
from analytics.place import Place
from analytics.scope import first_id
from analytics.views import EPOCH_MS, ID_SHIFT
from service.store import Store
from tests.analytics.store_facts import put, put_event_rows, put_events
from tests.conftest import MADE_UNTIL

FRAMES = sorted(
    name
    for module, names in analytics.MODULES.items()
    for name in names.split()
    if module.startswith("frames.") and name != "sources_of"
)
KINDS: dict[str, Any] = {
    "i64": pl.Int64, "i32": pl.Int32, "f64": pl.Float64, "str": pl.String, "bool": pl.Boolean,
    "datetime[us, UTC]": pl.Datetime("us", "UTC"), "list[str]": pl.List(pl.String),
}  # fmt: skip


def ask(name: str, history: History, **scope: Any) -> pl.DataFrame:
    """The function's answer, with arguments where it needs some."""
    more: dict[str, tuple[Any, ...]] = {
        "timeline": (history.sql("SELECT max(event_id) AS i FROM labels").item(),),
        "as_of": (MADE_UNTIL - timedelta(days=1),),
        "search": ("checkout",),
        "aftermath": ("0123456789abcdef", "billing"),
    }
    named = {"by_source": True} if name == "latency" else {}
    answer: pl.DataFrame = getattr(analytics, name)(history, *more.get(name, ()), **named, **scope)
    return answer


def promised(name: str) -> dict[str, Any]:
    """Columns and types that the function's docstring says, in order."""
    said = (inspect.getdoc(getattr(analytics, name)) or "").partition("Out:")[2]
    said = re.sub(r"\([^()]*\)", "", said)  # notes
    kinds = "|".join(re.escape(kind) for kind in sorted(KINDS, key=len, reverse=True))
    found: dict[str, Any] = {}
    for names, kind in re.findall(rf"((?:\w+,\s+)*\w+)\s+({kinds})", said):
        found |= dict.fromkeys(re.split(r",\s+", names), KINDS[kind])
    return found


@pytest.mark.parametrize("name", [name for name in FRAMES if name != "timeline"])
def test_a_filter_that_is_none_is_refused(name: str, made: History) -> None:
    with pytest.raises(HistoryError, match="no such filter: sorce; there are since, until, source"):
        ask(name, made, sorce="support")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"since": "yesterday"}, r"since is 'yesterday', a str; pass a datetime.* or timedelta"),
        ({"until": timedelta(days=1)}, r"until is .* a timedelta; pass a datetime"),
    ],
)
def test_a_time_that_is_none_is_refused(wrong: Any, said: str, made: History) -> None:
    with pytest.raises(HistoryError, match=said):
        analytics.outcomes(made, **wrong)


def test_a_moment_that_is_none_is_refused(made: History) -> None:
    moment: Any = "yesterday"
    with pytest.raises(HistoryError, match="moment is 'yesterday', a str; pass a datetime"):
        analytics.as_of(made, moment)


def test_an_id_that_is_none_is_refused(made: History) -> None:
    with pytest.raises(HistoryError, match="event_id is 'abc'; pass a number"):
        analytics.timeline(made, "abc")


@pytest.mark.parametrize("name", FRAMES)
def test_columns_are_as_documented(name: str, made: History) -> None:
    frame, said = ask(name, made), promised(name)
    assert said
    assert {column: frame.schema.get(column) for column in said} == said


@pytest.mark.parametrize("name", [n for n in FRAMES if n not in ("aftermath", "storms")])
def test_a_made_up_history_has_an_answer_to_everything(name: str, made: History) -> None:
    assert ask(name, made).height > 0


@pytest.mark.parametrize("name", [n for n in FRAMES if n not in ("timeline", "aftermath")])
def test_an_empty_history_has_an_empty_answer(name: str, empty: History) -> None:
    assert ask(name, empty).height <= 6  # latency names its stages all the same


@pytest.mark.parametrize("name", FRAMES)
def test_every_function_takes_a_scope(name: str, made: History) -> None:
    parameters = inspect.signature(getattr(analytics, name)).parameters.values()
    takes = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    assert takes or name == "timeline"


def test_a_scope_cuts_time_and_source(made: History) -> None:
    since = MADE_UNTIL - timedelta(days=2)
    frame = analytics.events(made, since=since, source="support", limit=10**6)
    assert (frame["received_at"].min() >= since, set(frame["source"])) == (True, {"support"})  # type: ignore[operator]


def test_a_span_counts_back_from_the_newest_event(made: History) -> None:
    newest = analytics.newest_at(made)
    assert newest is not None
    frame = analytics.events(made, since=timedelta(hours=5), limit=10**6)
    assert frame["received_at"].min() >= newest - timedelta(hours=5)  # type: ignore[operator]


def test_outcomes_add_up(made: History) -> None:
    found = analytics.outcomes(made)
    events = found.select(pl.col("enriched") + pl.col("dead") + pl.col("waiting")).to_series()
    assert events.to_list() == found["events"].to_list()


def test_outcomes_agree_with_the_wide_view(made: History) -> None:
    view = made.sql("SELECT outcome, count(*) AS n FROM wide_events GROUP BY outcome")
    totals = analytics.outcomes(made).select(pl.col("enriched", "dead", "waiting").sum()).row(0)
    shown = dict(view.rows())
    assert totals == tuple(shown.get(name, 0) for name in ("enriched", "dead", "waiting"))


def test_the_wide_frame_is_the_wide_view(made: History) -> None:
    frame = analytics.events(made, limit=300)
    view = made.sql("SELECT * FROM wide_events ORDER BY id DESC LIMIT 300")
    assert frame.select(view.columns).equals(view)


def test_the_made_up_cause_is_found(made: History) -> None:
    """The plan lets three errors bring tickets: they must come out on top, with their category."""
    best = analytics.errors_before_tickets(made, least=10).head(3)
    assert set(best["category"]) == {"billing", "account_access", "delivery"}


def test_percentiles_over_time_are_exact(made: History) -> None:
    shown = analytics.latency_over_time(made, every=timedelta(days=365)).row(-1, named=True)
    waits = made.sql(
        f"""SELECT epoch_us(recorded_at) / 1000 - (event_id >> {ID_SHIFT}) - {EPOCH_MS} AS ms
        FROM enrichments WHERE revision = 1 AND event_id >= {first_id(shown["at"])}"""
    )["ms"]
    exact = [waits.quantile(share, "linear") for share in (0.5, 0.95, 0.99)]
    assert [shown[name] for name in ("p50_ms", "p95_ms", "p99_ms")] == pytest.approx(exact)


def test_tickets_come_after_the_error_and_not_before(made: History) -> None:
    best = analytics.errors_before_tickets(made, least=10).row(0, named=True)
    around = analytics.aftermath(made, best["fingerprint"], best["category"], minutes=40)
    before = around.filter(pl.col("minute") < 0)["ticket_count"].sum()
    after = around.filter(pl.col("minute") > 0)["ticket_count"].sum()
    assert after > 2 * before


def test_windows_that_overlap_are_counted_once(
    store: Store, lander: Lander, history: History
) -> None:
    """An error at 0:00 and 0:10, so one window until 0:40; tickets at 0:05, 0:35 and 3:20."""
    errors, tickets = [at_minute(0), at_minute(10)], [at_minute(m) for m in (5, 35, 200)]
    put_event_rows(store, errors, source="app", preset="sentry")
    put_event_rows(store, tickets)
    seen = [{"event_id": event, "source": "app", "fingerprint": "f"} for event in errors]
    put(store, "enrichments", *seen, *({"event_id": event} for event in tickets))
    lander.land()
    found = analytics.errors_before_tickets(history, least=1)
    assert found.select("window_minutes", "ticket_count").rows() == [(40, 2)]


def test_what_is_more_frequent_than_errors_hides_none_of_them(
    store: Store, lander: Lander, history: History
) -> None:
    """Ten kinds of tickets, each more frequent than the error that the one candidate must be."""
    error, *tickets = [at_minute(minute) for minute in (0, *range(1, 21), 200)]
    put_event_rows(store, [error], source="app", preset="sentry")
    put_event_rows(store, tickets)
    copies = [{"event_id": t, "fingerprint": f"t{n % 10}"} for n, t in enumerate(tickets)]
    put(store, "enrichments", *copies, {"event_id": error, "source": "app", "fingerprint": "f"})
    lander.land()
    found = analytics.errors_before_tickets(history, candidates=1, least=1)
    assert found["fingerprint"].to_list() == ["f"]


def at_minute(minute: int) -> int:
    """The id of an event that arrived so long after a midnight."""
    return first_id(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute))


def test_confusion_and_scores_count_the_same_labels(made: History) -> None:
    confusion, scores = analytics.confusion(made), analytics.scores(made)
    assert confusion["event_count"].sum() == scores["label_count"].sum()


def test_a_person_s_last_word_counts(store: Store, lander: Lander, history: History) -> None:
    (event,) = put_events(store, 1)
    put(store, "enrichments", {"event_id": event, "category": "billing"})
    put(store, "labels", {"event_id": event, "value": "login"})
    put(store, "labels", {"event_id": event, "value": "billing"})
    lander.land()
    assert analytics.labelled(history)["label"].to_list() == ["billing"]


def test_a_dead_event_that_was_enriched_later_is_not_dead(
    store: Store, lander: Lander, history: History
) -> None:
    (event,) = put_events(store, 1)
    put(store, "attempts", {"event_id": event, "outcome": "dead", "error_kind": "timeout"})
    put(store, "enrichments", {"event_id": event})
    lander.land()
    assert analytics.outcomes(history).select("enriched", "dead").row(0) == (1, 0)


@pytest.mark.parametrize(
    ("table", "row", "counts"),
    [
        ("enrichments", {}, (1, 0, 0, 0)),
        ("attempts", {"outcome": "dead", "error_kind": "no_outcome"}, (0, 1, 0, 0)),
    ],
    ids=["enriched", "dead"],
)
def test_what_came_back_after_its_end_is_counted_once(
    store: Store,
    lander: Lander,
    history: History,
    table: str,
    row: dict[str, Any],
    counts: tuple[int, ...],
) -> None:
    (event,) = put_events(store, 1)
    put(store, table, {"event_id": event, **row})
    put(store, "actions", {"event_id": event, "outcome": "echo"})
    lander.land()
    found = analytics.outcomes(history).select("enriched", "dead", "returned", "waiting").row(0)
    assert found == counts


def test_as_of_shows_what_was_believed_then(store: Store, lander: Lander, history: History) -> None:
    (event,) = put_events(store, 1, received_at=micros(9))
    put(store, "enrichments", {"event_id": event, "category": "login", "recorded_at": micros(10)})
    revised = {"event_id": event, "revision": 2, "category": "billing", "recorded_at": micros(12)}
    put(store, "enrichments", revised)
    lander.land()
    shown = [
        analytics.as_of(history, datetime(2026, 1, 1, hour, 30, tzinfo=UTC))["category"].to_list()
        for hour in (9, 11, 13)
    ]
    assert shown == [[None], ["login"], ["billing"]]


def micros(hour: int) -> int:
    return int(datetime(2026, 1, 1, hour, tzinfo=UTC).timestamp() * 1_000_000)


def test_a_timeline_is_in_order_and_whole(store: Store, lander: Lander, history: History) -> None:
    (event,) = put_events(store, 1)
    for table in ("attempts", "enrichments", "actions", "labels"):
        put(store, table, {"event_id": event})
    put(store, "redeliveries", {"delivery_id": event})
    lander.land()
    found = analytics.timeline(history, str(event))
    kinds = {"received", "claimed", "attempt", "enrichment", "action", "label", "duplicate",
             "landed"}  # fmt: skip
    assert (found["at"].is_sorted(), set(found["what"])) == (True, kinds)


def test_search_ignores_case_and_shows_where(
    store: Store, lander: Lander, history: History
) -> None:
    put_events(store, 1, body=b'{"note": "The Printer is on fire"}')
    put_events(store, 3)
    lander.land()
    found = analytics.search(history, "printer IS on")
    assert (found.height, "Printer is on fire" in found["snippet"][0]) == (1, True)


def test_search_takes_quotes_as_they_are(made: History) -> None:
    assert analytics.search(made, "'; DROP TABLE events; --").height == 0


def test_search_needs_a_word(made: History) -> None:
    with pytest.raises(HistoryError, match="at least one word"):
        analytics.search(made, "  ")


def test_shares_of_a_day_that_stands_out_are_told(made: History) -> None:
    shifts = analytics.shifts(made)
    assert shifts["share"].sum() == pytest.approx(1)


def test_savings_value_reuse_at_the_price_of_a_call(
    store: Store, lander: Lander, history: History
) -> None:
    for cost, hit in ((0.5, False), (0.0, True), (0.0, True)):
        (event,) = put_events(store, 1)
        put(store, "enrichments", {"event_id": event, "cost_usd": cost, "cache_hit": hit})
    lander.land()
    assert analytics.savings(history).select("way", "saved_usd").row(0) == ("reused", 1.0)


@pytest.fixture
def fresh(made_place: Place) -> Callable[[], History]:
    return lambda: connect(made_place)


def test_two_readers_of_one_process_get_along(fresh: Callable[[], History]) -> None:
    with fresh() as one, fresh() as two:
        assert analytics.outcomes(one).equals(analytics.outcomes(two))


def test_what_came_back_later_was_still_waiting_then(
    store: Store, lander: Lander, history: History
) -> None:
    (event,) = put_events(store, 1, received_at=micros(9))
    put(store, "actions", {"event_id": event, "outcome": "echo", "finished_at": micros(12)})
    lander.land()
    found = [
        analytics.as_of(history, datetime(2026, 1, 1, hour, 30, tzinfo=UTC))["outcome"].item()
        for hour in (9, 12)
    ]
    assert found == ["waiting", "returned"]


def test_where_the_stub_answered_itself_nothing_can_differ(
    store: Store, lander: Lander, history: History
) -> None:
    (event,) = put_events(store, 1)
    put(store, "enrichments", {"event_id": event, "provider": "stub"})
    lander.land()
    assert analytics.disagreement(history).is_empty()
