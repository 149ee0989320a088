"""Figures of the fingerprints on logs whose true templates are known.

    python -m tests.bench.fingerprint [FOLDER] [--write]

FOLDER holds one `<system>.jsonl` a system, each line an object with `message` and `template_id`.
*Impurity* is the share of lines whose fingerprint is ruled by another template than theirs;
*ratio* is fingerprints per template, 1 being perfect.
"""

import argparse
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from enrich.fingerprint import Fingerprinter
from tests.bench.results import made_with, table, write_section

TITLE = "Fingerprints of public logs"
COLUMNS = ("system", "lines", "templates", "prints", "prints a template", "impurity")
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


def report_of(logs: Mapping[str, Sequence[Line]]) -> list[str]:
    """The table, the totals, the shuffles and the speed."""
    scores = score_all(logs)
    rows = [
        (name, s.lines, s.templates, s.fingerprints, f"{s.ratio:.2f}", f"{s.impurity:.4f}")
        for name, s in scores.items()
    ]
    orders = {"in order": scores} | {f"shuffle {n}": score_all(logs, n) for n in range(SHUFFLES)}
    return [
        (
            "`python -m tests.bench.fingerprint`: each system from an empty state. Impurity is the"
            " share of lines whose print is ruled by another template."
        ),
        "",
        *table(COLUMNS, rows),
        "",
        *(f"- {_summary(name, found)}" for name, found in orders.items()),
        f"- {microseconds_a_line(logs):.0f} microseconds a line",
        "",
        made_with(),
    ]


def _summary(title: str, scores: Mapping[str, Score]) -> str:
    name, worst = max(scores.items(), key=lambda item: item[1].impurity)
    return (
        f"{title}: ratio {total_ratio(scores.values()):.3f}, mean of ratios "
        f"{mean_ratio(scores.values()):.3f}, worst impurity {worst.impurity:.4f} ({name})"
    )


def main() -> None:
    """Print the report, and write it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=LOGS)
    parser.add_argument("--write", action="store_true", help="write its section of RESULTS.md")
    asked = parser.parse_args()
    logs = read_logs(asked.folder)
    if not logs:
        raise SystemExit(f"no *.jsonl file in {asked.folder}")
    report = report_of(logs)
    print("\n".join(report))
    if asked.write:
        write_section(TITLE, report)


if __name__ == "__main__":
    main()
