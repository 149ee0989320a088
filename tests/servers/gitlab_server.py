"""GitLab's issues API: add_labels and remove_labels change, labels replaces."""

from collections.abc import Iterable
from typing import Any

from enrich.actions.settings import GitLabTarget
from tests.servers.asgi import LOOPBACK, Answer, Call
from tests.servers.tickets import OUR_LOGIN, TOKEN, TicketServer


class GitLabServer(TicketServer):
    preset = "gitlab"
    project = "acme/app"

    def settings(self, **more: Any) -> GitLabTarget:
        given = {
            "adapter": "gitlab",
            "projects": [self.project],
            "token": TOKEN,
            "url": self.url,
            "allow_addresses": LOOPBACK,
            "accounts": [OUR_LOGIN],
            "calls_per_second": 1000,
        }
        return GitLabTarget.model_validate(given | more)

    def is_authorised(self, call: Call) -> bool:
        return call.headers.get("private-token") == TOKEN

    def payload(self, ticket: str) -> Any:
        return {
            "object_kind": "issue",
            "user": {"id": 9, "username": "customer"},
            "project": {"id": 7, "path_with_namespace": self.project},
            "object_attributes": {"iid": int(ticket), "title": "It fails", "action": "open"},
            "changes": {},
        }

    def change_payload(
        self, ticket: str, added: Iterable[str], removed: Iterable[str], actor: str
    ) -> list[Any]:
        after = self.tags[ticket]
        before = (after - set(added)) | set(removed)
        event = self.payload(ticket)
        event["user"] = {"id": 3, "username": actor}
        event["changes"] = {
            "labels": {
                "previous": [{"title": tag} for tag in sorted(before)],
                "current": [{"title": tag} for tag in sorted(after)],
            },
            "updated_at": {"previous": "2026-03-02", "current": "2026-03-02"},
        }
        return [event]

    def answer(self, call: Call) -> Answer:
        ticket = call.parts[-1]
        refusal = self.refusal(call, ticket)
        if refusal is not None or call.parts[3] != self.project:
            return refusal or Answer(404, {"message": "404 Project Not Found"})
        if call.method == "PUT" and "labels" in call.json:
            self.tags[ticket] = set(call.json["labels"].split(","))
        elif call.method == "PUT":
            add = call.json.get("add_labels", "")
            remove = call.json.get("remove_labels", "")
            self.change(ticket, split(add), split(remove), actor=OUR_LOGIN)
        return Answer(200, {"iid": int(ticket), "labels": sorted(self.tags[ticket])})


def split(names: str) -> list[str]:
    return [name for name in names.split(",") if name]
