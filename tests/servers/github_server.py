"""GitHub's labels API: POST adds (an empty list removes all!), DELETE of a missing label is 404."""

from collections.abc import Iterable
from typing import Any

from enrich.actions.settings import GitHubTarget
from tests.servers.asgi import LOOPBACK, Answer, Call
from tests.servers.tickets import OUR_LOGIN, TOKEN, TicketServer


class GitHubServer(TicketServer):
    preset = "github"
    repository = "acme/app"

    def settings(self, **more: Any) -> GitHubTarget:
        given = {
            "adapter": "github",
            "repositories": [self.repository],
            "token": TOKEN,
            "url": self.url,
            "allow_addresses": LOOPBACK,
            "accounts": [OUR_LOGIN],
            "calls_per_second": 1000,
        }
        return GitHubTarget.model_validate(given | more)

    def payload(self, ticket: str) -> Any:
        return {
            "action": "opened",
            "issue": {"number": int(ticket), "title": "It fails", "body": "Since today."},
            "repository": {"full_name": self.repository},
            "sender": {"login": "customer", "id": 7},
        }

    def change_payload(
        self, ticket: str, added: Iterable[str], removed: Iterable[str], actor: str
    ) -> list[Any]:
        sent = []
        for action, tags in (("labeled", added), ("unlabeled", removed)):
            for tag in sorted(tags):
                event = {**self.payload(ticket), "action": action, "label": {"name": tag}}
                sent.append({**event, "sender": {"login": actor, "id": 1}})
        return sent

    def answer(self, call: Call) -> Answer:
        ticket = call.parts[4] if len(call.parts) > 4 else ""
        refusal = self.refusal(call, ticket)
        if refusal is not None or call.parts[:4] != ["repos", "acme", "app", "issues"]:
            return refusal or Answer(404, {"message": "Not Found"})
        if call.method == "GET":
            first = (int(call.query["page"]) - 1) * int(call.query["per_page"])
            page = sorted(self.tags[ticket])[first : first + int(call.query["per_page"])]
            return Answer(200, [{"name": tag} for tag in page])
        if call.method == "POST":
            labels = call.json["labels"]
            if not labels:
                self.change(ticket, remove=self.tags[ticket], actor=OUR_LOGIN)
            self.change(ticket, add=labels, actor=OUR_LOGIN)
        elif call.method == "DELETE":
            if call.parts[6] not in self.tags[ticket]:
                return Answer(404, {"message": "Label does not exist"})
            self.change(ticket, remove=[call.parts[6]], actor=OUR_LOGIN)
        return Answer(200, [{"name": tag} for tag in sorted(self.tags[ticket])])
