"""Labels on Jira issues.

`PUT /rest/api/3/issue/{key}` with `{"update": {"labels": [{"add": "x"}, {"remove": "y"}]}}`
changes those named and no other; `fields.labels` would replace them all.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-issueidorkey-put
Webhooks: https://developer.atlassian.com/cloud/jira/platform/webhooks/ (`changelog.items`, `user`).
Version 2 of the API serves Data Center and takes the same body, so it is used for both.
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
    one_of,
    valid_id,
    words,
)
from enrich.actions.adapters.moments import moment
from enrich.actions.errors import NotOursError
from enrich.actions.outbound import Outbound
from enrich.actions.settings import JiraTarget
from enrich.actions.tags import TagChange

KEY = re.compile(r"[A-Z][A-Z0-9_]{1,30}-[1-9][0-9]{0,9}")


def headers(settings: JiraTarget, token: str) -> dict[str, str]:
    """Basic authentication with an API token, or a bearer token where no user is given."""
    pair = b64encode(f"{settings.user}:{token}".encode()).decode()
    value = f"Basic {pair}" if settings.user else f"Bearer {token}"
    return {"authorization": value, "accept": "application/json"}


class Jira(OverHttp):
    """Adds and removes are operations, idempotent, both in one call."""

    name: ClassVar[str] = "jira"
    presets: ClassVar[frozenset[str]] = frozenset({"jira", "jira_connect"})
    guarantee: ClassVar[Guarantee] = Guarantee.EXACTLY_ONCE
    max_tag_chars: ClassVar[int] = 255
    overwrites: ClassVar[bool] = False

    def __init__(self, settings: JiraTarget, out: Outbound) -> None:
        super().__init__(out)
        self._projects = settings.projects

    def ticket_of(self, payload: Any) -> Ticket:
        """By the issue's key; its project must be configured."""
        found = dig(payload, "issue", "key")
        if found is None:
            raise NotOursError("the event is about no issue")
        key = valid_id(found, KEY, "issue key")
        project = one_of(key.partition("-")[0], self._projects, "project")
        return Ticket(project, key)

    def news_of(self, payload: Any) -> TicketNews | None:
        """A changelog item for `labels` has all labels before and after, separated by blanks."""
        ticket = self.ticket_of(payload)
        user = dig(payload, "user")
        actors = words(dig(user, "accountId"), dig(user, "name"), dig(user, "key"))
        items = dig(payload, "changelog", "items")
        items = items if isinstance(items, list) else []
        labels = [item for item in items if dig(item, "field") == "labels"]
        if not labels:
            note = dig(payload, "comment", "body")
            return TicketNews(ticket, actors, note=note if isinstance(note, str) else None)
        before, after = _labels(labels[0], "fromString"), _labels(labels[-1], "toString")
        return TicketNews(
            ticket,
            actors,
            added=after - before,
            removed=before - after,
            only_tags=len(labels) == len(items) and dig(payload, "comment") is None,
            at=moment(dig(payload, "timestamp")),
        )

    async def read(self, ticket: Ticket) -> Seen:
        """The labels."""
        path = ("rest", "api", "2", "issue", ticket.id)
        reply = await self._out.expect("GET", *path, query={"fields": "labels"})
        labels = dig(reply.json(), "fields", "labels")
        labels = labels if isinstance(labels, list) else []
        return Seen(frozenset(label for label in labels if isinstance(label, str)))

    async def change(self, ticket: Ticket, seen: Seen, change: TagChange) -> None:
        """One call."""
        steps = [{"add": tag} for tag in sorted(change.add)]
        steps += [{"remove": tag} for tag in sorted(change.remove)]
        path = ("rest", "api", "2", "issue", ticket.id)
        await self._out.expect("PUT", *path, body={"update": {"labels": steps}})


def _labels(item: Any, key: str) -> frozenset[str]:
    value = dig(item, key)
    return frozenset(value.split()) if isinstance(value, str) else frozenset()
