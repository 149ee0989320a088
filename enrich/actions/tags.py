"""Tags of ours on a ticket: how they are named, and what has to change."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from enrich.actions.template import TAG_FIELDS, Template

_NOT_IN_A_TAG = re.compile(r"[^a-z0-9_/\-]+")
OURS, WITHDRAWN, REMOVED, ADDED = "ours", "withdrawn", "removed", "added"


@dataclass(frozen=True, slots=True)
class TagMeaning:
    """What a tag says: a field of the enrichment and its value."""

    field: str
    value: str


@dataclass(frozen=True, slots=True)
class TagChange:
    """What to add to a ticket and what to take away."""

    add: frozenset[str] = frozenset()
    remove: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)


@dataclass(frozen=True, slots=True)
class Namespace:
    """`hooksift:` before every tag of ours, so that they can be told from everybody else's."""

    prefix: str = "hooksift"
    separator: str = ":"

    def tag(self, value: str) -> str:
        """The tag for a value; only lower-case letters, digits and `_ / -` survive."""
        return f"{self.prefix}{self.separator}{slug(value)}"

    def holds(self, tag: str) -> bool:
        """Whether a tag carries our prefix, whoever wrote it."""
        return tag.casefold().startswith(f"{self.prefix}{self.separator}")

    def value(self, tag: str) -> str:
        """What stands after the prefix."""
        return tag.casefold()[len(self.prefix) + len(self.separator) :]


def slug(value: str) -> str:
    """A value as it may stand in a tag."""
    return _NOT_IN_A_TAG.sub("-", value.casefold()).strip("-")


def tags_of(
    templates: Iterable[Template], values: Mapping[str, str], tags: Iterable[str], space: Namespace
) -> dict[str, TagMeaning]:
    """The tags that templates give for an enrichment, each with what it means.

    `{tags}` gives one tag for each of the enrichment's tags.
    """
    made: dict[str, TagMeaning] = {}
    for template in templates:
        main = template.fields[0] if template.fields else "tag"
        for value in tags if "tags" in template.fields else [values.get(main, "")]:
            filled = template.fill({**values, "tags": value})
            if slug(filled):
                field = "tag" if main in ("tags", "tag") else main
                made[space.tag(filled)] = TagMeaning(field, value or slug(filled))
    return made


def meaning_of(tag: str, templates: Iterable[Template], space: Namespace) -> TagMeaning:
    """What a tag of our namespace that a person wrote would mean under these templates."""
    value = space.value(tag)
    for template in templates:
        if not template.fields:
            continue
        pattern = "".join(
            f"(?P<{piece[1:-1]}>.+)" if piece[1:-1] in TAG_FIELDS else re.escape(piece.casefold())
            for piece in re.split(r"(\{[a-z_]+\})", template.source)
            if piece
        )
        found = re.fullmatch(pattern, value) if len(template.fields) == 1 else None
        if found:
            field = template.fields[0]
            return TagMeaning("tag" if field == "tags" else field, found[field])
    return TagMeaning("tag", value)


def plan(present: Iterable[str], wanted: Iterable[str], states: Mapping[str, str]) -> TagChange:
    """What makes a ticket show `wanted`, given what we know of its tags.

    Adds what is missing, unless a person took it away; removes only what we put there and no
    longer want. Tags are compared without case.
    """
    seen = {tag.casefold(): tag for tag in present}
    wanted = set(wanted)
    add = {tag for tag in wanted if tag not in seen and states.get(tag) != REMOVED}
    stale = {t for t, state in states.items() if state == OURS and t not in wanted and t in seen}
    return TagChange(frozenset(add), frozenset(seen[tag] for tag in stale))
