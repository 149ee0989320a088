"""What an adapter is: three kinds, each with the promise it can keep.

Write-back adapters also read their provider's webhooks, for the ticket an event is about and for
who changed which tag: a provider's knowledge stays in one place.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from enrich.actions.errors import ActionError, DoubtError, NotOursError
from enrich.actions.outbound import Outbound
from enrich.actions.tags import TagChange


class Guarantee(StrEnum):
    """How often an action has its effect when processes die and networks fail."""

    EXACTLY_ONCE = "exactly once"
    AT_LEAST_ONCE = "at least once"
    AT_MOST_ONCE = "at most once"


@dataclass(frozen=True, slots=True)
class Ticket:
    """A validated ticket: ids that may stand in a URL, in an account that is configured."""

    project: str
    id: str

    def __str__(self) -> str:
        return f"{self.project}#{self.id}" if self.project else self.id


@dataclass(frozen=True, slots=True)
class Seen:
    """A ticket's tags as read, and its version where the provider has one."""

    tags: frozenset[str]
    version: str | None = None


@dataclass(frozen=True, slots=True)
class TicketNews:
    """What a webhook says happened to a ticket's tags.

    `tags` is the whole state where the provider tells it; `added` and `removed` are None where it
    tells no difference. `only_tags` means that nothing a person wrote came with it.
    """

    ticket: Ticket
    actors: frozenset[str] = frozenset()
    added: frozenset[str] | None = None
    removed: frozenset[str] | None = None
    tags: frozenset[str] | None = None
    only_tags: bool = False
    note: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What people are told. Text is plain: no link, no mention; adapters escape it."""

    title: str
    text: str
    key: str
    """Same for every try of one message."""
    group: str
    """Same for all messages about one thing."""
    severity: str
    values: Mapping[str, str] = field(repr=False)
    at: datetime
    """When it was made: anew each time its work is taken, so it is never old."""
    count: int = 1


class Adapter(Protocol):
    """Every adapter."""

    name: ClassVar[str]

    async def close(self) -> None:
        """Close connections."""
        ...


class TicketAdapter(Adapter, Protocol):
    """An adapter for the system that a ticket lives in."""

    presets: ClassVar[frozenset[str]]

    def ticket_of(self, payload: Any) -> Ticket:
        """The ticket that a webhook is about.

        Raises NotOursError when it is about none, or about one outside the configured account.
        """
        ...

    def news_of(self, payload: Any) -> TicketNews | None:
        """What the webhook says about tags and who changed them; None when it says nothing."""
        ...


class TagAdapter(TicketAdapter, Protocol):
    """Reads and changes tags. Adding what is there and removing what is not changes nothing."""

    guarantee: ClassVar[Guarantee]
    max_tag_chars: ClassVar[int]
    overwrites: ClassVar[bool]
    """Whether the provider only takes all tags at once, so that a tag which a person changes in the
    very moment of our write may be lost."""

    async def read(self, ticket: Ticket) -> Seen:
        """The ticket's tags now."""
        ...

    async def change(self, ticket: Ticket, seen: Seen, change: TagChange) -> None:
        """Add and remove, touching no other tag. Raises ConflictError to be called again."""
        ...


class NoteAdapter(TicketAdapter, Protocol):
    """Writes notes, and reads them back so that one is not written twice."""

    guarantee: ClassVar[Guarantee]

    async def notes(self, ticket: Ticket) -> list[str]:
        """The texts of the ticket's notes, the newest included."""
        ...

    async def add_note(self, ticket: Ticket, text: str) -> None:
        """Write a note."""
        ...


class Messenger(Adapter, Protocol):
    """Tells people or machines something."""

    guarantee: Guarantee
    group_seconds: ClassVar[float]

    async def send(self, message: Message) -> None:
        """Deliver the message."""
        ...


class OverHttp:
    """What adapters over HTTP share: their way out."""

    def __init__(self, out: Outbound) -> None:
        self._out = out

    async def close(self) -> None:
        """Close connections."""
        await self._out.close()


async def one_by_one(calls: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Make the calls of one change. What fails after the first leaves half of it made.

    Raises what the first call raised; DoubtError, of the same kind, for a later one.
    """
    for made, call in enumerate(calls):
        try:
            await call()
        except DoubtError:
            raise
        except ActionError as error:
            if not made:
                raise
            wait = getattr(error, "retry_after_seconds", None)
            said = f"{error}, when {made} of the changes had been made"
            raise DoubtError(said, kind=error.kind, retry_after_seconds=wait) from error


def dig(payload: Any, *path: str) -> Any:
    """The value under nested keys; None where one is missing or is no object."""
    for key in path:
        payload = payload.get(key) if isinstance(payload, dict) else None
    return payload


def valid_id(value: Any, pattern: re.Pattern[str], what: str) -> str:
    """An id from a payload, as text. Raises NotOursError unless it matches entirely.

    The value is not repeated in the message: it came from outside.
    """
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not pattern.fullmatch(text):
        raise NotOursError(f"the event holds no valid {what}")
    return text


def words(*values: Any) -> frozenset[str]:
    """Those of the values that are ids or names, as text."""
    return frozenset(
        str(value)
        for value in values
        if isinstance(value, str | int) and not isinstance(value, bool) and value != ""
    )


def one_of(value: Any, configured: list[str], what: str) -> str:
    """The configured spelling of an account or project. Raises NotOursError for another."""
    for known in configured:
        if isinstance(value, str) and value.casefold() == known.casefold():
            return known
    raise NotOursError(f"the event is about another {what} than {', '.join(configured)}")
