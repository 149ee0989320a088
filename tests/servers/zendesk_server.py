"""Zendesk's tags: PUT adds, DELETE removes, POST and the ticket update replace; safe_update's 409.

`style` says which webhooks an administrator set up: "event" (tags_changed with a difference and the
actor) or "trigger" (a body of one's own with the whole state).
"""

from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from enrich.actions.settings import ZendeskTarget
from tests.servers.asgi import LOOPBACK, Answer, Call
from tests.servers.tickets import OUR_LOGIN, TOKEN, TicketServer

USER = "bot@acme.example"


class ZendeskServer(TicketServer):
    preset = "zendesk"

    def __init__(self, style: str = "event") -> None:
        super().__init__()
        self.style = style
        self.clock = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
        self.updated: dict[str, datetime] = {}

    def settings(self, **more: Any) -> ZendeskTarget:
        given = {
            "adapter": "zendesk",
            "url": self.url,
            "user": USER,
            "token": TOKEN,
            "allow_addresses": LOOPBACK,
            "accounts": [OUR_LOGIN] if self.style == "event" else [],
            "calls_per_second": 1000,
        }
        return ZendeskTarget.model_validate(given | more)

    def is_authorised(self, call: Call) -> bool:
        pair = b64encode(f"{USER}/token:{TOKEN}".encode()).decode()
        return call.headers.get("authorization") == f"Basic {pair}"

    def payload(self, ticket: str) -> Any:
        if self.style == "trigger":
            return {
                "ticket_id": ticket,
                "subject": "It fails",
                "description": "Since today.",
                "tags": sorted(self.tags[ticket]),
                "updated_at": self.stamp(ticket),
            }
        return {
            "type": "zen:event-type:ticket.created",
            "subject": f"zen:ticket:{ticket}",
            "detail": {
                "id": ticket,
                "subject": "It fails",
                "description": "Since today.",
                "actor_id": "customer",
            },
            "event": {},
        }

    def change_payload(
        self, ticket: str, added: Iterable[str], removed: Iterable[str], actor: str
    ) -> list[Any]:
        self.clock += timedelta(seconds=1)
        self.updated[ticket] = self.clock
        if self.style == "trigger":
            return [self.payload(ticket)]
        event = self.payload(ticket)
        event["type"] = "zen:event-type:ticket.tags_changed"
        event["detail"]["actor_id"] = actor
        event["event"] = {"tags_added": sorted(added), "tags_removed": sorted(removed)}
        return [event]

    def stamp(self, ticket: str) -> str:
        return self.updated.get(ticket, self.clock).strftime("%Y-%m-%dT%H:%M:%SZ")

    def answer(self, call: Call) -> Answer:
        parts = call.parts
        ticket = parts[3].removesuffix(".json") if len(parts) > 3 else ""
        refusal = self.refusal(call, ticket)
        if refusal is not None:
            return refusal
        if parts[4:] == [] and call.method == "GET":
            found = {"id": ticket, "tags": sorted(self.tags[ticket])}
            return Answer(200, {"ticket": {**found, "updated_at": self.stamp(ticket)}})
        if parts[4:] == [] and call.method == "PUT":
            self.tags[ticket] = set(call.json["ticket"]["tags"])  # the call that clobbers
            return Answer(200, {"ticket": {}})
        wanted = call.json
        if wanted.get("safe_update") and wanted["updated_stamp"] != self.stamp(ticket):
            return Answer(409, {"error": "UpdateConflict"})
        if call.method == "PUT":
            self.change(ticket, add=wanted["tags"], actor=OUR_LOGIN)
        elif call.method == "DELETE":
            self.change(ticket, remove=wanted["tags"], actor=OUR_LOGIN)
        elif call.method == "POST":
            self.tags[ticket] = set(wanted["tags"])
        return Answer(200, {"tags": sorted(self.tags[ticket])})
