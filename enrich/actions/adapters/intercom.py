"""Tags on Intercom conversations.

- Read: `GET /conversations/{id}` has `tags.tags`.
- Find or make a tag: `POST /tags {"name": ...}` answers with the existing one of that name.
- Attach: `POST /conversations/{id}/tags {"id", "admin_id"}`; detach: `DELETE .../tags/{tag_id}`.

https://developers.intercom.com/docs/references/rest-api/api.intercom.io/conversations
https://developers.intercom.com/docs/references/rest-api/api.intercom.io/tags
Limits: 429 with `X-RateLimit-Reset`, a Unix time.
Webhooks: `conversation_part.tag.created` has `tags_added` and no actor; nothing tells of a removal,
so that is read from the state that other topics carry.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

from enrich.actions.adapters.contract import (
    Guarantee,
    OverHttp,
    Seen,
    Ticket,
    TicketNews,
    dig,
    one_by_one,
    one_of,
    valid_id,
)
from enrich.actions.adapters.moments import moment
from enrich.actions.errors import NotOursError, TransientError
from enrich.actions.outbound import Outbound, Reply
from enrich.actions.settings import IntercomTarget
from enrich.actions.tags import TagChange

NUMBER = re.compile(r"[1-9][0-9]{0,19}")
TAG_TOPICS = ("conversation_part.tag.created",)


def headers(token: str) -> dict[str, str]:
    """A bearer token, and the API's version."""
    return {
        "authorization": f"Bearer {token}",
        "accept": "application/json",
        "intercom-version": "2.14",
    }


class Intercom(OverHttp):
    """Attaching an attached tag changes nothing."""

    name: ClassVar[str] = "intercom"
    presets: ClassVar[frozenset[str]] = frozenset({"intercom"})
    guarantee: ClassVar[Guarantee] = Guarantee.EXACTLY_ONCE
    max_tag_chars: ClassVar[int] = 255
    overwrites: ClassVar[bool] = False

    def __init__(
        self,
        settings: IntercomTarget,
        out: Outbound,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(out)
        self._admin_id = settings.admin_id
        self._app_id = settings.app_id
        self._now = now

    def ticket_of(self, payload: Any) -> Ticket:
        """The conversation; of another workspace's none."""
        item = dig(payload, "data", "item")
        if dig(item, "type") not in ("conversation", "conversation_part"):
            raise NotOursError("the event is about no conversation")
        if self._app_id:
            one_of(dig(payload, "app_id"), [self._app_id], "workspace")
        found = dig(item, "conversation_id") or dig(item, "conversation", "id") or dig(item, "id")
        return Ticket(self._app_id, valid_id(found, NUMBER, "conversation id"))

    def news_of(self, payload: Any) -> TicketNews | None:
        """What was tagged where the topic says so; otherwise the conversation's whole state."""
        ticket = self.ticket_of(payload)
        item = dig(payload, "data", "item")
        if dig(payload, "topic") in TAG_TOPICS:
            return TicketNews(
                ticket,
                added=_names(dig(item, "tags_added")),
                removed=frozenset(),
                only_tags=True,
                at=moment(dig(payload, "created_at")),
            )
        tags = dig(item, "tags", "tags")
        return TicketNews(
            ticket,
            tags=None if tags is None else _names(dig(item, "tags")),
            at=moment(dig(item, "updated_at")),
        )

    async def read(self, ticket: Ticket) -> Seen:
        """The tags' names."""
        reply = await self._call("GET", "conversations", ticket.id)
        return Seen(_names(dig(reply.json(), "tags")))

    async def change(self, ticket: Ticket, seen: Seen, change: TagChange) -> None:
        """Two calls for each tag that is added, two for each that is removed."""
        path, admin = ("conversations", ticket.id, "tags"), {"admin_id": self._admin_id}

        async def attach(tag: str) -> None:
            await self._call("POST", *path, body={"id": await self._tag_id(tag), **admin})

        async def detach(tag: str) -> None:
            key = await self._tag_id(tag)
            await self._call("DELETE", *path, key, body=admin, gone_is_fine=True)

        await one_by_one(
            [
                *(partial(attach, tag) for tag in sorted(change.add)),
                *(partial(detach, tag) for tag in sorted(change.remove)),
            ]
        )

    async def _tag_id(self, tag: str) -> str:
        reply = await self._call("POST", "tags", body={"name": tag})
        found = dig(reply.json(), "id")
        if not isinstance(found, str | int):
            raise TransientError(f"{reply.host} answered without a tag", kind="bad_answer")
        return str(found)

    async def _call(
        self, method: str, *path: str, gone_is_fine: bool = False, **options: Any
    ) -> Reply:
        reply = await self._out.call(method, *path, **options)
        if reply.status < 400 or (gone_is_fine and reply.status == 404):
            return reply
        error = self._out.error_of(reply)
        if reply.status == 429 and isinstance(error, TransientError):
            error.retry_after_seconds = error.retry_after_seconds or self._until_reset(reply)
        raise error

    def _until_reset(self, reply: Reply) -> float:
        try:
            seconds = float(reply.headers.get("x-ratelimit-reset", "")) - self._now().timestamp()
        except ValueError:
            return 10.0
        return min(max(seconds, 1.0), 600.0)


def _names(held: Any) -> frozenset[str]:
    tags = dig(held, "tags")
    tags = tags if isinstance(tags, list) else []
    return frozenset(n for n in (dig(tag, "name") for tag in tags) if isinstance(n, str))
