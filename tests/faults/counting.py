"""What the fault tests counted, and the table of it."""

from collections.abc import Sequence
from typing import Protocol

COLUMNS = (
    "acknowledged",
    "refused",
    "stored",
    "enriched_once",
    "acted_once",
    "acted_again",
    "landed_once",
    "paid_again",
)


class Count(Protocol):
    """Called by a test with its counts, each by the name of a column."""

    def __call__(self, **counts: int) -> None: ...


def table(tests: Sequence[tuple[str, str, dict[str, object]]]) -> list[str]:
    """Lines of: what was tested (its name as a sentence), whether it held, the counts."""
    head = ["", *(name.replace("_", " ") for name in COLUMNS)]
    rows = [
        [f"{'ok' if outcome == 'passed' else outcome.upper()}: {sentence_of(name)}"]
        + [str(counts.get(column, "")) for column in COLUMNS]
        for name, outcome, counts in tests
    ]
    widest = max(len(row[0]) for row in [head, *rows])
    return [
        "  ".join([row[0].ljust(widest), *(cell.rjust(len(name)) for cell, name in cells)])
        for row in [head, *rows]
        for cells in [list(zip(row[1:], head[1:], strict=True))]
    ]


def sentence_of(name: str) -> str:
    """A test's name in words, its parameters in brackets."""
    words, bracket, parameters = name.rpartition("::")[2].partition("[")
    return words.removeprefix("test_").replace("_", " ") + bracket + parameters
