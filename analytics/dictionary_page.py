"""docs/dictionary.md: every table of the history as the dictionary says, every view as made."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import duckdb

from analytics.dictionary import (
    ATTEMPTS,
    ENRICHMENTS,
    EVENTS,
    LABELS,
    MOMENT,
    TABLES,
    Column,
    Table,
    create_statement,
)
from analytics.views import VIEWS

HEAD = (
    "# The data dictionary",
    "",
    (
        "Every table and view of the history, made from `analytics/dictionary.py` and"
        " `analytics/views.py` by `python -m analytics.dictionary_page`. All times are UTC. Rows"
        " are only ever added: what was believed when is in `recorded_at`, and the view"
        " `enrichments_over_time` adds `superseded_at`."
    ),
    "",
    (
        "`analytics.connect()` opens it beside a running service, and so does the plain DuckDB"
        " command line, with the line that `analytics.connect().cli_line` gives. There, where"
        " the catalog is SQLite, a query during the merge of small files (an instant, with"
        " each landing at most) may miss rows: ask again. The functions of `analytics` notice and"
        " do so."
    ),
)


class View(NamedTuple):
    """What a row of a view is, the tables whose columns it hands on, what its own ones mean."""

    row: str
    tables: tuple[Table, ...] = ()
    own: Mapping[str, str] = {}


DIED = "why its last attempt failed; a stable word"
MEANT: Mapping[str, View] = {
    "wide_events": View(
        "One event with all that became of it: the enrichment in force and people's labels.",
        (EVENTS, ENRICHMENTS),
        {
            "outcome": "enriched, dead, returned (our own write-back came back) or waiting",
            "dead_because": DIED,
            "enriched_at": "when its enrichment was recorded",
            "labelled_category": "what people say its category is; NULL where nobody did",
            "labelled_severity": "what people say its severity is; NULL where nobody did",
        },
    ),
    "current_enrichments": View("The enrichment in force of each event.", (ENRICHMENTS,)),
    "enrichments_over_time": View(
        "Each enrichment, with when a later revision took its place.",
        (ENRICHMENTS,),
        {"superseded_at": "when the next revision was recorded; NULL where none was"},
    ),
    "current_labels": View("People's last word on each field of an event.", (LABELS,)),
    "dead_events": View(
        "An event that gave up and was never enriched.",
        (ATTEMPTS,),
        {"error_kind": DIED, "died_at": "when its last attempt ended"},
    ),
    "returned_events": View(
        "An event that was our own write-back coming back, or became a person's label, and was"
        " neither enriched nor gave up.",
        (ATTEMPTS,),
    ),
    "headless_deliveries": View(
        "A delivery whose first item was a duplicate, so that no event with `item_index` 0"
        " stands for it.",
        (EVENTS,),
        {"id": "its first event that was stored"},
    ),
}


def as_markdown() -> str:
    """The page, whole."""
    parts = [*HEAD]
    for table in TABLES:
        parts += _section(table.name, table.row, table.columns)
    for name, view in MEANT.items():
        parts += _section(f"{name} (view)", view.row, view_columns(name))
    return "\n".join(parts) + "\n"


def _section(title: str, row: str, columns: Iterable[Column]) -> Iterator[str]:
    yield from ("", f"## {title}", "", row, "")
    yield from ("| column | type | unit | meaning |", "|---|---|---|---|")
    for column in columns:
        yield f"| {column.name} | {column.type} | {column.unit} | {column.meaning} |"


def view_columns(name: str) -> list[Column]:
    """The columns of a view as DuckDB sees them. Raises KeyError for one without a meaning."""
    view = MEANT[name]
    known = {column.name: column for table in reversed(view.tables) for column in table.columns}
    with duckdb.connect() as connection:
        for table in TABLES:
            connection.execute(create_statement(table))
        for other, query in VIEWS.items():
            connection.execute(f"CREATE VIEW {other} AS {query}")
        described = connection.execute(f"DESCRIBE {name}").fetchall()
    columns = []
    for column, described_type, *_ in described:
        kind = described_type.replace("TIMESTAMP WITH TIME ZONE", MOMENT)
        if column in view.own:
            unit = "UTC" if kind == MOMENT else ""
            columns.append(Column(column, kind, unit, view.own[column]))
        else:
            columns.append(known[column]._replace(type=kind))
    return columns


if __name__ == "__main__":
    from pathlib import Path

    Path("docs/dictionary.md").write_text(as_markdown(), encoding="utf-8")
