"""Freshdesk's ticket update, which replaces all tags and knows no version."""

from base64 import b64decode
from collections.abc import Iterable
from typing import Any

from enrich.actions.settings import FreshdeskTarget
from tests.servers.asgi import LOOPBACK, Answer, Call
from tests.servers.tickets import OUR_LOGIN, TOKEN, TicketServer


class FreshdeskServer(TicketServer):
    preset = "freshdesk"

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0

    def settings(self, **more: Any) -> FreshdeskTarget:
        given = {
            "adapter": "freshdesk",
            "url": self.url,
            "token": TOKEN,
            "allow_addresses": LOOPBACK,
            "calls_per_second": 1000,
        }
        return FreshdeskTarget.model_validate(given | more)

    def is_authorised(self, call: Call) -> bool:
        """The key is the user; any password goes with it."""
        pair = b64decode(call.headers.get("authorization", "").removeprefix("Basic "))
        return pair.startswith(f"{TOKEN}:".encode())

    def payload(self, ticket: str) -> Any:
        return {
            "freshdesk_webhook": {
                "ticket_id": int(ticket),
                "ticket_subject": "It fails",
                "ticket_tags": ",".join(sorted(self.tags.get(ticket, ()))),
                "updated_at": self.stamp(),
            }
        }

    def change_payload(
        self, ticket: str, added: Iterable[str], removed: Iterable[str], actor: str
    ) -> list[Any]:
        self.changes += 1
        return [self.payload(ticket)]

    def stamp(self) -> str:
        return f"2026-03-02T09:{self.changes // 60:02d}:{self.changes % 60:02d}Z"

    def answer(self, call: Call) -> Answer:
        ticket = call.parts[3]
        refusal = self.refusal(call, ticket)
        if refusal is not None:
            return refusal
        if call.method == "PUT":
            wanted = set(call.json["tags"])
            held = set(self.tags[ticket])
            self.change(ticket, wanted - held, held - wanted, actor=OUR_LOGIN)
        found = {"id": int(ticket), "tags": sorted(self.tags[ticket])}
        dates = {"created_at": "2026-03-02T08:00:00Z", "updated_at": self.stamp()}
        return Answer(200, {**found, **dates})
