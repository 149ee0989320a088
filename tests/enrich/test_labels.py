"""What people say, and what is learned from it."""

import asyncio
from datetime import timedelta

import pytest
from work import NOW, TAXONOMIES, Clock, event, make_worker, one, put, rows, step

from enrich.enricher import EventText
from enrich.examples import ExampleIndex, Labelled, query_of
from enrich.labels import NewLabel, check_label, load_labelled, record_labels
from enrich.stub import StubEnricher
from service.errors import SettingsError
from service.lifecycle.erasure import erase
from service.store import Store


def label(
    store: Store, event_id: int, value: str, field: str = "category", minutes: float = 0
) -> int:
    at = NOW + timedelta(minutes=minutes)
    said = NewLabel(store.new_ids(), event_id, "tickets", field, value, "ann", "command", at)
    return int(store.write_now(record_labels, [said]))


def test_a_label_is_a_fact(store: Store) -> None:
    label(store, 1, "billing")
    assert rows(store, "SELECT event_id, field, value, author FROM labels") == [
        (1, "category", "billing", "ann")
    ]


def test_the_same_word_again_is_no_news(store: Store) -> None:
    label(store, 1, "billing")
    assert label(store, 1, "billing", minutes=1) == 0


def test_a_change_of_mind_is_news(store: Store) -> None:
    label(store, 1, "billing")
    label(store, 1, "bug", minutes=1)
    assert label(store, 1, "billing", minutes=2) == 1


def test_tags_are_said_one_by_one(store: Store) -> None:
    label(store, 1, "api", field="tag")
    label(store, 1, "urgent", field="tag", minutes=1)
    assert label(store, 1, "api", field="tag", minutes=2) == 0


def test_a_name_outside_the_taxonomy_is_refused() -> None:
    with pytest.raises(SettingsError, match="category 'nonsense' is not of taxonomy support"):
        check_label(TAXONOMIES["support"], "category", "nonsense")


def test_a_misspelt_name_is_told_the_one_that_was_probably_meant() -> None:
    with pytest.raises(SettingsError, match=r"taxonomy support; did you mean 'billing'\?$"):
        check_label(TAXONOMIES["support"], "category", "biling")


def loaded(store: Store) -> list[Labelled]:
    with store.read() as connection:
        return load_labelled(connection, lambda _source: "support")


def test_an_example_is_an_events_text_with_its_newest_label(store: Store) -> None:
    put(store, event(1, title="Parcel", body="It never came"))
    label(store, 1, "billing")
    label(store, 1, "delivery", minutes=1)
    assert loaded(store) == [Labelled("support", "Parcel\nIt never came", "delivery")]


def test_an_event_with_only_a_severity_is_no_example(store: Store) -> None:
    put(store, event(1))
    label(store, 1, "high", field="severity")
    assert loaded(store) == []


def test_a_worker_learns_from_new_labels(store: Store) -> None:
    clock = Clock()
    put(store, event(1, title="Frobnicator", body="The frobnicator wobbles"))
    label(store, 1, "security")
    index = ExampleIndex((), lambda _source: "support")
    worker = make_worker(store, clock, StubEnricher(index), examples=index)
    put(store, event(2, title="Wobbly frobnicator", body="Again the frobnicator wobbles"))
    asyncio.run(worker.refresh_examples())
    step(worker)
    assert one(store, "SELECT category FROM enrichments WHERE event_id = 2") == "security"


def test_an_erased_event_is_no_example_any_more(store: Store) -> None:
    put(store, event(1, title="Frobnicator", body="It wobbles"), event(2))
    label(store, 1, "security")
    label(store, 2, "billing", minutes=1)
    index = ExampleIndex((), lambda _source: "support")
    worker = make_worker(store, Clock(), StubEnricher(index), examples=index)
    asyncio.run(worker.refresh_examples())
    erase(store, ["frobnicator"], NOW)
    asyncio.run(worker.refresh_examples())
    found = index.nearest(event(3, title="Frobnicator"), 5)
    assert [example.category for example in found] == ["billing"]


INDEX = [
    Labelled("a", "the parcel never arrived", "delivery"),
    Labelled("a", "I was charged twice for one invoice", "billing"),
    Labelled("b", "parcel parcel parcel", "other"),
]


def nearest(text: str, source: str = "a", limit: int = 5) -> list[str]:
    found = ExampleIndex(INDEX).nearest(EventText(1, source, "t", "", text), limit)
    return [example.category for example in found]


def test_the_nearest_example_comes_first() -> None:
    assert nearest("parcel not arrived, charged anyway")[0] == "delivery"


def test_another_groups_examples_are_not_offered() -> None:
    assert nearest("parcel", source="b") == ["other"]


def test_where_nothing_is_near_nothing_is_offered() -> None:
    assert nearest("xylophone") == []


def test_no_more_than_asked_for_are_offered() -> None:
    assert len(nearest("parcel charged", limit=1)) == 1


@pytest.mark.parametrize("text", ['"', "NEAR(a b)", "a* OR b", "\x00", "\ud800x", "- ^ : ( )", ""])
def test_no_text_breaks_the_search(text: str) -> None:
    assert nearest(text + " parcel") == ["delivery"]


def test_common_words_are_not_looked_for() -> None:
    assert query_of("where is my parcel") == '"parcel"'
