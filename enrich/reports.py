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


def side_by_side(results: Sequence[Result]) -> Table:
    """One line for each enricher. ECE is the expected calibration error."""
    table = Table(title="Enrichers")
    for heading in (
        "enricher", "texts", "accuracy", "macro F1", "ECE", "p50 ms", "p95 ms",
        "calls", "USD", "failed",
    ):  # fmt: skip
        first = heading == "enricher"
        table.add_column(heading, justify="left" if first else "right", no_wrap=first)
    for result in results:
        table.add_row(
            result.name,
            str(len(result.judged)),
            f"{accuracy(result.judged):.3f}",
            f"{macro_f1(result.judged):.3f}",
            f"{calibration_error(result.judged):.3f}",
            f"{percentile(result.latencies_ms, 0.5):.2f}",
            f"{percentile(result.latencies_ms, 0.95):.2f}",
            str(result.call_count),
            f"{result.cost_usd:.4f}",
            ", ".join(f"{kind} {n}" for kind, n in sorted(result.failed.items())) or "0",
        )
    return table


def details(result: Result, most: int = 100) -> RenderableType:
    """One enricher's classes, its commonest confusions and its calibration."""
    return Group(_classes(result, most), _confusions(result), _calibration(result))


def _classes(result: Result, most: int) -> Table:
    table = Table(title=f"{result.name}: by category")
    table.add_column("category")
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


def _confusions(result: Result) -> Table:
    names = sorted({j.wanted for j in result.judged} | {j.given for j in result.judged})
    pairs = confusion(result.judged)
    if len(names) <= 14:
        return matrix(pairs, names, f"{result.name}: confusion (rows: people, columns: answers)")
    table = Table(title=f"{result.name}: commonest confusions")
    for heading in ("people say", "answered", "times"):
        table.add_column(heading)
    wrong = [(count, pair) for pair, count in pairs.items() if pair[0] != pair[1]]
    for count, (wanted, given) in sorted(wrong, reverse=True)[:15]:
        table.add_row(wanted, given, str(count))
    return table


def matrix(pairs: dict[tuple[str, str], int], names: Sequence[str], title: str) -> Table:
    """How often each name of the rows met each name of the columns."""
    table = Table(title=title)
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    for row in names:
        counts = [pairs.get((row, column), 0) for column in names]
        table.add_row(row, *(str(count) if count else "·" for count in counts))
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
