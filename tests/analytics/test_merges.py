"""A merge that comes into a reader's query does not show in the answer."""

from collections.abc import Callable

import pytest

from analytics.history import METADATA, connect
from analytics.landing import Lander
from analytics.merges import no_merges, undisturbed
from analytics.place import Place
from service.store import Store
from tests.analytics.store_facts import put_events


@pytest.fixture
def asked(store: Store, lander: Lander, place: Place) -> Callable[[bool], list[int]]:
    """Ask while something is landed, and merged if so wanted: the answers that were given."""

    def ask_while(merging: bool) -> list[int]:
        answers: list[int] = []

        def ask() -> int:
            if not answers:
                put_events(store, 1)
                lander.land()
                if merging:
                    lander.maintain()
            answers.append(len(answers))
            return answers[-1]

        lander.land()
        with connect(place) as history:
            given = undisturbed(history.connection, place, METADATA, ask)
        assert given == answers[-1]
        return answers

    return ask_while


def test_a_query_that_a_merge_came_into_is_asked_again(
    asked: Callable[[bool], list[int]],
) -> None:
    assert len(asked(True)) == 2


def test_a_query_that_a_landing_came_into_is_asked_once(
    asked: Callable[[bool], list[int]],
) -> None:
    assert len(asked(False)) == 1


def test_a_merge_waits_for_the_reader_that_holds_it_off(lander: Lander, place: Place) -> None:
    with no_merges(place), no_merges(place):
        meanwhile = lander.maintain()
    assert (meanwhile, lander.maintain()) == (False, True)


def test_a_landing_waits_for_nobody(store: Store, lander: Lander, place: Place) -> None:
    put_events(store, 3)
    with no_merges(place):
        assert lander.land().rows == {"events": 3}
