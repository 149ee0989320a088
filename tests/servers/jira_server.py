"""Jira's issue edit: `update` holds operations, `fields` would replace; labels hold no blanks."""

from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from enrich.actions.settings import JiraTarget
from tests.servers.asgi import LOOPBACK, Answer, Call
from tests.servers.tickets import OUR_LOGIN, TOKEN, TicketServer

USER = "bot@acme.example"


class JiraServer(TicketServer):
    preset = "jira"

    def settings(self, **more: Any) -> JiraTarget:
        given = {
            "adapter": "jira",
            "url": self.url,
            "projects": ["APP"],
            "user": USER,
            "token": TOKEN,
            "allow_addresses": LOOPBACK,
            "accounts": [OUR_LOGIN],
            "calls_per_second": 1000,
        }
        return JiraTarget.model_validate(given | more)

    def is_authorised(self, call: Call) -> bool:
        pair = b64encode(f"{USER}:{TOKEN}".encode()).decode()
        return call.headers.get("authorization") == f"Basic {pair}"

    def payload(self, ticket: str) -> Any:
        return {
            "timestamp": 1_772_442_900_000,
            "webhookEvent": "jira:issue_created",
            "user": {"accountId": "customer"},
            "issue": {"id": "10002", "key": ticket, "fields": {"summary": "It fails"}},
        }

    def change_payload(
        self, ticket: str, added: Iterable[str], removed: Iterable[str], actor: str
    ) -> list[Any]:
        after = self.tags[ticket]
        before = (after - set(added)) | set(removed)
        item = {
            "field": "labels",
            "fromString": " ".join(sorted(before)),
            "toString": " ".join(sorted(after)),
        }
        event = {**self.payload(ticket), "webhookEvent": "jira:issue_updated"}
        return [{**event, "user": {"accountId": actor}, "changelog": {"items": [item]}}]

    def answer(self, call: Call) -> Answer:
        ticket = call.parts[4] if len(call.parts) > 4 else ""
        refusal = self.refusal(call, ticket)
        if refusal is not None:
            return refusal
        if call.method == "GET":
            labels = sorted(self.tags[ticket])
            return Answer(200, {"key": ticket, "fields": {"labels": labels}})
        if "fields" in call.json:
            self.tags[ticket] = set(call.json["fields"]["labels"])
            return Answer(204)
        steps = call.json["update"]["labels"]
        add = [step["add"] for step in steps if "add" in step]
        if any(" " in tag for tag in add):
            return Answer(400, {"errors": {"labels": "The label can't contain spaces."}})
        remove = [step["remove"] for step in steps if "remove" in step]
        self.change(ticket, add, remove, actor=OUR_LOGIN)
        return Answer(204)
