"""Tags on Zendesk tickets.

The ticket update call replaces all tags, so it is never used. `PUT /api/v2/tickets/{id}/tags` adds
and `DELETE` removes those named; both take `safe_update` with `updated_stamp`, the ticket's
`updated_at`, and answer 409 when the ticket changed since: without it tags are lost to collisions.

https://developer.zendesk.com/api-reference/ticketing/ticket-management/tags/
https://developer.zendesk.com/documentation/ticketing/managing-tickets/adding-tags-to-tickets-without-overwriting-existing-tags/
Webhooks: https://developer.zendesk.com/api-reference/webhooks/event-types/ticket-events/
(`tags_changed` has `tags_added`, `tags_removed` and the actor; a trigger's body is the user's own).
"""

import re
from base64 import b64encode
from typing import Any, ClassVar

from enrich.actions.adapters.contract import (
    Guarantee,
    OverHttp,
    Seen,
    Ticket,
    TicketNews,
    dig,
    one_by_one,
    valid_id,
    words,
)
from enrich.actions.adapters.moments import moment
from enrich.actions.errors import NotOursError, TransientError
from enrich.actions.settings import ZendeskTarget
from enrich.actions.tags import TagChange

NUMBER = re.compile(r"[1-9][0-9]{0,18}")
EVENT = "zen:event-type:ticket."


def headers(settings: ZendeskTarget, token: str) -> dict[str, str]:
    """Basic authentication with an API token."""
    pair = b64encode(f"{settings.user}/token:{token}".encode()).decode()
    return {"authorization": f"Basic {pair}", "accept": "application/json"}


class Zendesk(OverHttp):
    """Adds are idempotent and safe from collisions."""

    name: ClassVar[str] = "zendesk"
    presets: ClassVar[frozenset[str]] = frozenset({"zendesk"})
    guarantee: ClassVar[Guarantee] = Guarantee.EXACTLY_ONCE
    max_tag_chars: ClassVar[int] = 80
    overwrites: ClassVar[bool] = False

    def ticket_of(self, payload: Any) -> Ticket:
        """From an event's `detail.id`, or `ticket_id`, `ticket.id`, `id` of a trigger's body."""
        candidates = (
            dig(payload, "detail", "id"),
            dig(payload, "ticket_id"),
            dig(payload, "ticket", "id"),
            dig(payload, "id"),
        )
        found = next((value for value in candidates if value not in (None, "")), None)
        if found is None:
            raise NotOursError("the event is about no ticket")
        return Ticket("", valid_id(found, NUMBER, "ticket id"))

    def news_of(self, payload: Any) -> TicketNews | None:
        """A difference from `tags_changed`; the whole state from a trigger that sends tags."""
        ticket = self.ticket_of(payload)
        kind = dig(payload, "type")
        if isinstance(kind, str) and kind.startswith(EVENT):
            changed = kind == f"{EVENT}tags_changed"
            return TicketNews(
                ticket,
                words(dig(payload, "detail", "actor_id")),
                added=_tags(dig(payload, "event", "tags_added")) if changed else None,
                removed=_tags(dig(payload, "event", "tags_removed")) if changed else None,
                only_tags=changed,
            )
        held = payload if "tags" in payload else dig(payload, "ticket")
        tags = dig(held, "tags")
        return TicketNews(
            ticket,
            words(dig(payload, "current_user"), dig(payload, "actor_id")),
            tags=None if tags is None else _tags(tags),
            at=moment(dig(held, "updated_at")),
        )

    async def read(self, ticket: Ticket) -> Seen:
        """The tags and `updated_at`, in one answer."""
        reply = await self._out.expect("GET", "api", "v2", "tickets", f"{ticket.id}.json")
        found = dig(reply.json(), "ticket")
        stamp, tags = dig(found, "updated_at"), dig(found, "tags")
        if not isinstance(stamp, str) or not isinstance(tags, list):
            raise TransientError(f"{reply.host} answered without a ticket", kind="bad_answer")
        return Seen(_tags(tags), stamp)

    async def change(self, ticket: Ticket, seen: Seen, change: TagChange) -> None:
        """Adds, then removes; the first moves the ticket on, so it is read again between."""
        path = ("api", "v2", "tickets", ticket.id, "tags.json")

        async def add() -> None:
            await self._out.expect("PUT", *path, body=_safe(change.add, seen))

        async def remove() -> None:
            latest = await self.read(ticket) if change.add else seen
            await self._out.expect("DELETE", *path, body=_safe(change.remove, latest))

        await one_by_one([*([add] if change.add else []), *([remove] if change.remove else [])])


def _safe(tags: frozenset[str], seen: Seen) -> dict[str, Any]:
    return {"tags": sorted(tags), "updated_stamp": seen.version, "safe_update": "true"}


def _tags(value: Any) -> frozenset[str]:
    """A list of tags, or the space-separated text that placeholders give."""
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    return (
        frozenset(t for t in value if isinstance(t, str))
        if isinstance(value, list)
        else frozenset()
    )
