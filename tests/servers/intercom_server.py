"""Intercom's tags: made or found by name, attached and detached by id in an admin's name."""

from collections.abc import Iterable
from typing import Any

from enrich.actions.settings import IntercomTarget
from tests.servers.asgi import LOOPBACK, Answer, Call
from tests.servers.tickets import OUR_LOGIN, TOKEN, TicketServer

ADMIN = "991267618"


class IntercomServer(TicketServer):
    preset = "intercom"

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, str] = {}

    def settings(self, **more: Any) -> IntercomTarget:
        given = {
            "adapter": "intercom",
            "admin_id": ADMIN,
            "app_id": "a86dr8yl",
            "token": TOKEN,
            "url": self.url,
            "allow_addresses": LOOPBACK,
            "accounts": [OUR_LOGIN],
            "calls_per_second": 1000,
        }
        return IntercomTarget.model_validate(given | more)

    def payload(self, ticket: str) -> Any:
        return {
            "type": "notification_event",
            "topic": "conversation.user.created",
            "app_id": "a86dr8yl",
            "created_at": 1_772_442_900,
            "data": {
                "item": {
                    "type": "conversation",
                    "id": ticket,
                    "updated_at": 1_772_442_900,
                    "source": {"body": "<p>It fails</p>"},
                    "tags": {"tags": [{"name": tag} for tag in sorted(self.tags.get(ticket, ()))]},
                }
            },
        }

    def change_payload(
        self, ticket: str, added: Iterable[str], removed: Iterable[str], actor: str
    ) -> list[Any]:
        sent = []
        for tag in sorted(added):
            event = {**self.payload(ticket), "topic": "conversation_part.tag.created"}
            event["data"]["item"]["tags_added"] = {"tags": [{"id": "1", "name": tag}]}
            sent.append(event)
        if removed:
            event = {**self.payload(ticket), "topic": "conversation.admin.replied"}
            event["data"]["item"]["updated_at"] = 1_772_500_000
            sent.append(event)
        return sent

    def answer(self, call: Call) -> Answer:
        if call.parts == ["tags"] and call.method == "POST":
            if not self.is_authorised(call):
                return Answer(401, {})
            known = {name: key for key, name in self.names.items()}
            key = known.get(call.json["name"], str(len(self.names) + 1))
            self.names[key] = call.json["name"]
            return Answer(200, {"type": "tag", "id": key, "name": call.json["name"]})
        ticket = call.parts[1]
        refusal = self.refusal(call, ticket)
        if refusal is not None:
            return refusal
        if call.method == "GET":
            tags = [{"type": "tag", "id": "0", "name": tag} for tag in sorted(self.tags[ticket])]
            return Answer(200, {"type": "conversation", "id": ticket, "tags": {"tags": tags}})
        if call.json.get("admin_id") != ADMIN:
            return Answer(400, {"errors": [{"code": "parameter_invalid"}]})
        if call.method == "POST":
            self.change(ticket, [self.names[call.json["id"]]], actor=OUR_LOGIN)
            return Answer(200, {"type": "tag", "id": call.json["id"]})
        name = self.names.get(call.parts[3])
        if name not in self.tags[ticket]:
            return Answer(404, {"errors": [{"code": "tag_not_found"}]})
        self.change(ticket, remove=[name], actor=OUR_LOGIN)
        return Answer(200, {"type": "tag", "id": call.parts[3]})
