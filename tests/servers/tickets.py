"""What every fake ticket system has: tickets with tags, people, and a webhook on every change."""

from collections.abc import Iterable
from typing import Any

from tests.servers.asgi import Answer, Call, FakeServer

OUR_LOGIN = "hooksift-bot"
TOKEN = "t0ken-of-the-bot"
PERSON = "anna"


class TicketServer(FakeServer):
    """Subclasses speak one provider's HTTP; `webhooks` holds what it would have sent."""

    preset = ""
    source = "tickets"

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, set[str]] = {}
        self.forbidden: set[str] = set()
        self.webhooks: list[Any] = []

    def settings(self, **more: Any) -> Any:
        """The target's settings for this server."""
        raise NotImplementedError

    def payload(self, ticket: str) -> Any:
        """The webhook that tells of a new ticket."""
        raise NotImplementedError

    def change_payload(
        self, ticket: str, added: Iterable[str], removed: Iterable[str], actor: str
    ) -> list[Any]:
        """The webhooks that a change of tags sends."""
        raise NotImplementedError

    def add_ticket(self, ticket: str, *tags: str) -> None:
        self.tags[ticket] = set(tags)

    def delete_ticket(self, ticket: str) -> None:
        del self.tags[ticket]

    def change(
        self, ticket: str, add: Iterable[str] = (), remove: Iterable[str] = (), actor: str = PERSON
    ) -> None:
        """Change tags as `actor`; a change that is none sends no webhook."""
        held = self.tags[ticket]
        added, removed = set(add) - held, set(remove) & held
        self.tags[ticket] = (held | added) - removed
        if added or removed:
            self.webhooks += self.change_payload(ticket, added, removed, actor)

    def refusal(self, call: Call, ticket: str) -> Answer | None:
        """What is wrong with a call, if anything."""
        if not self.is_authorised(call):
            return Answer(401, {"error": "bad credentials"})
        if ticket in self.forbidden:
            return Answer(403, {"error": "forbidden"})
        if ticket not in self.tags:
            return Answer(404, {"error": "not found"})
        return None

    def is_authorised(self, call: Call) -> bool:
        return TOKEN in call.headers.get("authorization", "")
