"""Tags on Freshdesk tickets.

Freshdesk has no call that adds a tag and no version to write against: `PUT /api/v2/tickets/{id}`
replaces `tags`. So the ticket is read, its tags are merged and written back, and read again: what a
person changed in between (some tenths of a second) may be overwritten, which no adapter can mend.
A ticket that was updated in the last moments is left for later.

https://developers.freshdesk.com/api/#update_ticket (the ticket's `tags` array is replaced)
https://developers.freshdesk.com/api/#ratelimit (429 with `Retry-After`)
Webhooks come from automation rules, whose body is the user's own.
"""

import re
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from enrich.actions.adapters.contract import (
    Guarantee,
    OverHttp,
    Seen,
    Ticket,
    TicketNews,
    dig,
    valid_id,
    words,
)
from enrich.actions.adapters.moments import moment
from enrich.actions.errors import ConflictError, NotOursError, TransientError
from enrich.actions.outbound import Outbound
from enrich.actions.tags import TagChange

NUMBER = re.compile(r"[1-9][0-9]{0,18}")
QUIET = timedelta(seconds=2)


def headers(token: str) -> dict[str, str]:
    """Basic authentication: the API key and any password."""
    pair = b64encode(f"{token}:X".encode()).decode()
    return {"authorization": f"Basic {pair}", "accept": "application/json"}


class Freshdesk(OverHttp):
    """One effect however often it is tried; a change made in the same moment may be lost."""

    name: ClassVar[str] = "freshdesk"
    presets: ClassVar[frozenset[str]] = frozenset({"freshdesk"})
    guarantee: ClassVar[Guarantee] = Guarantee.EXACTLY_ONCE
    max_tag_chars: ClassVar[int] = 32
    overwrites: ClassVar[bool] = True

    def __init__(
        self, out: Outbound, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        super().__init__(out)
        self._now = now

    def ticket_of(self, payload: Any) -> Ticket:
        """From `freshdesk_webhook.ticket_id`, `ticket_id`, `ticket.id` or `id`."""
        candidates = (
            dig(payload, "freshdesk_webhook", "ticket_id"),
            dig(payload, "ticket_id"),
            dig(payload, "ticket", "id"),
            dig(payload, "id"),
        )
        found = next((value for value in candidates if value not in (None, "")), None)
        if found is None:
            raise NotOursError("the event is about no ticket")
        return Ticket("", valid_id(found, NUMBER, "ticket id"))

    def news_of(self, payload: Any) -> TicketNews | None:
        """The whole state, where the rule's body holds the tags."""
        ticket = self.ticket_of(payload)
        held = dig(payload, "freshdesk_webhook") or dig(payload, "ticket") or payload
        tags = dig(held, "ticket_tags")
        tags = dig(held, "tags") if tags is None else tags
        return TicketNews(
            ticket,
            words(dig(held, "actor_id"), dig(held, "agent_id")),
            tags=None if tags is None else _tags(tags),
            at=moment(dig(held, "updated_at")),
        )

    async def read(self, ticket: Ticket) -> Seen:
        """The tags and `updated_at`."""
        reply = await self._out.expect("GET", "api", "v2", "tickets", ticket.id)
        found = reply.json()
        stamp, tags = dig(found, "updated_at"), dig(found, "tags")
        if not isinstance(stamp, str) or not isinstance(tags, list):
            raise TransientError(f"{reply.host} answered without a ticket", kind="bad_answer")
        return Seen(_tags(tags), stamp)

    async def change(self, ticket: Ticket, seen: Seen, change: TagChange) -> None:
        """Read once more, merge, write, and check."""
        latest = await self.read(ticket)
        touched = moment(latest.version)
        if latest.version != seen.version or (touched and self._now() - touched < QUIET):
            raise ConflictError(f"ticket {ticket} is being changed", retry_after_seconds=2.0)
        tags = sorted((latest.tags | change.add) - change.remove)
        path = ("api", "v2", "tickets", ticket.id)
        await self._out.expect("PUT", *path, body={"tags": tags})


def _tags(value: Any) -> frozenset[str]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    tags = value if isinstance(value, list) else []
    return frozenset(tag for tag in tags if isinstance(tag, str) and tag)
