"""Tables of what eval and enrich-again found, for a terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table

from enrich.evaluation import Result
from enrich.measures import (
    accuracy,
    calibration,
    calibration_error,
    class_scores,
    confusion,
    macro_f1,
    percentile,
)

ROOMY = 8  # columns of a matrix that have room for a space on either side


def side_by_side(results: Sequence[Result]) -> Table:
    """One column for each enricher: so that several fit a terminal of 80 columns."""
    table = Table(title="Enrichers")
    table.add_column("")
    for result in results:
        table.add_column(result.name, justify="right")
    figures = [_figures(result) for result in results]
    for heading in figures[0] if figures else ():
        table.add_row(heading, *(each[heading] for each in figures))
    return table


def _figures(result: Result) -> dict[str, str]:
    failed = ", ".join(f"{kind} {count}" for kind, count in sorted(result.failed.items()))
    return {
        "texts": str(len(result.judged)),
        "accuracy": f"{accuracy(result.judged):.3f}",
        "macro F1": f"{macro_f1(result.judged):.3f}",
        "calibration error": f"{calibration_error(result.judged):.3f}",
        "p50 ms": f"{percentile(result.latencies_ms, 0.5):.2f}",
        "p95 ms": f"{percentile(result.latencies_ms, 0.95):.2f}",
        "calls": str(result.call_count),
        "USD": f"{result.cost_usd:.4f}",
        "failed": failed or "0",
    }


def details(result: Result, most: int = 100) -> RenderableType:
    """One enricher's classes, its commonest confusions and its calibration."""
    return Group(_classes(result, most), _confusions(result), _calibration(result))


def _classes(result: Result, most: int) -> Table:
    table = Table(title=f"{result.name}: by category")
    table.add_column("category", overflow="fold")
    for heading in ("precision", "recall", "F1", "texts"):
        table.add_column(heading, justify="right")
    for score in class_scores(result.judged)[:most]:
        table.add_row(
            score.name,
            f"{score.precision:.3f}",
            f"{score.recall:.3f}",
            f"{score.f1:.3f}",
            str(score.count),
        )
    return table


def _confusions(result: Result) -> RenderableType:
    names = sorted({j.wanted for j in result.judged} | {j.given for j in result.judged})
    pairs = confusion(result.judged)
    if len(names) <= 14:
        title = f"{result.name}: confusion (rows: people, columns: answers)"
        return Group(title, matrix(pairs, names))
    table = Table(title=f"{result.name}: commonest confusions")
    for heading in ("people say", "answered", "times"):
        table.add_column(heading)
    wrong = [(count, pair) for pair, count in pairs.items() if pair[0] != pair[1]]
    for count, (wanted, given) in sorted(wrong, reverse=True)[:15]:
        table.add_row(wanted, given, str(count))
    return table


def matrix(pairs: dict[tuple[str, str], int], names: Sequence[str]) -> Table:
    """How often each name of the rows met each name of the columns, which bear the rows' numbers:

    a dozen names side by side would not fit a terminal.
    """
    table = Table(padding=(0, 1 if len(names) <= ROOMY else 0))
    table.add_column("", overflow="fold")
    for number in range(1, len(names) + 1):
        table.add_column(str(number), justify="right")
    for number, row in enumerate(names, 1):
        counts = [pairs.get((row, column), 0) for column in names]
        table.add_row(f"{number} {row}", *(str(count) if count else "·" for count in counts))
    return table


def _calibration(result: Result) -> Table:
    table = Table(title=f"{result.name}: calibration")
    for heading in ("confidence", "texts", "mean confidence", "right"):
        table.add_column(heading, justify="right")
    for found in calibration(result.judged):
        table.add_row(
            f"{found.low:.1f} to {found.high:.1f}",
            str(found.text_count),
            f"{found.mean_confidence:.3f}",
            f"{found.accuracy:.3f}",
        )
    return table
