"""Labels on GitHub issues and pull requests.

- Read: `GET /repos/{owner}/{repo}/issues/{issue_number}/labels`
- Add: `POST` to the same, `{"labels": [...]}`: adds, keeps the others, creates unknown ones. Never
  with an empty list: that removes every label.
- Remove: `DELETE .../labels/{name}`, 404 when it is not there.

https://docs.github.com/en/rest/issues/labels
Limits: 403 or 429 with `retry-after`, or `x-ratelimit-remaining: 0` and `x-ratelimit-reset`.
https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
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
    words,
)
from enrich.actions.errors import NotOursError, PermanentError, TransientError
from enrich.actions.outbound import MAX_RETRY_AFTER_SECONDS, Outbound, Reply
from enrich.actions.settings import GitHubTarget
from enrich.actions.tags import TagChange

NUMBER = re.compile(r"[1-9][0-9]{0,9}")
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")
MAX_PAGES = 10
PAGE = 100


def headers(token: str) -> dict[str, str]:
    """What every call carries."""
    return {
        "authorization": f"Bearer {token}",
        "accept": "application/vnd.github+json",
        "x-github-api-version": "2022-11-28",
    }


class GitHub(OverHttp):
    """Adds are idempotent, so an action has its effect once however often it is tried."""

    name: ClassVar[str] = "github"
    presets: ClassVar[frozenset[str]] = frozenset({"github"})
    guarantee: ClassVar[Guarantee] = Guarantee.EXACTLY_ONCE
    max_tag_chars: ClassVar[int] = 50
    overwrites: ClassVar[bool] = False

    def __init__(
        self,
        settings: GitHubTarget,
        out: Outbound,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(out)
        self._repositories = [r for r in settings.repositories if REPOSITORY.fullmatch(r)]
        self._now = now

    def ticket_of(self, payload: Any) -> Ticket:
        """The issue, pull request, or the one that was commented on."""
        number = next(
            (
                dig(payload, kind, "number")
                for kind in ("issue", "pull_request")
                if dig(payload, kind, "number") is not None
            ),
            None,
        )
        if number is None:
            raise NotOursError("the event is about no issue or pull request")
        name = dig(payload, "repository", "full_name")
        repository = one_of(name, self._repositories, "repository")
        return Ticket(repository, valid_id(number, NUMBER, "issue number"))

    def news_of(self, payload: Any) -> TicketNews | None:
        """`labeled` and `unlabeled` tell one label each, and the sender."""
        ticket = self.ticket_of(payload)
        actors = words(dig(payload, "sender", "login"), dig(payload, "sender", "id"))
        label = dig(payload, "label", "name")
        changed = frozenset({label}) if isinstance(label, str) else frozenset[str]()
        action = dig(payload, "action")
        if action not in ("labeled", "unlabeled"):
            note = dig(payload, "comment", "body")
            return TicketNews(ticket, actors, note=note if isinstance(note, str) else None)
        return TicketNews(
            ticket,
            actors,
            added=changed if action == "labeled" else frozenset(),
            removed=changed if action == "unlabeled" else frozenset(),
            only_tags=True,
        )

    async def read(self, ticket: Ticket) -> Seen:
        """Every label, page by page."""
        tags: set[str] = set()
        for page in range(1, MAX_PAGES + 1):
            query = {"per_page": str(PAGE), "page": str(page)}
            found = (await self._call("GET", ticket, "labels", query=query)).json()
            names = [dig(label, "name") for label in found] if isinstance(found, list) else []
            tags.update(name for name in names if isinstance(name, str))
            if len(names) < PAGE:
                break
        return Seen(frozenset(tags))

    async def change(self, ticket: Ticket, seen: Seen, change: TagChange) -> None:
        """One call for all that is added, one for each that is removed."""
        add = partial(self._call, "POST", ticket, "labels", body={"labels": sorted(change.add)})
        await one_by_one(
            [
                *([add] if change.add else []),
                *(
                    partial(self._call, "DELETE", ticket, "labels", tag, gone_is_fine=True)
                    for tag in sorted(change.remove)
                ),
            ]
        )

    async def _call(
        self, method: str, ticket: Ticket, *rest: str, gone_is_fine: bool = False, **options: Any
    ) -> Reply:
        owner, _, repository = ticket.project.partition("/")
        path = ("repos", owner, repository, "issues", ticket.id, *rest)
        reply = await self._out.call(method, *path, **options)
        if reply.status < 400 or (gone_is_fine and reply.status == 404):
            return reply
        raise self._error_of(reply)

    def _error_of(self, reply: Reply) -> TransientError | PermanentError:
        """Both 403 and 429 may mean that the limit is reached."""
        spent = reply.headers.get("x-ratelimit-remaining") == "0"
        if reply.status not in (403, 429) or not (spent or "retry-after" in reply.headers):
            return self._out.error_of(reply)
        said = f"{reply.host} answered {reply.status}"
        wait = getattr(self._out.error_of(reply), "retry_after_seconds", None)
        return TransientError(
            said, kind="rate_limited", retry_after_seconds=wait or self._until_reset(reply)
        )

    def _until_reset(self, reply: Reply) -> float:
        try:
            seconds = float(reply.headers.get("x-ratelimit-reset", "")) - self._now().timestamp()
        except ValueError:
            seconds = 60.0
        return min(max(seconds, 1.0), MAX_RETRY_AFTER_SECONDS)
