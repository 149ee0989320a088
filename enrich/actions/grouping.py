"""A storm is one message: the first goes at once, those that follow are counted and told together.

    LEAD  the first of a window is sent now
    HOLD  the second waits for the window's end, to tell how many there were
    JOIN  every further one is only counted
    TELL  at the window's end the second sends "n more"; a new window begins

Where the target is down for hours, a window goes on counting until the message before it is out:
an outage ends in two messages, not in one for each window. A holder that vanished (its event was
erased) is replaced an hour after it was due.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

OVERDUE = timedelta(hours=1)
STUCK = timedelta(days=3)


class Role(StrEnum):
    """What an event's notification is to its group."""

    LEAD = "lead"
    HOLD = "hold"
    JOIN = "join"
    TELL = "tell"


@dataclass(frozen=True, slots=True)
class Group:
    """A window of like notifications, as stored."""

    leader: int
    closes_at: datetime
    closer: int | None = None
    closing: int | None = None
    held_count: int = 0
    closing_count: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """An event's role; `until` for a holder, `count` for a teller."""

    role: Role
    until: datetime | None = None
    count: int = 1


def group_key(*parts: str) -> str:
    """The key of a group, the same in every process."""
    return hashlib.blake2b("\x00".join(parts).encode(), digest_size=16).hexdigest()


def open_group(event_id: int, now: datetime, window: timedelta) -> Group:
    """A new window, led by this event."""
    return Group(event_id, now + window)


def join(group: Group, event_id: int, now: datetime, window: timedelta) -> tuple[Group, Place]:
    """The group after this event's turn, and the event's place in it. The same event may ask again.

    Pure; the caller holds the group's row.
    """
    if group.closing is not None and now > group.closes_at + STUCK:
        group = replace(group, closing=None, closing_count=0)
    if event_id == group.closing:
        return group, Place(Role.TELL, count=group.closing_count)
    if event_id == group.closer:
        return _holder(group, event_id, now, window)
    if event_id == group.leader:
        return group, Place(Role.LEAD)
    if group.closer is not None and now <= group.closes_at + OVERDUE:
        return replace(group, held_count=group.held_count + 1), Place(Role.JOIN)
    if group.closer is None and group.closing is None and now >= group.closes_at:
        return open_group(event_id, now, window), Place(Role.LEAD)
    until = max(group.closes_at, now + window) if now >= group.closes_at else group.closes_at
    held = replace(group, closer=event_id, held_count=group.held_count + 1, closes_at=until)
    return held, Place(Role.HOLD, until=until)


def _holder(group: Group, event_id: int, now: datetime, window: timedelta) -> tuple[Group, Place]:
    if now < group.closes_at:
        return group, Place(Role.HOLD, until=group.closes_at)
    if group.closing is not None:  # the message before ours is not out yet
        until = now + window
        return replace(group, closes_at=until), Place(Role.HOLD, until=until)
    count = group.held_count
    told = Group(event_id, now + window, closing=event_id, closing_count=count)
    return told, Place(Role.TELL, count=count)
