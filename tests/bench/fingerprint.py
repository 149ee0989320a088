"""Figures of the fingerprints on logs whose true templates are known.

    python -m tests.bench.fingerprint [FOLDER]

FOLDER holds one `<system>.jsonl` a system, each line an object with `message` and `template_id`.
*Impurity* is the share of lines whose fingerprint is ruled by another template than theirs;
*ratio* is fingerprints per template, 1 being perfect.
"""

import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from enrich.fingerprint import Fingerprinter

LOGS = Path(__file__).parents[2].parent / "shared" / "loghub"
SHUFFLES = 5


class Line(NamedTuple):
    """A message and the template that wrote it."""

    message: str
    template: str


class Score(NamedTuple):
    """How the fingerprints of one log compare with its templates."""

    lines: int
    templates: int
    fingerprints: int
    strays: int

    @property
    def ratio(self) -> float:
        """Fingerprints per template."""
        return self.fingerprints / self.templates

    @property
    def impurity(self) -> float:
        """Share of lines whose fingerprint is ruled by another template."""
        return self.strays / self.lines


def read_logs(folder: Path) -> dict[str, list[Line]]:
    """The lines of every log in the folder, by system."""
    logs = {}
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as file:
            rows = [json.loads(text) for text in file]
        logs[path.stem] = [Line(row["message"], row["template_id"]) for row in rows]
    return logs


def score(lines: Sequence[Line]) -> Score:
    """The score of one log, read in this order from an empty state."""
    fingerprinter = Fingerprinter()
    templates_by_print: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in lines:
        templates_by_print[fingerprinter.fingerprint(line.message).print][line.template] += 1
    return Score(
        lines=len(lines),
        templates=len({line.template for line in lines}),
        fingerprints=len(templates_by_print),
        strays=sum(c.total() - max(c.values()) for c in templates_by_print.values()),
    )


def score_all(logs: Mapping[str, Sequence[Line]], seed: int | None = None) -> dict[str, Score]:
    """The score of every log, in its own order or shuffled."""
    if seed is not None:
        shuffled = random.Random(seed)
        logs = {name: shuffled.sample(lines, len(lines)) for name, lines in logs.items()}
    return {name: score(lines) for name, lines in logs.items()}


def total_ratio(scores: Iterable[Score]) -> float:
    """Fingerprints per template, both summed over all logs."""
    scores = list(scores)
    return sum(s.fingerprints for s in scores) / sum(s.templates for s in scores)


def mean_ratio(scores: Iterable[Score]) -> float:
    """The mean of each log's own ratio."""
    ratios = [s.ratio for s in scores]
    return sum(ratios) / len(ratios)


def microseconds_a_line(logs: Mapping[str, Sequence[Line]]) -> float:
    """Wall time of one pass over all logs, a fingerprinter each."""
    started = time.perf_counter()
    for lines in logs.values():
        fingerprinter = Fingerprinter()
        for line in lines:
            fingerprinter.fingerprint(line.message)
    return (time.perf_counter() - started) * 1e6 / sum(map(len, logs.values()))


def print_report(logs: Mapping[str, Sequence[Line]]) -> None:
    """The table, the totals, the shuffles and the speed, on standard output."""
    scores = score_all(logs)
    print(f"{'system':14}{'lines':>7}{'templates':>11}{'prints':>8}{'ratio':>7}{'impurity':>10}")
    for name, s in scores.items():
        figures = f"{s.lines:7}{s.templates:11}{s.fingerprints:8}{s.ratio:7.2f}{s.impurity:10.4f}"
        print(f"{name:14}{figures}")
    print(_summary("in order", scores))
    for seed in range(SHUFFLES):
        print(_summary(f"shuffle {seed}", score_all(logs, seed)))
    print(f"{microseconds_a_line(logs):.1f} microseconds a line")


def _summary(title: str, scores: Mapping[str, Score]) -> str:
    name, worst = max(scores.items(), key=lambda item: item[1].impurity)
    return (
        f"{title}: ratio {total_ratio(scores.values()):.3f}, mean of ratios "
        f"{mean_ratio(scores.values()):.3f}, worst impurity {worst.impurity:.4f} ({name})"
    )


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else LOGS
    found = read_logs(folder)
    if not found:
        sys.exit(f"no *.jsonl file in {folder}")
    print_report(found)
