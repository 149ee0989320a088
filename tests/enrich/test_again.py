"""Enriching history again: candidates beside what is in force, compared, then applied."""

import asyncio
import random
from collections import deque
from datetime import timedelta
from typing import Any

import pytest
from work import (
    NOW,
    TAXONOMIES,
    Clock,
    Scripted,
    event,
    make_worker,
    no_sleep,
    put,
    rows,
    step,
    verdict,
)

from enrich.again import Chosen, Ends, Price, Rerun, choose, price
from enrich.candidates import Applied, apply_candidates, changes, disagreement
from enrich.chain import Chain, Link, OpenGate
from enrich.cli.rerunning import applied_line, bill_lines, changes_line, ends_line, since_of
from enrich.errors import TransientError, UnprocessableError
from enrich.retry import RetryPolicy
from enrich.settings import ModelSettings
from enrich.taxonomy import Taxonomy
from service.errors import SettingsError
from service.lifecycle.erasure import erase
from service.store import Store

SUPPORT = TAXONOMIES["support"]


def taxonomy_of(_source: str) -> Taxonomy:
    return SUPPORT


@pytest.fixture
def enriched(store: Store) -> Store:
    """A store with three events that the rules called billing."""
    put(store, *[event(i) for i in (1, 2, 3)])
    step(make_worker(store, Clock()))
    return store


def chosen(store: Store, model: Scripted, limit: int = 100) -> list[Chosen]:
    versions = [model.prompt_version(SUPPORT)]
    with store.read() as connection:
        return choose(
            connection, NOW - timedelta(days=1), ["tickets", "errors"], model.model, versions, limit
        )


def rerun(store: Store, model: Scripted) -> list[Chosen]:
    chain = Chain((Link(model, OpenGate()),), RetryPolicy(), no_sleep, random.random)
    run = Rerun(store, chain, taxonomy_of, lambda: NOW)
    asyncio.run(run.run(chosen(store, model), lambda _count: None))
    return chosen(store, model)


def test_both_revisions_are_kept(enriched: Store) -> None:
    rerun(enriched, Scripted(deque([verdict(category="bug")] * 3)))
    found = rows(
        enriched,
        "SELECT revision, candidate, category FROM enrichments WHERE event_id = 1 ORDER BY 1",
    )
    assert [(r, bool(c), name) for r, c, name in found] == [(1, False, "billing"), (2, True, "bug")]


def test_candidates_are_paid_for_once(enriched: Store) -> None:
    rerun(enriched, Scripted())
    again = Scripted()
    rerun(enriched, again)
    assert again.asked == []


def test_what_they_cost_is_spent(enriched: Store) -> None:
    rerun(enriched, Scripted())
    assert rows(enriched, "SELECT call_count FROM spending") == [(3,)]


def test_changes_are_told(enriched: Store) -> None:
    found = rerun(enriched, Scripted(deque([verdict(category="bug")])))
    with enriched.read() as connection:
        assert disagreement(changes(connection, found)) == {
            ("billing", "billing"): 2,
            ("billing", "bug"): 1,
        }


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        ({"category": "bug"}, ["category"]),
        ({"severity": "low"}, ["severity"]),
        ({"tags": ("login",)}, ["tags"]),
    ],
)
def test_a_change_says_what_differs(
    enriched: Store, answer: dict[str, Any], fields: list[str]
) -> None:
    """Compared with the same answer in force."""
    apply_candidates(enriched, rerun(enriched, Scripted()), NOW)
    model = Scripted(deque([verdict(**answer)] * 3), model="other")
    with enriched.read() as connection:
        found = changes(connection, rerun(enriched, model))
    assert [list(change.fields) for change in found] == [fields] * 3


def test_what_would_change_is_counted_by_field(enriched: Store) -> None:
    apply_candidates(enriched, rerun(enriched, Scripted()), NOW)
    said = deque([verdict(category="bug", severity="low"), verdict(severity="low"), verdict()])
    with enriched.read() as connection:
        found = changes(connection, rerun(enriched, Scripted(said, model="other")))
    assert changes_line(found) == "2 of 3 would change: severity of 2, category of 1"


def test_failures_are_counted_by_kind(enriched: Store) -> None:
    model = Scripted(
        deque([verdict(), TransientError("timeout", "x"), UnprocessableError("refused", "x")])
    )
    chain = Chain((Link(model, OpenGate()),), RetryPolicy(call_tries=1), no_sleep, random.random)
    run = Rerun(enriched, chain, taxonomy_of, lambda: NOW, concurrency=1)
    ends = asyncio.run(run.run(chosen(enriched, model), lambda _count: None))
    assert ends_line(ends) == (
        "enriched: 1, failed: 2 (timeout 1, refused 1), calls: 1, 0.0100 USD"
    )


@pytest.fixture
def ends(store: Store) -> Ends:
    """How a run over two events ended during which one of them was erased."""
    put(store, event(1), event(2, body="zoe.adler waits"))
    step(make_worker(store, Clock()))

    async def erase_one(_event: object) -> None:
        await asyncio.to_thread(erase, store, ["zoe.adler"], NOW)

    model = Scripted(before=erase_one)
    chain = Chain((Link(model, OpenGate()),), RetryPolicy(), no_sleep, random.random)
    run = Rerun(store, chain, taxonomy_of, lambda: NOW)
    return asyncio.run(run.run(chosen(store, model), lambda _count: None))


@pytest.mark.usefixtures("ends")
def test_an_answer_about_an_event_that_was_erased_meanwhile_is_dropped(store: Store) -> None:
    for table in ("attempts", "enrichments"):
        assert rows(store, f"SELECT DISTINCT event_id FROM {table}") == [(1,)]


def test_an_answer_that_was_dropped_is_told_and_paid_for(ends: Ends) -> None:
    assert ends_line(ends) == "enriched: 1, failed: 1 (gone 1), calls: 2, 0.0200 USD"


def test_applying_brings_candidates_into_force(enriched: Store) -> None:
    found = rerun(enriched, Scripted(deque([verdict(category="bug")] * 3)))
    apply_candidates(enriched, found, NOW)
    in_force = rows(
        enriched,
        "SELECT category FROM enrichments e WHERE revision ="
        " (SELECT max(revision) FROM enrichments WHERE event_id = e.event_id)",
    )
    assert in_force == [("bug",)] * 3


def test_an_applied_answer_bears_what_it_cost(enriched: Store) -> None:
    apply_candidates(enriched, rerun(enriched, Scripted()), NOW)
    found = rows(
        enriched,
        "SELECT DISTINCT input_tokens, output_tokens, cost_usd FROM enrichments WHERE revision = 3",
    )
    assert found == [(100, 10, 0.01)]


@pytest.mark.parametrize("table", ["spending", "attempts"])
def test_an_applied_answer_is_paid_for_once(enriched: Store, table: str) -> None:
    found = rerun(enriched, Scripted())
    paid = rows(enriched, f"SELECT sum(cost_usd), sum(call_count) FROM {table}")
    apply_candidates(enriched, found, NOW)
    assert rows(enriched, f"SELECT sum(cost_usd), sum(call_count) FROM {table}") == paid


def test_an_applied_copy_of_another_event_is_one_still(storm: Store) -> None:
    apply_candidates(storm, rerun(storm, Scripted()), NOW)
    found = rows(storm, "SELECT cache_hit, cost_usd FROM enrichments WHERE revision = 3 ORDER BY 1")
    assert [(bool(hit), cost) for hit, cost in found] == [(False, 0.01), (True, 0), (True, 0)]


def test_an_applied_answer_is_no_copy_of_another_event(enriched: Store) -> None:
    apply_candidates(enriched, rerun(enriched, Scripted()), NOW)
    found = rows(enriched, "SELECT cache_hit FROM enrichments")
    assert not any(hit for (hit,) in found)


def test_applying_twice_changes_nothing(enriched: Store) -> None:
    found = rerun(enriched, Scripted())
    apply_candidates(enriched, found, NOW)
    assert apply_candidates(enriched, found, NOW) == (0, 0)


def one_erased(store: Store) -> list[Chosen]:
    """Three chosen events with candidates, of which one was erased after it was chosen."""
    put(store, event(1, body="of zoe.adler"), event(2), event(3))
    step(make_worker(store, Clock()))
    found = rerun(store, Scripted())
    erase(store, ["zoe.adler"], NOW)
    return found


def test_a_candidate_whose_event_was_erased_meanwhile_is_counted_as_gone(store: Store) -> None:
    assert apply_candidates(store, one_erased(store), NOW) == (2, 1)


def test_an_event_that_was_erased_meanwhile_is_not_compared(store: Store) -> None:
    found = one_erased(store)
    with store.read() as connection:
        assert [change.event_id for change in changes(connection, found)] == [2, 3]


def test_what_was_brought_into_force_and_what_was_gone_is_told() -> None:
    assert applied_line(Applied(2, 1)) == "brought into force: 2, gone: 1"


def test_the_price_is_told_before_anybody_is_asked(enriched: Store) -> None:
    settings = ModelSettings(model="m", input_usd_per_million=1.0, output_usd_per_million=10.0)
    with enriched.read() as connection:
        bill = price(connection, chosen(enriched, Scripted()), taxonomy_of, settings)
    assert bill.cost_usd == pytest.approx((bill.input_tokens + 10 * bill.output_tokens) / 1e6)


def test_what_was_asked_before_is_not_in_the_price(enriched: Store) -> None:
    found = rerun(enriched, Scripted())
    with enriched.read() as connection:
        assert price(connection, found, taxonomy_of, ModelSettings(model="m")).event_count == 0


COPIES = ["disk 17 is full", "disk 9 is full", "disk 4 is full"]


@pytest.fixture
def storm(store: Store) -> Store:
    """A store with three copies of one error."""
    put(store, *[event(n, "errors", title, title) for n, title in enumerate(COPIES, 1)])
    step(make_worker(store, Clock(), reuses=True))
    return store


def test_copies_of_one_error_are_asked_about_once(storm: Store) -> None:
    model = Scripted()
    rerun(storm, model)
    assert len(model.asked) == 1


def test_every_copy_gets_the_answer(storm: Store) -> None:
    found = rerun(storm, Scripted())
    assert all(item.candidate_id for item in found)


def test_copies_cost_what_one_costs(storm: Store) -> None:
    rerun(storm, Scripted())
    assert rows(storm, "SELECT call_count FROM spending") == [(1,)]


def test_what_stands_for_copies_is_asked_without_their_values(storm: Store) -> None:
    model = Scripted()
    rerun(storm, model)
    assert "17" not in model.asked[0].title


def test_a_suspicious_answer_stands_for_no_copy(storm: Store) -> None:
    model = Scripted(deque([verdict(suspicious=True)]))
    rerun(storm, model)
    assert len(model.asked) == 3


def test_where_the_first_copy_fails_the_others_are_not_asked(storm: Store) -> None:
    model = Scripted(deque([UnprocessableError("refused", "x")]))
    rerun(storm, model)
    assert len(model.asked) == 1


def test_a_copy_that_went_before_it_was_asked_about_is_told(storm: Store) -> None:
    model = Scripted()
    found = chosen(storm, model)
    erase(storm, ["disk 9"], NOW)
    chain = Chain((Link(model, OpenGate()),), RetryPolicy(), no_sleep, random.random)
    ends = asyncio.run(
        Rerun(storm, chain, taxonomy_of, lambda: NOW).run(found, lambda _count: None)
    )
    assert ends.counts == {"enriched": 2, "gone": 1}


def test_copies_are_priced_as_one_call(storm: Store) -> None:
    with storm.read() as connection:
        bill = price(connection, chosen(storm, Scripted()), taxonomy_of, ModelSettings(model="m"))
    assert (bill.event_count, bill.call_count) == (3, 1)


def test_copies_stay_copies_after_applying(storm: Store) -> None:
    apply_candidates(storm, rerun(storm, Scripted()), NOW)
    other = Scripted(model="other")
    rerun(storm, other)
    assert len(other.asked) == 1


def test_the_bill_says_that_copies_share_a_call() -> None:
    told = bill_lines(Price(1200, 3, 0, 1000, 90, 0.5), NOW)
    assert "calls: 3, for copies of one error share one; events: 1,200" in told


def test_the_bill_says_when_nothing_is_left_to_ask() -> None:
    assert bill_lines(Price(0, 0, 7, 0, 0, 0.0), NOW).endswith("nothing is left to ask")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("7d", NOW - timedelta(days=7)),
        ("90m", NOW - timedelta(minutes=90)),
        ("2026-02-01T00:00:00+00:00", NOW.replace(month=2, day=1, hour=0)),
    ],
)
def test_since_is_a_span_or_a_date(text: str, moment: object) -> None:
    assert since_of(text, NOW) == moment


def test_since_that_is_neither_is_refused() -> None:
    with pytest.raises(SettingsError, match="neither like 7d nor a date"):
        since_of("soon", NOW)
