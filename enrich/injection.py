"""Signs that a text speaks to the model instead of to people.

A cheap second opinion beside the model's own: it runs on every event, whatever enricher answers,
and marks the enrichment `suspicious`, so that rules can refuse to act on it. It refuses nothing by
itself: people do write tickets about prompts.
"""

from collections.abc import Set
from typing import NamedTuple

from enrich.disguises import other_readings
from enrich.lexicon import Lexicon, words_of
from enrich.signs import SIGNS

TELLING_LENGTH = 4  # characters: a shorter word stands in too many others
MAX_LOOKED_AT = 20_000  # characters; longer texts are looked at from both ends


class Hint(NamedTuple):
    """Where this occurs, the sign of that number is tried."""

    words: str
    number: int


def _hints() -> dict[str, list[tuple[Hint, set[str]]]]:
    """The hints with their telling words, each under the longest."""
    hints: dict[str, list[tuple[Hint, set[str]]]] = {}
    for number, (listed, _) in enumerate(SIGNS):
        for words in listed:
            longest = max(words.split(), key=len)
            parts = {word for word in words.split() if len(word) >= TELLING_LENGTH} | {longest}
            hints.setdefault(longest, []).append((Hint(words, number), parts))
    return hints


HINTS = _hints()
PARTS = sorted({part for hints in HINTS.values() for _, parts in hints for part in parts})


def _parts_in(lowered: str) -> list[str]:
    return [part for part in PARTS if part in lowered]


lexicon = Lexicon(_parts_in)


def looks_injected(title: str, text: str, words: Set[str] | None = None) -> bool:
    """Whether the text seems to instruct a model. About ten microseconds for a text that does not.

    `words` are those of both, `words_of`, where somebody has them already.
    """
    whole = f"{title}\n{text}"
    if len(whole) > MAX_LOOKED_AT:
        whole = whole[: MAX_LOOKED_AT // 2] + "\n" + whole[-MAX_LOOKED_AT // 2 :]
        words = None
    if words is None:
        words = words_of(whole)
    return _speaks_to_a_model(whole, words) or any(
        _speaks_to_a_model(reading, words_of(reading)) for reading in other_readings(whole, words)
    )


def _speaks_to_a_model(text: str, words: Set[str]) -> bool:
    said = lexicon.said_by(words)
    hints = [hint for part in said for hint, parts in HINTS.get(part, ()) if parts <= said]
    if not hints:
        return False
    lowered = text.lower()
    numbers = {number for hint, number in hints if hint in lowered}
    return any(SIGNS[number][1].search(lowered) is not None for number in numbers)
