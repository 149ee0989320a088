"""Sentry and PagerDuty: notes on issues and incidents, and the webhook each note sends."""

from typing import Any

from enrich.actions.settings import PagerDutyTarget, SentryTarget
from tests.servers.asgi import LOOPBACK, Answer, Call, FakeServer
from tests.servers.tickets import OUR_LOGIN, TOKEN

SHARED = {"allow_addresses": LOOPBACK, "accounts": [OUR_LOGIN], "calls_per_second": 1000}


class NoteServer(FakeServer):
    preset = ""

    def __init__(self) -> None:
        super().__init__()
        self.notes: dict[str, list[str]] = {}
        self.webhooks: list[Any] = []

    def settings(self, **more: Any) -> Any:
        raise NotImplementedError

    def payload(self, ticket: str) -> Any:
        raise NotImplementedError

    def note_payload(self, ticket: str, text: str, actor: str) -> Any:
        raise NotImplementedError

    def write(self, ticket: str, text: str, actor: str = OUR_LOGIN) -> None:
        self.notes[ticket].append(text)
        self.webhooks.append(self.note_payload(ticket, text, actor))


class SentryServer(NoteServer):
    preset = "sentry"

    def settings(self, **more: Any) -> SentryTarget:
        given = {"adapter": "sentry", "organization": "acme", "token": TOKEN, "url": self.url}
        return SentryTarget.model_validate(given | SHARED | more)

    def payload(self, ticket: str) -> Any:
        issue = {"id": ticket, "title": "KeyError", "project": {"slug": "front-end"}}
        return {"action": "created", "actor": {"id": "sentry"}, "data": {"issue": issue}}

    def note_payload(self, ticket: str, text: str, actor: str) -> Any:
        data = {"comment": text, "issue_id": int(ticket), "project_slug": "front-end"}
        return {"action": "created", "actor": {"id": 1, "name": actor}, "data": data}

    def answer(self, call: Call) -> Answer:
        if not call.raw_path.endswith("/comments/"):
            return Answer(301, b"", {"Location": f"{call.raw_path}/"})
        ticket = call.parts[5]
        if call.headers.get("authorization") != f"Bearer {TOKEN}":
            return Answer(401, {"detail": "Invalid token"})
        if call.parts[3] != "acme" or ticket not in self.notes:
            return Answer(404, {"detail": "The requested resource does not exist"})
        if call.method == "POST":
            self.write(ticket, call.json["text"])
            return Answer(201, {})
        return Answer(200, [{"data": {"text": text}} for text in self.notes[ticket]])


class PagerDutyServer(NoteServer):
    preset = "pagerduty"

    def settings(self, **more: Any) -> PagerDutyTarget:
        given = {"adapter": "pagerduty", "user": "bot@acme.example", "token": TOKEN}
        return PagerDutyTarget.model_validate(given | {"url": self.url} | SHARED | more)

    def payload(self, ticket: str) -> Any:
        data = {"id": ticket, "type": "incident", "title": "502"}
        return {"event": {"event_type": "incident.triggered", "data": data}}

    def note_payload(self, ticket: str, text: str, actor: str) -> Any:
        data = {"id": "PNOTE01", "type": "incident_note", "content": text}
        event = {"event_type": "incident.annotated", "agent": {"id": actor}}
        return {"event": {**event, "data": {**data, "incident": {"id": ticket}}}}

    def answer(self, call: Call) -> Answer:
        ticket = call.parts[1]
        if call.headers.get("authorization") != f"Token token={TOKEN}":
            return Answer(401, {"error": {"code": 2006}})
        if ticket not in self.notes:
            return Answer(404, {"error": {"code": 2100}})
        if call.method == "POST":
            if "@" not in call.headers.get("from", ""):
                return Answer(400, {"error": {"message": "Requester User Not Found"}})
            self.write(ticket, call.json["note"]["content"])
            return Answer(200, call.json)
        return Answer(200, {"notes": [{"content": text} for text in self.notes[ticket]]})
