"""What people are told: templates filled with plain text."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime

from enrich.actions.adapters.contract import Message
from enrich.actions.grouping import group_key
from enrich.actions.plain_text import one_line, plain_text
from enrich.actions.rules import Situation
from enrich.actions.template import Template
from enrich.sanitise import clean_text, part_names

# Words of a stranger and who that is stay here; what goes beyond the title, `summary` says already.
NOT_SENT = frozenset({"text", "customer", "beyond_title"})
MARKER = re.compile(r"\[hooksift ([0-9]{1,19}) ([a-z0-9_-]+/[0-9]+)\]\Z")
MAX_ID = 2**63 - 1


def clean_values(situation: Situation, rule: str) -> dict[str, str]:
    """Every field, without links and mentions. What is put together is cleaned once more."""
    values = {name: plain_text(value) for name, value in situation.values().items()}
    # A model's words, unlike a title's, are nobody's error message: no name in them may be a link.
    told = {"summary": situation.summary, "beyond_title": beyond_title(situation)}
    values |= {name: part_names(plain_text(value)) for name, value in told.items()}
    return {**values, "rule": rule, "count": "1"}


def beyond_title(situation: Situation) -> str:
    """The summary; of one that begins with the title what follows, nothing of one within it."""
    title, summary = clean_text(situation.title), situation.summary
    if title.startswith(summary.rstrip(".…")):
        return ""
    while title and summary.startswith(title) and not summary[len(title) :][:1].isalnum():
        summary = summary.removeprefix(title).lstrip(" .:;,-")
    return summary


def group_of(situation: Situation, name: str, group_by: list[str]) -> str:
    """The key of the group that an event's notification belongs to."""
    values = situation.values()
    return group_key(name, *(values[field] for field in group_by))


def idempotency_key(event_id: int, name: str) -> str:
    """The same for every try of one action, and for no other."""
    return f"msg_{hashlib.blake2b(f'{event_id}/{name}'.encode(), digest_size=16).hexdigest()}"


def marker(event_id: int, name: str) -> str:
    """What a note of ours ends in, by which it is found again."""
    return f"[hooksift {event_id} {name}]"


def marked(note: str) -> tuple[int, str] | None:
    """The event and the action that a note's marker names; None where it does not end in one."""
    found = MARKER.search(note.rstrip())
    if found is None or int(found[1]) > MAX_ID:
        return None
    return int(found[1]), found[2]


def build_message(
    title: Template,
    text: Template,
    values: Mapping[str, str],
    *,
    key: str,
    group: str,
    at: datetime,
    count: int = 1,
    more: bool = False,
) -> Message:
    """A message. `more` says that it stands for `count` others that followed the first."""
    values = {**values, "count": str(count)}
    heading = one_line(title.fill(values), 300)
    return Message(
        title=f"{count} more like this: {heading}" if more else heading,
        text=plain_text(text.fill(values)),
        key=key,
        group=group,
        severity=values["severity"],
        values={name: value for name, value in values.items() if name not in NOT_SENT},
        at=at,
        count=count,
    )


def build_note(text: Template, values: Mapping[str, str], event_id: int, name: str) -> str:
    """A note on a ticket, with its marker."""
    return f"{plain_text(text.fill(values))}\n{marker(event_id, name)}"
