"""What an erasure took from the store and not yet from the history is known until it has."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import hooksift
from analytics.history import connect
from analytics.landing import Lander
from analytics.place import place_of
from service.errors import HooksiftError
from service.lifecycle.backup import back_up, restore
from service.lifecycle.erasure import erase
from service.lifecycle.owed import owed_by
from service.store import Store
from tests.analytics.store_facts import put_events
from tests.contract.test_lifecycle_erase import PERSON
from tests.service.command_line import CommandLine


class Elsewhere:
    """What other packages keep: which events it was told of; away while `is_away`."""

    def __init__(self) -> None:
        self.is_away = False
        self.told: list[list[int]] = []

    def __call__(self, settings: Any, words: Any, events: Any, *, dry_run: bool) -> dict[str, int]:
        if self.is_away and not dry_run:
            raise HooksiftError("it is away")
        self.told.append(sorted(events))
        return {}


@pytest.fixture
def elsewhere() -> Elsewhere:
    return Elsewhere()


@pytest.fixture
def command(store: Store, store_url: str, tmp_path: Path, elsewhere: Elsewhere) -> CommandLine:
    line = CommandLine(tmp_path, elsewhere)
    line.configure(store=store_url)
    return line


def cut_off(store: Store, count: int = 2) -> list[int]:
    """An erasure that has come through the store and no further; which events went."""
    events = put_events(store, count, headers=PERSON)
    erase(store, [PERSON], datetime.now(UTC))
    return events


@pytest.mark.parametrize("whom", [PERSON, "somebody else"])
def test_what_was_cut_off_is_finished_by_the_next(
    store: Store, command: CommandLine, elsewhere: Elsewhere, whom: str
) -> None:
    events = cut_off(store)
    command.run("erase", "--subject", whom, "--yes")
    assert elsewhere.told[-1] == events


def test_all_that_were_cut_off_are_finished(
    store: Store, command: CommandLine, elsewhere: Elsewhere
) -> None:
    events = cut_off(store) + cut_off(store)
    command.run("erase", "--subject", PERSON, "--yes")
    assert elsewhere.told[-1] == events


def test_what_would_be_finished_is_looked_for(
    store: Store, command: CommandLine, elsewhere: Elsewhere
) -> None:
    events = cut_off(store)
    command.run("erase", "--subject", PERSON, "--dry-run")
    assert elsewhere.told == [events]


def test_what_is_gone_from_both_is_forgotten(store: Store, command: CommandLine) -> None:
    put_events(store, 2, headers=PERSON)
    command.run("erase", "--subject", PERSON, "--yes")
    assert owed_by(store) == {}


def test_what_could_not_go_is_kept(
    store: Store, command: CommandLine, elsewhere: Elsewhere
) -> None:
    (event,) = cut_off(store, 1)
    elsewhere.is_away = True
    with pytest.raises(HooksiftError, match="it is away"):
        command.run("erase", "--subject", PERSON, "--yes")
    assert list(owed_by(store).values()) == [{event}]


def test_what_is_left_is_kept(store: Store, store_url: str, tmp_path: Path) -> None:
    (event,) = cut_off(store, 1)
    command = CommandLine(tmp_path, lambda *_, dry_run: {"events": 1})
    command.configure(store=store_url)
    command.run("erase", "--subject", PERSON, "--yes", code=1)
    assert list(owed_by(store).values()) == [{event}]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_restore_keeps_it(
    store_url: str, open_a_store: Callable[[], Store], tmp_path: Path
) -> None:
    store = open_a_store()
    back_up(store_url, tmp_path / "copy")
    (event,) = cut_off(store, 1)
    store.close()
    restore(tmp_path / "copy", store_url)
    assert list(owed_by(open_a_store()).values()) == [{event}]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_an_event_with_the_person_in_a_header_goes_from_the_history_though_the_store_lost_it(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    command = CommandLine(tmp_path, hooksift.erase_from_history)
    command.configure(store=store_url)
    settings = command.settings()
    place = place_of(settings.history, settings.data)
    put_events(store, 1, headers=PERSON)
    with Lander(store, place, settings.history) as lander:
        lander.land()
    erase(store, [PERSON], datetime.now(UTC))  # and what comes after it fails
    command.run("erase", "--subject", PERSON, "--yes")
    with connect(place) as history:
        assert history.sql("SELECT id FROM events").is_empty()
