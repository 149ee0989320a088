"""Notes on PagerDuty incidents.

`GET` and `POST /incidents/{id}/notes` read and write them; writing needs a `From` header with the
e-mail address of a user. There is no key to recognise a repeated note by, so notes are read first.

https://developer.pagerduty.com/api-reference/a1ac30885eb7a-create-a-note-on-an-incident
https://developer.pagerduty.com/docs/webhooks/v3-overview/ (`incident.annotated` has the note)
https://developer.pagerduty.com/docs/rest-api-v2/rate-limiting/ (429 with `ratelimit-reset`)
"""

import re
from typing import Any, ClassVar

from enrich.actions.adapters.contract import (
    Guarantee,
    OverHttp,
    Ticket,
    TicketNews,
    dig,
    valid_id,
    words,
)
from enrich.actions.errors import NotOursError
from enrich.actions.settings import PagerDutyTarget

INCIDENT = re.compile(r"[A-Z0-9]{6,20}")


def headers(settings: PagerDutyTarget, token: str) -> dict[str, str]:
    """A REST API key, and in whose name."""
    return {
        "authorization": f"Token token={token}",
        "accept": "application/vnd.pagerduty+json;version=2",
        "from": settings.user,
    }


class PagerDuty(OverHttp):
    """A note is read back before it is written again."""

    name: ClassVar[str] = "pagerduty"
    presets: ClassVar[frozenset[str]] = frozenset({"pagerduty"})
    guarantee: ClassVar[Guarantee] = Guarantee.EXACTLY_ONCE

    def ticket_of(self, payload: Any) -> Ticket:
        """The incident, or the one that a note is on."""
        data = dig(payload, "event", "data")
        incident = data if dig(data, "type") == "incident" else dig(data, "incident")
        if dig(incident, "id") is None:
            raise NotOursError("the event is about no incident")
        return Ticket("", valid_id(dig(incident, "id"), INCIDENT, "incident id"))

    def news_of(self, payload: Any) -> TicketNews | None:
        """A note, and who wrote it."""
        note = dig(payload, "event", "data", "content")
        return TicketNews(
            self.ticket_of(payload),
            words(dig(payload, "event", "agent", "id")),
            note=note if isinstance(note, str) else None,
        )

    async def notes(self, ticket: Ticket) -> list[str]:
        """Every note."""
        found = dig((await self._out.expect("GET", *_path(ticket))).json(), "notes")
        notes = found if isinstance(found, list) else []
        return [t for t in (dig(note, "content") for note in notes) if isinstance(t, str)]

    async def add_note(self, ticket: Ticket, text: str) -> None:
        """Write a note."""
        await self._out.expect("POST", *_path(ticket), body={"note": {"content": text}})


def _path(ticket: Ticket) -> tuple[str, ...]:
    return ("incidents", ticket.id, "notes")
