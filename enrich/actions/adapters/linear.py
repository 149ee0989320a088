"""Labels on Linear issues, by GraphQL.

`issueAddLabel(id, labelId)` and `issueRemoveLabel(id, labelId)` change one label each; setting
`labelIds` in `issueUpdate` would replace them all. A label is found by its name, or made in the
issue's team.

https://linear.app/developers/graphql  and its schema,
https://github.com/linear/linear/blob/master/packages/sdk/src/schema.graphql
https://linear.app/developers/rate-limiting (400 with the code RATELIMITED)
Webhooks: https://linear.app/developers/webhooks (`data.labels`, `updatedFrom.labelIds`, `actor`).
"""

import json
import re
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
from enrich.actions.adapters.moments import moment
from enrich.actions.errors import NotOursError, PermanentError, TransientError
from enrich.actions.outbound import Outbound, Reply
from enrich.actions.settings import LinearTarget
from enrich.actions.tags import TagChange

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
IDENTIFIER = re.compile(r"[A-Z][A-Z0-9]{0,9}-[1-9][0-9]{0,9}")
ONLY_TAGS = frozenset({"labelIds", "updatedAt"})
LIMIT_SECONDS = 60.0

READ = """query($id: String!) { issue(id: $id) {
 team { id } labels(first: 250) { nodes { id name } } } }"""
FIND = """query($name: String!) { issueLabels(filter: { name: { eq: $name } }, first: 50) {
 nodes { id team { id } } } }"""
MAKE = """mutation($name: String!, $team: String!) {
 issueLabelCreate(input: { name: $name, teamId: $team }) { success issueLabel { id } } }"""
ADD = """mutation($id: String!, $label: String!) {
 issueAddLabel(id: $id, labelId: $label) { success } }"""
REMOVE = """mutation($id: String!, $label: String!) {
 issueRemoveLabel(id: $id, labelId: $label) { success } }"""


def headers(token: str) -> dict[str, str]:
    """A personal API key as it is; an OAuth token as bearer."""
    value = token if token.startswith("lin_api_") else f"Bearer {token}"
    return {"authorization": value, "accept": "application/json"}


class Linear(OverHttp):
    """Adding a label that is there changes nothing."""

    name: ClassVar[str] = "linear"
    presets: ClassVar[frozenset[str]] = frozenset({"linear"})
    guarantee: ClassVar[Guarantee] = Guarantee.EXACTLY_ONCE
    max_tag_chars: ClassVar[int] = 80
    overwrites: ClassVar[bool] = False

    def __init__(self, settings: LinearTarget, out: Outbound) -> None:
        super().__init__(out)
        self._teams = settings.teams

    def ticket_of(self, payload: Any) -> Ticket:
        """The issue, or the one that was commented on; its team's key must be configured."""
        held = dig(payload, "data")
        issue = held if dig(payload, "type") == "Issue" else dig(held, "issue")
        if issue is None:
            raise NotOursError("the event is about no issue")
        identifier = valid_id(dig(issue, "identifier"), IDENTIFIER, "issue identifier")
        team = one_of(identifier.partition("-")[0], self._teams, "team")
        return Ticket(team, valid_id(dig(issue, "id"), ID, "issue id"))

    def news_of(self, payload: Any) -> TicketNews | None:
        """The labels now by name; those before by id, among which names are known for the kept."""
        ticket = self.ticket_of(payload)
        actors = words(dig(payload, "actor", "id"), dig(payload, "actor", "email"))
        before, labels = dig(payload, "updatedFrom", "labelIds"), dig(payload, "data", "labels")
        if not isinstance(before, list) or not isinstance(labels, list):
            note = dig(payload, "data", "body")
            return TicketNews(ticket, actors, note=note if isinstance(note, str) else None)
        before = words(*before)
        named = {key: dig(label, "name") for label in labels for key in words(dig(label, "id"))}
        names = frozenset(name for name in named.values() if isinstance(name, str))
        fresh = frozenset(
            name for key, name in named.items() if key not in before and isinstance(name, str)
        )
        lost = before - named.keys()
        return TicketNews(
            ticket,
            actors,
            added=None if lost else fresh,
            removed=None if lost else frozenset(),
            tags=names,
            only_tags=set(dig(payload, "updatedFrom") or ()) <= ONLY_TAGS,
            at=moment(dig(payload, "data", "updatedAt")),
        )

    async def read(self, ticket: Ticket) -> Seen:
        """The labels' names."""
        issue = await self._issue(ticket)
        return Seen(frozenset(_labels(issue)))

    async def change(self, ticket: Ticket, seen: Seen, change: TagChange) -> None:
        """One mutation for each label."""
        issue = await self._issue(ticket)
        present = _labels(issue)

        async def add(tag: str) -> None:
            label = await self._label(tag, str(dig(issue, "team", "id")))
            await self._change("issueAddLabel", ADD, id=ticket.id, label=label)

        await one_by_one(
            [
                *(partial(add, tag) for tag in sorted(change.add - present.keys())),
                *(
                    partial(self._change, "issueRemoveLabel", REMOVE, id=ticket.id, label=label)
                    for label in (present[tag] for tag in sorted(change.remove & present.keys()))
                ),
            ]
        )

    async def _issue(self, ticket: Ticket) -> Any:
        issue = dig(await self._ask(READ, id=ticket.id), "issue")
        if issue is None:
            raise PermanentError(f"{self._out.host} knows no such issue", kind="not_found")
        return issue

    async def _label(self, name: str, team: str) -> str:
        """The id of a label of the workspace or of the team, made if need be."""
        found = await self._find(name, team)
        if found is None:
            try:
                made = await self._change("issueLabelCreate", MAKE, name=name, team=team)
                found = str(dig(made, "issueLabel", "id"))
            except PermanentError:  # perhaps another worker has just made it
                found = await self._find(name, team)
                if found is None:
                    raise
        return found

    async def _find(self, name: str, team: str) -> str | None:
        found = dig(await self._ask(FIND, name=name), "issueLabels", "nodes")
        for node in found if isinstance(found, list) else []:
            if dig(node, "team") is None or dig(node, "team", "id") == team:
                return str(dig(node, "id"))
        return None

    async def _change(self, mutation: str, query: str, **variables: str) -> Any:
        """What a mutation answers. Raises TransientError where it says that it did nothing."""
        answered = dig(await self._ask(query, **variables), mutation)
        if dig(answered, "success") is not True:
            raise TransientError(f"{self._out.host} did not carry out {mutation}")
        return answered

    async def _ask(self, query: str, **variables: str) -> Any:
        """The answer's data. Errors come with any status, 200 among them."""
        body = {"query": query, "variables": variables}
        reply = await self._out.call("POST", "graphql", body=body)
        codes = _codes(reply)
        if "RATELIMITED" in codes:
            raise TransientError(
                f"{reply.host} is at its limit",
                kind="rate_limited",
                retry_after_seconds=LIMIT_SECONDS,
            )
        if reply.status >= 400 and not codes:
            raise self._out.error_of(reply)
        if codes:
            raise _error_of(reply, codes)
        return dig(reply.json(), "data")


def _codes(reply: Reply) -> set[str]:
    try:
        errors = dig(json.loads(reply.body), "errors")
    except (ValueError, RecursionError):
        return set()
    return {
        str(dig(e, "extensions", "code") or dig(e, "extensions", "type") or "unknown").upper()
        for e in (errors if isinstance(errors, list) else [])
    }


def _error_of(reply: Reply, codes: set[str]) -> PermanentError | TransientError:
    said = f"{reply.host} answered {', '.join(sorted(codes))[:100]}"
    kinds = {
        "AUTHENTICATION_ERROR": "unauthorized",
        "FORBIDDEN": "forbidden",
        "ENTITY_NOT_FOUND": "not_found",
    }
    for code, kind in kinds.items():
        if code in codes:
            return PermanentError(said, kind=kind)
    if codes & {"INTERNAL_SERVER_ERROR", "INTERNAL_ERROR"}:
        return TransientError(said)
    return PermanentError(said, kind="rejected")


def _labels(issue: Any) -> dict[str, str]:
    nodes = dig(issue, "labels", "nodes")
    nodes = nodes if isinstance(nodes, list) else []
    return {str(dig(node, "name")): str(dig(node, "id")) for node in nodes}
