"""A delivery on its way out: before and after it is signed."""

from collections.abc import Mapping
from typing import NamedTuple


class Outgoing(NamedTuple):
    """A delivery ready to be sent. Header names have the provider's spelling."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes


class Draft(NamedTuple):
    """What is to be signed, at `now` (seconds since 1970)."""

    body: bytes
    url: str
    method: str
    now: float
    headers: Mapping[str, str]

    def with_headers(self, **signed: str) -> Outgoing:
        """The finished delivery with more headers; underscores stand for hyphens."""
        added = {name.replace("_", "-"): value for name, value in signed.items()}
        return Outgoing(self.method, self.url, [*{**self.headers, **added}.items()], self.body)
