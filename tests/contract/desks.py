"""Fake ticket systems, each with one ticket and our adapter for it."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import pytest

from enrich.actions.adapters.contract import NoteAdapter, Seen, TagAdapter, Ticket
from enrich.actions.errors import ActionError
from enrich.actions.tags import TagChange
from enrich.actions.targets import World, open_target
from tests.servers.asgi import LocalHost, run
from tests.servers.freshdesk_server import FreshdeskServer
from tests.servers.github_server import GitHubServer
from tests.servers.gitlab_server import GitLabServer
from tests.servers.intercom_server import IntercomServer
from tests.servers.jira_server import JiraServer
from tests.servers.linear_server import LinearServer
from tests.servers.note_servers import NoteServer, PagerDutyServer, SentryServer
from tests.servers.tickets import TicketServer
from tests.servers.zendesk_server import ZendeskServer


class Provider(NamedTuple):
    """A fake and an id that it knows."""

    make: Callable[[], TicketServer]
    ticket: str


PROVIDERS = {
    "github": Provider(GitHubServer, "42"),
    "zendesk": Provider(ZendeskServer, "4711"),
    "jira": Provider(JiraServer, "APP-12"),
    "gitlab": Provider(GitLabServer, "7"),
    "intercom": Provider(IntercomServer, "64619700005694"),
    "freshdesk": Provider(FreshdeskServer, "20"),
    "linear": Provider(LinearServer, "7c2e4f1a-9b3d-4a6e-8c5f-1d7b3e9a2c4f"),
}
NOTE_PROVIDERS: dict[str, tuple[Callable[[], NoteServer], str]] = {
    "sentry": (SentryServer, "1170820242"),
    "pagerduty": (PagerDutyServer, "PGR0VU2"),
}


def oddities(payload: Any, odd: Any) -> Iterator[Any]:
    """The payload, each time with another one of its values replaced by `odd`."""
    yield odd
    places: Any = payload.items() if isinstance(payload, dict) else ()
    for place, value in enumerate(payload) if isinstance(payload, list) else places:
        for changed in oddities(value, odd):
            copy = payload.copy()
            copy[place] = changed
            yield copy


class Desk:
    """A fake ticket system with one ticket, and our adapter for it."""

    def __init__(self, server: TicketServer, ticket: str, local_host: LocalHost) -> None:
        self.server, self.id = server, ticket
        local_host.add(server)
        server.add_ticket(ticket, "vip")

    def open(self, **more: Any) -> TagAdapter:
        return open_target("here", self.server.settings(**more), World(resolve=str)).adapter  # type: ignore[return-value]

    def ask(self, question: Callable[[TagAdapter, Ticket], Awaitable[Any]], **more: Any) -> Any:
        async def asked() -> Any:
            adapter = self.open(**more)
            try:
                return await question(adapter, adapter.ticket_of(self.server.payload(self.id)))
            finally:
                await adapter.close()

        return run(asked())

    def change(self, add: tuple[str, ...] = (), remove: tuple[str, ...] = (), **more: Any) -> None:
        async def change(adapter: TagAdapter, ticket: Ticket) -> None:
            seen = await adapter.read(ticket)
            await adapter.change(ticket, seen, TagChange(frozenset(add), frozenset(remove)))

        self.ask(change, **more)

    def read(self, **more: Any) -> Seen:
        async def read(adapter: TagAdapter, ticket: Ticket) -> Seen:
            return await adapter.read(ticket)

        seen: Seen = self.ask(read, **more)
        return seen

    @property
    def tags(self) -> set[str]:
        return self.server.tags[self.id]


class NoteDesk:
    """A fake with one ticket, and our adapter for it."""

    def __init__(self, server: NoteServer, ticket: str, local_host: LocalHost) -> None:
        self.server, self.id = server, ticket
        local_host.add(server)
        server.notes[ticket] = ["seen this before"]

    def open(self, **more: Any) -> NoteAdapter:
        return open_target("there", self.server.settings(**more), World(resolve=str)).adapter  # type: ignore[return-value]

    def ask(self, question: Callable[[NoteAdapter, Ticket], Awaitable[Any]], **more: Any) -> Any:
        async def asked() -> Any:
            adapter = self.open(**more)
            try:
                return await question(adapter, adapter.ticket_of(self.server.payload(self.id)))
            finally:
                await adapter.close()

        return run(asked())

    def write(self, text: str = "Charged twice.", **more: Any) -> None:
        self.ask(lambda adapter, ticket: adapter.add_note(ticket, text), **more)

    def failure(self, **more: Any) -> ActionError:
        with pytest.raises(ActionError) as raised:
            self.write(**more)
        return raised.value
