"""Templates substitute named fields and nothing else.

`"{severity}: {title}"`; a doubled brace is a brace. No attribute, index, conversion or format
specification: `str.format` would let a template reach into objects (`{title.__class__}`).
"""

import re
from collections.abc import Mapping

from service.errors import SettingsError

TAG_FIELDS = frozenset(("category", "severity", "sentiment", "language", "tags", "source", "level"))
FIELDS = TAG_FIELDS | {
    *("event_id", "event_type", "subject", "title", "text", "customer"),
    *("summary", "confidence", "fingerprint", "rule", "count", "beyond_title"),
}
_PART = re.compile(r"\{\{|\}\}|\{([a-z_]+)\}|[{}]")


class Template:
    """A compiled template. Raises SettingsError for an unknown field or a stray brace."""

    def __init__(self, source: str, allowed: frozenset[str] = FIELDS) -> None:
        self.source = source
        self.fields: tuple[str, ...] = ()
        for found in _PART.finditer(source):
            self._check(found, allowed)

    def _check(self, found: re.Match[str], allowed: frozenset[str]) -> None:
        name, piece = found[1], found[0]
        if name is not None and name not in allowed:
            raise SettingsError(
                f"template {self.source!r} names {{{name}}};"
                f" known fields are {', '.join(sorted(allowed))}"
            )
        if name is None and piece in "{}":
            raise SettingsError(
                f"template {self.source!r} has a stray {piece!r} at {found.start()};"
                " write {{ or }} for a brace, {name} for a field"
            )
        if name is not None:
            self.fields = (*self.fields, name)

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with every field replaced once; what a value holds is never looked at again."""

        def piece(found: re.Match[str]) -> str:
            return found[0][0] if found[1] is None else values.get(found[1], "")

        return _PART.sub(piece, self.source)
