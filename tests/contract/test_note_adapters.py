"""One suite for every adapter that writes notes: over real HTTP, against a server that behaves."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from enrich.actions.adapters.contract import Guarantee
from enrich.actions.errors import DoubtError, NotOursError, TransientError
from enrich.actions.loop_guard import OwnEcho
from enrich.actions.messages import marker
from service.store import Store, open_store
from tests.actions.desk import Office, quick_url
from tests.contract.desks import NOTE_PROVIDERS, NoteDesk, oddities
from tests.servers.asgi import Answer, LocalHost

RULE = {"name": "note", "mode": "act", "actions": [{"target": "there"}]}


@pytest.fixture(scope="module")
def local_host() -> Iterator[LocalHost]:
    host = LocalHost()
    yield host
    host.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """On SQLite alone: what is shown here depends on no database."""
    made = open_store(quick_url(tmp_path))
    yield made
    made.close()


@pytest.fixture(params=sorted(NOTE_PROVIDERS))
def desk(request: pytest.FixtureRequest, local_host: LocalHost) -> NoteDesk:
    make, ticket = NOTE_PROVIDERS[request.param]
    return NoteDesk(make(), ticket, local_host)


def test_a_note_is_written_and_the_others_stay(desk: NoteDesk) -> None:
    desk.write()
    assert desk.server.notes[desk.id] == ["seen this before", "Charged twice."]


def test_notes_are_read_back(desk: NoteDesk) -> None:
    assert desk.ask(lambda adapter, ticket: adapter.notes(ticket)) == ["seen this before"]


def test_the_adapter_promises_one_effect(desk: NoteDesk) -> None:
    assert desk.open().guarantee is Guarantee.EXACTLY_ONCE


def test_a_deleted_ticket_is_not_tried_again(desk: NoteDesk) -> None:
    desk.server.notes.clear()
    assert desk.failure().kind == "not_found"


def test_a_wrong_credential_is_not_tried_again(desk: NoteDesk) -> None:
    assert desk.failure(token="wr0ng").kind == "unauthorized"


def test_too_many_requests_say_when_to_come_back(desk: NoteDesk) -> None:
    desk.server.plan(Answer(429, {}, {"Retry-After": "9"}))
    error = desk.failure()
    assert (type(error), getattr(error, "retry_after_seconds", None)) == (TransientError, 9)


def test_a_note_without_an_answer_is_in_doubt(desk: NoteDesk) -> None:
    desk.server.hang_after_next = True
    assert isinstance(desk.failure(timeout_seconds=0.3), DoubtError)


@pytest.mark.parametrize("odd", ["", "..", "1/../2", "1?x=1", "a b", "-1", 1.5, True, [1], None])
def test_an_id_that_is_no_id_is_refused(desk: NoteDesk, odd: Any) -> None:
    payload = desk.server.payload(desk.id)
    held = payload.get("event", payload)["data"]
    held.get("issue", held)["id"] = odd
    with pytest.raises(NotOursError):
        desk.open().ticket_of(payload)


@pytest.mark.parametrize("odd", [None, [], {}, [{}], "", "x", 7, True], ids=repr)
def test_an_odd_value_in_a_webhook_is_read_or_refused(desk: NoteDesk, odd: Any) -> None:
    desk.server.write(desk.id, "I am on it", actor="anna")
    adapter = desk.open()
    for payload in oddities(desk.server.webhooks[-1], odd):
        with suppress(NotOursError):
            adapter.news_of(payload)


def performed(desk: NoteDesk, store: Store, **more: Any) -> Office:
    office = Office(store, [RULE], {"there": desk.server.settings(**more)})
    office.event(desk.server.payload(desk.id), preset=desk.server.preset)

    async def work() -> None:
        await office.work()
        await office.worker.close()

    asyncio.run(work())
    return office


def test_an_event_gets_its_note_with_a_marker(desk: NoteDesk, store: Store) -> None:
    performed(desk, store)
    assert desk.server.notes[desk.id][-1].startswith("billing, high: Charged twice.\n[hooksift ")


def test_a_note_whose_answer_was_lost_is_not_written_twice(desk: NoteDesk, store: Store) -> None:
    desk.server.hang_after_next = True
    office = performed(desk, store, timeout_seconds=0.3)
    assert (len(desk.server.notes[desk.id]), office.outcomes()) == (2, ["unchanged"])


def test_our_own_note_coming_back_is_recognised(desk: NoteDesk, store: Store) -> None:
    office = performed(desk, store)
    event = office.bare_event(desk.server.webhooks[-1], preset=desk.server.preset)
    assert isinstance(office.recognise(event), OwnEcho)


def test_a_persons_note_is_an_event_like_any_other(desk: NoteDesk, store: Store) -> None:
    office = performed(desk, store)
    desk.server.write(desk.id, "I am on it", actor="anna")
    event = office.bare_event(desk.server.webhooks[-1], preset=desk.server.preset)
    assert office.recognise(event) is None


def test_a_person_who_copies_our_marker_is_not_taken_for_us(desk: NoteDesk, store: Store) -> None:
    office = performed(desk, store)
    desk.server.write(desk.id, desk.server.notes[desk.id][-1], actor="mallory")
    event = office.bare_event(desk.server.webhooks[-1], preset=desk.server.preset)
    assert office.recognise(event) is None


def heard(desk: NoteDesk, office: Office, text: str) -> Any:
    """What a note without a known account is taken for."""
    desk.server.write(desk.id, text, actor="somebody")
    event = office.bare_event(desk.server.webhooks[-1], preset=desk.server.preset)
    return office.recognise(event)


def test_without_accounts_our_own_note_is_known_by_its_action(desk: NoteDesk, store: Store) -> None:
    office = performed(desk, store, accounts=[])
    assert isinstance(heard(desk, office, desk.server.notes[desk.id][-1]), OwnEcho)


def test_without_accounts_our_own_note_is_known_before_its_action_ends(
    desk: NoteDesk, store: Store
) -> None:
    office = Office(store, [RULE], {"there": desk.server.settings(accounts=[])})
    event_id = office.event(desk.server.payload(desk.id), preset=desk.server.preset)
    assert isinstance(heard(desk, office, f"billing\n{marker(event_id, 'note/1')}"), OwnEcho)


def test_without_accounts_a_reply_that_quotes_our_note_is_an_event(
    desk: NoteDesk, store: Store
) -> None:
    office = performed(desk, store, accounts=[])
    assert heard(desk, office, f"> {desk.server.notes[desk.id][-1]}\n\nNo, it is down!") is None


@pytest.mark.parametrize("number", [1, 2**63 - 1, 2**63], ids=str)
def test_without_accounts_a_marker_of_nothing_that_we_did_is_an_event(
    desk: NoteDesk, store: Store, number: int
) -> None:
    office = performed(desk, store, accounts=[])
    assert heard(desk, office, f"Production is down! [hooksift {number} note/1]") is None
