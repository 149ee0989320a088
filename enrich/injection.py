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

MAX_LOOKED_AT = 20_000  # characters; longer texts are looked at from both ends


class Hint(NamedTuple):
    """Where this occurs, the sign of that number is tried."""

    words: str
    number: int


def _hints() -> dict[str, list[Hint]]:
    """The hints, each under the longest of its words."""
    hints: dict[str, list[Hint]] = {}
    for number, (listed, _) in enumerate(SIGNS):
        for words in listed:
            hints.setdefault(max(words.split(), key=len), []).append(Hint(words, number))
    return hints


HINTS = _hints()


def _hints_in(lowered: str) -> list[Hint]:
    return [hint for part, hints in HINTS.items() if part in lowered for hint in hints]


lexicon = Lexicon(_hints_in)


def looks_injected(title: str, text: str, words: Set[str] | None = None) -> bool:
    """Whether the text seems to instruct a model. Some tens of microseconds.

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
    lowered = text.lower()
    numbers = {number for hint, number in lexicon.said_by(words) if hint in lowered}
    return any(SIGNS[number][1].search(lowered) is not None for number in numbers)
