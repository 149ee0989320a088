"""Labels on GitLab issues and merge requests.

`PUT /projects/:id/issues/:issue_iid` (and `/merge_requests/`) with `add_labels` and
`remove_labels`, comma-separated, changes those named; `labels` would replace them all.

https://docs.gitlab.com/api/issues/#update-an-issue
https://docs.gitlab.com/api/merge_requests/#update-a-merge-request
Webhooks: https://docs.gitlab.com/user/project/integrations/webhook_events/ (`changes.labels` has
`previous` and `current`; `user` changed them).
"""

import re
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
from enrich.actions.settings import GitLabTarget
from enrich.actions.tags import TagChange

NUMBER = re.compile(r"[1-9][0-9]{0,9}")
KINDS = {"issue": "issues", "merge_request": "merge_requests"}
ONLY_TAGS = frozenset({"labels", "updated_at", "updated_by_id", "last_edited_at"})


def headers(token: str) -> dict[str, str]:
    """A personal, project or group access token."""
    return {"private-token": token, "accept": "application/json"}


class GitLab(OverHttp):
    """Adds and removes are idempotent, both in one call."""

    name: ClassVar[str] = "gitlab"
    presets: ClassVar[frozenset[str]] = frozenset({"gitlab", "gitlab_token"})
    guarantee: ClassVar[Guarantee] = Guarantee.EXACTLY_ONCE
    max_tag_chars: ClassVar[int] = 255
    overwrites: ClassVar[bool] = False

    def __init__(self, settings: GitLabTarget, out: Outbound) -> None:
        super().__init__(out)
        self._projects = settings.projects

    def ticket_of(self, payload: Any) -> Ticket:
        """The issue or merge request, or the one that a note is on; ids are `issues/7`."""
        kind = dig(payload, "object_kind")
        held = dig(payload, "object_attributes")
        if kind == "note":
            kind, held = next(
                ((k, dig(payload, k)) for k in KINDS if dig(payload, k) is not None), (None, None)
            )
        if not isinstance(kind, str) or kind not in KINDS:
            raise NotOursError("the event is about no issue or merge request")
        name = dig(payload, "project", "path_with_namespace")
        project = one_of(name, self._projects, "project")
        return Ticket(project, f"{KINDS[kind]}/{valid_id(dig(held, 'iid'), NUMBER, 'number')}")

    def news_of(self, payload: Any) -> TicketNews | None:
        """The labels before and after."""
        ticket = self.ticket_of(payload)
        actors = words(dig(payload, "user", "username"), dig(payload, "user", "id"))
        changes = dig(payload, "changes")
        if dig(changes, "labels") is None:
            note = dig(payload, "object_attributes", "note")
            return TicketNews(ticket, actors, note=note if isinstance(note, str) else None)
        before, after = (_titles(dig(changes, "labels", key)) for key in ("previous", "current"))
        return TicketNews(
            ticket,
            actors,
            added=after - before,
            removed=before - after,
            only_tags=set(changes) <= ONLY_TAGS,
            at=moment(dig(payload, "object_attributes", "updated_at")),
        )

    async def read(self, ticket: Ticket) -> Seen:
        """The labels."""
        reply = await self._out.expect("GET", *_path(ticket))
        labels = dig(reply.json(), "labels")
        labels = labels if isinstance(labels, list) else []
        return Seen(frozenset(label for label in labels if isinstance(label, str)))

    async def change(self, ticket: Ticket, seen: Seen, change: TagChange) -> None:
        """One call; only what is to change is named."""
        body = {
            name: ",".join(sorted(tags))
            for name, tags in (("add_labels", change.add), ("remove_labels", change.remove))
            if tags
        }
        await self._out.expect("PUT", *_path(ticket), body=body)


def _path(ticket: Ticket) -> tuple[str, ...]:
    kind, _, number = ticket.id.partition("/")
    return ("api", "v4", "projects", ticket.project, kind, number)


def _titles(labels: Any) -> frozenset[str]:
    labels = labels if isinstance(labels, list) else []
    return frozenset(t for t in (dig(label, "title") for label in labels) if isinstance(t, str))
