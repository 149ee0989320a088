"""Notes on Sentry issues.

`GET` and `POST /api/0/organizations/{organization}/issues/{issue_id}/comments/` read and write the
notes of an issue; Sentry itself refuses the same text by the same user within an hour.
Issues carry the tags of their events and take no others, so a note is what can be written back.

https://github.com/getsentry/sentry/blob/master/src/sentry/issues/endpoints/group_notes.py
https://docs.sentry.io/integrations/integration-platform/webhooks/comments/
"""

import re
from typing import Any, ClassVar

from enrich.actions.adapters.contract import (
    Guarantee,
    OverHttp,
    Ticket,
    TicketNews,
    dig,
    one_of,
    valid_id,
    words,
)
from enrich.actions.errors import NotOursError
from enrich.actions.outbound import Outbound
from enrich.actions.settings import SentryTarget

NUMBER = re.compile(r"[1-9][0-9]{0,18}")


def headers(token: str) -> dict[str, str]:
    """A token of an internal integration or a user."""
    return {"authorization": f"Bearer {token}", "accept": "application/json"}


class Sentry(OverHttp):
    """A note is read back before it is written again."""

    name: ClassVar[str] = "sentry"
    presets: ClassVar[frozenset[str]] = frozenset({"sentry"})
    guarantee: ClassVar[Guarantee] = Guarantee.EXACTLY_ONCE

    def __init__(self, settings: SentryTarget, out: Outbound) -> None:
        super().__init__(out)
        self._organization = settings.organization
        self._projects = settings.projects

    def ticket_of(self, payload: Any) -> Ticket:
        """The issue, from an issue, event, error or comment webhook."""
        data = dig(payload, "data")
        found = next(
            (
                value
                for value in (
                    dig(data, "issue", "id"),
                    dig(data, "event", "issue_id"),
                    dig(data, "error", "issue_id"),
                    dig(data, "issue_id"),
                )
                if value is not None
            ),
            None,
        )
        if found is None:
            raise NotOursError("the event is about no issue")
        if self._projects:
            one_of(_project(data), self._projects, "project")
        return Ticket(self._organization, valid_id(found, NUMBER, "issue id"))

    def news_of(self, payload: Any) -> TicketNews | None:
        """A comment, and who wrote it."""
        note = dig(payload, "data", "comment")
        return TicketNews(
            self.ticket_of(payload),
            words(dig(payload, "actor", "id"), dig(payload, "actor", "name")),
            note=note if isinstance(note, str) else None,
        )

    async def notes(self, ticket: Ticket) -> list[str]:
        """The newest notes."""
        found = (await self._out.expect("GET", *self._path(ticket), slash=True)).json()
        notes = found if isinstance(found, list) else []
        return [t for t in (dig(note, "data", "text") for note in notes) if isinstance(t, str)]

    async def add_note(self, ticket: Ticket, text: str) -> None:
        """Write a note."""
        await self._out.expect("POST", *self._path(ticket), body={"text": text}, slash=True)

    def _path(self, ticket: Ticket) -> tuple[str, ...]:
        return ("api", "0", "organizations", ticket.project, "issues", ticket.id, "comments")


def _project(data: Any) -> Any:
    for held in ("issue", "event", "error"):
        slug = dig(data, held, "project", "slug")
        if slug is not None:
            return slug
    return dig(data, "project_slug") or dig(data, "event", "project_slug")
