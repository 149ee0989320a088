"""Linear's GraphQL for labels: errors come with status 200 or 400, limits as RATELIMITED."""

import uuid
from collections.abc import Iterable
from typing import Any

from enrich.actions.adapters import linear
from enrich.actions.settings import LinearTarget
from tests.servers.asgi import LOOPBACK, Answer, Call
from tests.servers.tickets import OUR_LOGIN, TOKEN, TicketServer

TEAM = str(uuid.UUID(int=1))


def error(code: str, status: int = 200) -> Answer:
    return Answer(status, {"errors": [{"message": code, "extensions": {"code": code}}]})


class LinearServer(TicketServer):
    preset = "linear"

    def __init__(self) -> None:
        super().__init__()
        self.labels: dict[str, str] = {}

    def settings(self, **more: Any) -> LinearTarget:
        given = {
            "adapter": "linear",
            "teams": ["ENG"],
            "token": f"lin_api_{TOKEN}",
            "url": self.url,
            "allow_addresses": LOOPBACK,
            "accounts": [OUR_LOGIN],
            "calls_per_second": 1000,
        }
        return LinearTarget.model_validate(given | more)

    def label(self, name: str) -> str:
        return self.labels.setdefault(name, str(uuid.uuid5(uuid.NAMESPACE_OID, name)))

    def payload(self, ticket: str) -> Any:
        return {
            "action": "create",
            "type": "Issue",
            "actor": {"id": "customer", "type": "user"},
            "data": {"id": ticket, "identifier": "ENG-483", "title": "It fails", "labels": []},
        }

    def change_payload(
        self, ticket: str, added: Iterable[str], removed: Iterable[str], actor: str
    ) -> list[Any]:
        after = self.tags[ticket]
        before = (after - set(added)) | set(removed)
        event = {**self.payload(ticket), "action": "update", "actor": {"id": actor}}
        event["data"]["labels"] = [{"id": self.label(t), "name": t} for t in sorted(after)]
        event["data"]["updatedAt"] = "2026-03-02T12:00:00.000Z"
        event["updatedFrom"] = {
            "labelIds": [self.label(tag) for tag in sorted(before)],
            "updatedAt": "2026-03-02T09:00:00.000Z",
        }
        return [event]

    def answer(self, call: Call) -> Answer:
        if not self.is_authorised(call):
            return error("AUTHENTICATION_ERROR", 401)
        query, given = call.json["query"], call.json["variables"]
        if query == linear.FIND:
            name = given["name"]
            nodes = [{"id": self.labels[name], "team": None}] if name in self.labels else []
            return Answer(200, {"data": {"issueLabels": {"nodes": nodes}}})
        if query == linear.MAKE:
            made = {"success": True, "issueLabel": {"id": self.label(given["name"])}}
            return Answer(200, {"data": {"issueLabelCreate": made}})
        ticket = given["id"]
        if ticket in self.forbidden:
            return error("FORBIDDEN")
        if ticket not in self.tags:
            return error("ENTITY_NOT_FOUND")
        if query == linear.READ:
            nodes = [{"id": self.label(tag), "name": tag} for tag in sorted(self.tags[ticket])]
            issue = {"team": {"id": TEAM}, "labels": {"nodes": nodes}}
            return Answer(200, {"data": {"issue": issue}})
        names = {key: name for name, key in self.labels.items()}
        label = names[given["label"]]
        if query == linear.ADD:
            self.change(ticket, [label], actor=OUR_LOGIN)
            return Answer(200, {"data": {"issueAddLabel": {"success": True}}})
        self.change(ticket, remove=[label], actor=OUR_LOGIN)
        return Answer(200, {"data": {"issueRemoveLabel": {"success": True}}})
