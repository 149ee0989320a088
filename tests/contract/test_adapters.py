"""One suite for every adapter that writes tags: over real HTTP, against a server that behaves."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from enrich.actions.adapters.contract import Guarantee, TagAdapter, Ticket, TicketNews
from enrich.actions.errors import (
    ActionError,
    ConflictError,
    DoubtError,
    NotOursError,
    PermanentError,
    TransientError,
)
from enrich.actions.tags import TagChange
from tests.contract.desks import PROVIDERS, Desk, oddities
from tests.servers.asgi import Answer, LocalHost, run
from tests.servers.github_server import GitHubServer
from tests.servers.jira_server import JiraServer
from tests.servers.tickets import PERSON, TOKEN
from tests.servers.zendesk_server import ZendeskServer

OURS = "hooksift:billing"
OTHER = "hooksift:refund"


TELLS_NO_ACTOR = {"intercom", "freshdesk"}
OVERWRITING = {"freshdesk"}


@pytest.fixture(scope="module")
def local_host() -> Iterator[LocalHost]:
    host = LocalHost()
    yield host
    host.close()


@pytest.fixture(params=sorted(PROVIDERS))
def desk(request: pytest.FixtureRequest, local_host: LocalHost) -> Desk:
    provider = PROVIDERS[request.param]
    return Desk(provider.make(), provider.ticket, local_host)


@pytest.fixture(params=sorted(PROVIDERS.keys() - OVERWRITING))
def safe_desk(request: pytest.FixtureRequest, local_host: LocalHost) -> Desk:
    provider = PROVIDERS[request.param]
    return Desk(provider.make(), provider.ticket, local_host)


def test_a_tag_is_added_and_the_others_stay(desk: Desk) -> None:
    desk.change(add=(OURS,))
    assert desk.tags == {"vip", OURS}


def test_adding_what_is_there_changes_nothing(desk: Desk) -> None:
    desk.change(add=(OURS,))
    sent = len(desk.server.webhooks)
    desk.change(add=(OURS,))
    assert len(desk.server.webhooks) == sent


def test_only_the_tags_named_are_removed(desk: Desk) -> None:
    desk.change(add=(OURS, OTHER))
    desk.change(remove=(OURS,))
    assert desk.tags == {"vip", OTHER}


def test_removing_what_is_not_there_is_no_error(desk: Desk) -> None:
    desk.change(remove=(OURS,))
    assert desk.tags == {"vip"}


def test_one_change_adds_and_removes(desk: Desk) -> None:
    desk.change(add=(OURS,))
    desk.change(add=(OTHER,), remove=(OURS,))
    assert desk.tags == {"vip", OTHER}


def test_reading_gives_every_tag(desk: Desk) -> None:
    tags = {f"t{number}" for number in range(30)}
    desk.server.add_ticket(desk.id, *tags)
    assert desk.read().tags == tags


def test_a_tag_that_a_person_adds_between_read_and_write_survives(desk: Desk) -> None:
    async def change(adapter: TagAdapter, ticket: Ticket) -> None:
        seen = await adapter.read(ticket)
        desk.server.change(desk.id, add=["urgent"])
        try:
            await adapter.change(ticket, seen, TagChange(frozenset({OURS})))
        except ConflictError:
            seen = await adapter.read(ticket)
            await adapter.change(ticket, seen, TagChange(frozenset({OURS})))

    desk.ask(change)
    assert desk.tags == {"vip", "urgent", OURS}


def test_a_tag_that_a_person_adds_in_the_moment_of_the_write_survives(safe_desk: Desk) -> None:
    safe_desk.server.before_write = lambda: safe_desk.server.change(safe_desk.id, add=["urgent"])
    try:
        safe_desk.change(add=(OURS,))
    except ConflictError:
        safe_desk.change(add=(OURS,))
    assert safe_desk.tags == {"vip", "urgent", OURS}


def test_an_adapter_that_may_overwrite_says_so(desk: Desk) -> None:
    assert desk.open().overwrites == (desk.open().name in OVERWRITING)


def last_news(desk: Desk) -> TicketNews:
    news = desk.open().news_of(desk.server.webhooks[-1])
    assert news is not None
    return news


def test_our_own_change_is_told_by_the_webhook(desk: Desk) -> None:
    desk.change(add=(OURS,))
    news = last_news(desk)
    assert OURS in (news.added or news.tags or ())


def test_a_persons_removal_is_told_by_the_webhook(desk: Desk) -> None:
    desk.change(add=(OURS,))
    desk.server.change(desk.id, remove=[OURS])
    news = last_news(desk)
    assert OURS in (news.removed or ()) or (news.tags is not None and OURS not in news.tags)


def test_who_changed_the_tags_is_told_where_the_provider_tells_it(desk: Desk) -> None:
    desk.server.change(desk.id, add=[OURS])
    told = set() if desk.open().name in TELLS_NO_ACTOR else {PERSON}
    assert last_news(desk).actors & {PERSON} == told


def test_a_change_of_tags_alone_is_marked_as_such(desk: Desk) -> None:
    desk.server.change(desk.id, add=[OURS])
    news = last_news(desk)
    assert news.only_tags or news.added is None


def test_a_new_ticket_is_not_a_change_of_tags(desk: Desk) -> None:
    news = desk.open().news_of(desk.server.payload(desk.id))
    assert news is None or not news.only_tags


def failure(desk: Desk, **more: Any) -> ActionError:
    with pytest.raises(ActionError) as raised:
        desk.change(add=(OURS,), **more)
    return raised.value


def test_too_many_requests_say_when_to_come_back(desk: Desk) -> None:
    desk.server.plan(Answer(429, {}, {"Retry-After": "37"}))
    error = failure(desk)
    assert isinstance(error, TransientError)
    assert (error.kind, error.retry_after_seconds) == ("rate_limited", 37)


def test_a_deleted_ticket_is_not_tried_again(desk: Desk) -> None:
    payload = desk.server.payload(desk.id)
    desk.server.delete_ticket(desk.id)

    async def read() -> None:
        adapter = desk.open()
        try:
            await adapter.read(adapter.ticket_of(payload))
        finally:
            await adapter.close()

    with pytest.raises(PermanentError) as raised:
        run(read())
    assert raised.value.kind == "not_found"


def test_a_missing_permission_is_not_tried_again(desk: Desk) -> None:
    desk.server.forbidden.add(desk.id)
    error = failure(desk)
    assert (type(error), error.kind) == (PermanentError, "forbidden")


def test_a_wrong_credential_is_not_tried_again(desk: Desk) -> None:
    error = failure(desk, token="wr0ng-s3cret")
    assert error.kind == "unauthorized"


def test_no_error_shows_the_credential(desk: Desk) -> None:
    error = failure(desk, token="wr0ng-s3cret")
    assert "wr0ng" not in f"{error!r}{error.__cause__!r}"


def test_a_server_error_leaves_the_effect_in_doubt(desk: Desk) -> None:
    desk.server.plan(Answer(500, b"<html>oops</html>"))
    assert isinstance(failure(desk), DoubtError)


def test_a_write_without_an_answer_is_in_doubt(desk: Desk) -> None:
    desk.server.hang_after_next = True
    assert isinstance(failure(desk, timeout_seconds=0.3), DoubtError)


def test_a_write_in_doubt_tried_again_has_one_effect(desk: Desk) -> None:
    desk.server.hang_after_next = True
    failure(desk, timeout_seconds=0.3)
    desk.change(add=(OURS,))
    assert (desk.tags, len(desk.server.webhooks)) == ({"vip", OURS}, 1)


def test_an_answer_that_is_not_json_is_tried_again(desk: Desk) -> None:
    desk.server.plan(Answer(200, b"<html>maintenance</html>"))
    assert isinstance(failure(desk), TransientError)


def test_a_redirect_is_not_followed(desk: Desk) -> None:
    desk.server.plan(Answer(302, b"", {"Location": "http://127.0.0.1:1/"}))
    assert failure(desk).kind == "redirect"


def test_a_reserved_character_stays_inside_its_path_segment(desk: Desk) -> None:
    odd = "hooksift:a/b?c#d%2e"
    desk.server.add_ticket(desk.id, odd, "vip")
    desk.change(remove=(odd,))
    assert desk.tags == {"vip"}


def replaced(payload: Any, old: Any, new: Any) -> Any:
    """The payload with one value changed wherever it stands."""
    if isinstance(payload, dict):
        return {key: replaced(value, old, new) for key, value in payload.items()}
    return new if payload in (old, str(old)) or str(payload) == str(old) else payload


@pytest.mark.parametrize(
    "odd",
    ["", "..", "1/../2", "1?admin=1", "1 2", "-1", "0", "1\n", "١", 1.5, True, [1], "9" * 40, None],
    ids=repr,
)
def test_an_id_that_is_no_id_is_refused(desk: Desk, odd: Any) -> None:
    payload = replaced(desk.server.payload(desk.id), desk.id, odd)
    with pytest.raises(NotOursError):
        desk.open().ticket_of(payload)


@pytest.mark.parametrize(
    "payload", [None, [], "text", 7, {}, {"issue": []}, {"detail": {"id": {}}}]
)
def test_a_payload_of_another_shape_is_refused(desk: Desk, payload: Any) -> None:
    with pytest.raises(NotOursError):
        desk.open().ticket_of(payload)


@pytest.mark.parametrize("odd", [None, [], {}, [{}], "", "x", 7, True], ids=repr)
def test_an_odd_value_in_a_webhook_is_read_or_refused(desk: Desk, odd: Any) -> None:
    desk.server.change(desk.id, add=[OURS])
    adapter = desk.open()
    for payload in oddities(desk.server.webhooks[-1], odd):
        with suppress(NotOursError):
            adapter.news_of(payload)


def test_the_adapter_promises_one_effect(desk: Desk) -> None:
    assert desk.open().guarantee is Guarantee.EXACTLY_ONCE


def test_the_settings_do_not_show_the_credential(desk: Desk) -> None:
    assert TOKEN not in repr(desk.server.settings())


def test_an_event_of_another_repository_is_refused(local_host: LocalHost) -> None:
    desk = Desk(GitHubServer(), "42", local_host)
    payload = replaced(desk.server.payload("42"), "acme/app", "mallory/app")
    with pytest.raises(NotOursError):
        desk.open().ticket_of(payload)


def test_an_event_of_another_jira_project_is_refused(local_host: LocalHost) -> None:
    desk = Desk(JiraServer(), "APP-12", local_host)
    with pytest.raises(NotOursError):
        desk.open().ticket_of(replaced(desk.server.payload("APP-12"), "APP-12", "SECRET-12"))


def test_github_is_never_sent_an_empty_list_of_labels(local_host: LocalHost) -> None:
    desk = Desk(GitHubServer(), "42", local_host)
    desk.change(remove=("vip",))
    assert desk.server.count("POST") == 0


def test_githubs_403_with_no_calls_left_waits_for_the_reset(local_host: LocalHost) -> None:
    desk = Desk(GitHubServer(), "42", local_host)
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0"}
    desk.server.plan(Answer(403, {}, headers))
    error = failure(desk)
    assert (error.kind, getattr(error, "retry_after_seconds", None)) == ("rate_limited", 1)


def test_githubs_labels_are_read_page_by_page(local_host: LocalHost) -> None:
    desk = Desk(GitHubServer(), "42", local_host)
    desk.server.add_ticket("42", *(f"t{number}" for number in range(250)))
    assert len(desk.read().tags) == 250


def test_zendesks_replacing_calls_are_never_used(local_host: LocalHost) -> None:
    desk = Desk(ZendeskServer(), "4711", local_host)
    desk.change(add=(OURS,))
    desk.change(add=(OTHER,), remove=(OURS,))
    writes = {(c.method, c.parts[-1]) for c in desk.server.calls if c.method != "GET"}
    assert writes == {("PUT", "tags.json"), ("DELETE", "tags.json")}


def test_zendesk_notices_a_change_between_read_and_write(local_host: LocalHost) -> None:
    desk = Desk(ZendeskServer(), "4711", local_host)
    desk.server.before_write = lambda: desk.server.change("4711", add=["urgent"])
    assert isinstance(failure(desk), ConflictError)


def test_jiras_replacing_form_is_never_used(local_host: LocalHost) -> None:
    desk = Desk(JiraServer(), "APP-12", local_host)
    desk.change(add=(OURS,))
    assert all("fields" not in call.json for call in desk.server.calls if call.body)
