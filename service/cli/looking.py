"""`hooksift events`, `show` and `audit`: what is in the store."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.receiving.assembly import ServiceSettings

if TYPE_CHECKING:
    from rich.table import Table

    from service.store import Store
    from service.store.look import Filter, Row

GAP = "  "
PIPE_COLUMNS = 180  # a pipe has no width; a line of a file may be long
Source = Annotated[str, typer.Option(help="Only this source")]
Type = Annotated[str, typer.Option("--type", help="Only this type, or those that begin with it")]
Since = Annotated[str, typer.Option(help="30m, 6h or 2d ago, or 2026-03-01T12:00")]
Until = Annotated[str, typer.Option(help="Before this; written as for --since")]
Json = Annotated[bool, typer.Option("--json", help="A JSON object a line, for programs")]


def register(app: typer.Typer, load_settings: Callable[[], ServiceSettings]) -> None:
    """Add `events`, `show` and `audit`."""

    @app.command()
    def events(
        source: Source = "",
        event_type: Type = "",
        since: Since = "",
        until: Until = "",
        category: Annotated[str, typer.Option(help="Only those enriched so")] = "",
        severity: Annotated[str, typer.Option(help="Only those enriched so")] = "",
        refused: Annotated[
            bool, typer.Option("--refused", help="What was refused instead, and why")
        ] = False,
        limit: Annotated[int, typer.Option(min=1, help="At most so many")] = 20,
        as_json: Json = False,
    ) -> None:
        """List events, newest first, with what was made of each; or what was refused."""
        from service.store.look import has_events, list_events, list_refusals

        settings, chosen = load_settings(), filter_of(source, event_type, since, until)
        with opened(settings) as store, store.read() as connection:
            if refused:
                rows = list_refusals(connection, chosen, limit)
            else:
                rows = list_events(connection, chosen, limit, category, severity)
            unheard_of = source not in ("", *settings.sources) and not rows
            if unheard_of and not has_events(connection, source):
                known = ", ".join(sorted(settings.sources)) or "none"
                typer.echo(f"no event is of a source {source!r}; configured: {known}", err=True)
        if as_json:
            print_json_lines(rows)
        elif refused:
            print_refusals(rows)
        else:
            print_events(rows)

    @app.command()
    def show(
        some_id: Annotated[
            int,
            typer.Argument(metavar="ID", help="Of an event, delivery, redelivery or dead letter"),
        ],
        body: Annotated[
            bool, typer.Option("--body", help="Write the body's exact bytes, only them")
        ] = False,
        headers: Annotated[bool, typer.Option("--headers", help="Show the headers too")] = False,
        as_json: Json = False,
    ) -> None:
        """Show a delivery: its events, what enrichers and actions made of them, what is left."""
        show_one(load_settings(), some_id, body=body, headers=headers, as_json=as_json)

    @app.command()
    def audit(
        limit: Annotated[int, typer.Option(min=1, help="At most so many")] = 20,
        as_json: Json = False,
    ) -> None:
        """List what people did to the store by command: replays, erasures, restores, and so on."""
        from service.lifecycle.audit import list_deeds

        with opened(load_settings()) as store, store.read() as connection:
            rows = list_deeds(connection, limit)
        if as_json:
            print_json_lines(rows)
            return
        cells = ([r["done_at"], r["person"], r["deed"], r["row_count"], r["detail"]] for r in rows)
        print_table(["when (UTC)", "who", "what", "rows", "asked"], cells, below="asked")


@contextmanager
def opened(settings: ServiceSettings) -> "Iterator[Store]":
    """The configured store, closed in the end."""
    from service.receiving.assembly import open_configured_store

    store = open_configured_store(settings)
    try:
        yield store
    finally:
        store.close()


def filter_of(source: str, event_type: str, since: str, until: str) -> "Filter":
    """The filter that options say. Raises typer.BadParameter for a time that is none."""
    from service.store.look import Filter, moment_of

    now = datetime.now(UTC)
    try:
        return Filter(
            source,
            event_type,
            moment_of(since, now) if since else None,
            moment_of(until, now) if until else None,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def show_one(
    settings: ServiceSettings, some_id: int, *, body: bool, headers: bool, as_json: bool
) -> None:
    """A delivery by any id that leads to it, or a dead letter. Exit code 1 when there is none."""
    from service.store.look import body_of, delivery_of, letters_of, show_delivery

    with opened(settings) as store, store.read() as connection:
        delivery_id = delivery_of(connection, some_id)
        if delivery_id is None:
            letters = [] if body else letters_of(connection, some_id)
            show_letters(letters, some_id, as_json=as_json)
            return
        if body:
            typer.get_binary_stream("stdout").write(body_of(connection, delivery_id) or b"")
            return
        shown = show_delivery(connection, delivery_id)
    if not headers:
        shown.pop("headers", None)
    if as_json:
        print_json_lines([shown])
    else:
        print_delivery(shown)


def show_letters(letters: "Sequence[Row]", some_id: int, *, as_json: bool) -> None:
    """Dead letters about no event. Exit code 1 when there is none."""
    if not letters:
        typer.echo(f"no event or delivery {some_id} in the store", err=True)
        raise typer.Exit(1)
    if as_json:
        print_json_lines(letters)
        return
    for letter in letters:
        for key, value in letter.items():
            print_field(key, value, 0)


def print_json_lines(rows: "Iterable[Row]") -> None:
    """One object a line; times as ISO 8601."""
    for row in rows:
        typer.echo(json.dumps(row, default=str, ensure_ascii=False))


def print_events(rows: "Sequence[Row]") -> None:
    """A table of events."""
    cells = (
        [
            row["id"],
            row["received_at"],
            row["source"],
            short(row["event_type"], 64),
            short(row["title"], 44),
            state_of(row),
        ]
        for row in rows
    )
    titles = ["id", "received (UTC)", "source", "type", "title", "state"]
    print_table(titles, cells, below="title")


def state_of(row: "Row") -> str:
    """Where an event stands, in a few words."""
    if row["dead"]:
        return f"dead ({row['dead']})"
    if row["category"]:
        by_rules = " (degraded)" if row["degraded"] else ""
        return f"{row['category']}/{row['severity']}{by_rules}"
    return f"waits ({row['waiting']})" if row["waiting"] else "not enriched"


def print_refusals(rows: "Sequence[Row]") -> None:
    """A table of refusals."""
    names = ("last_at", "source", "reason", "address_prefix", "refused_count")
    print_table(
        ["last (UTC)", "source", "reason", "from", "times"],
        ([row[name] for name in names] for row in rows),
    )


def print_table(titles: Sequence[str], rows: Any, below: str = "") -> None:
    """A plain table on standard output; nothing is cut off.

    Where the terminal is too narrow for it, the column `below` gets a line of its own under each
    row.
    """
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_COLUMNS)
    cells = [[cell_of(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    if not cells:
        typer.echo("nothing found")
    elif below and sum(widths) + len(GAP) * (len(widths) - 1) > console.width:
        print_in_two_lines(titles, cells, titles.index(below))
    else:
        console.print(table_of(titles, cells))


def table_of(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> "Table":
    """A table that folds what does not fit; an id, and what stands beside it, stay whole."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for number, column in enumerate(zip(titles, *cells, strict=True)):
        whole = max(map(len, column)) if number < 2 else None
        table.add_column(column[0], min_width=whole, no_wrap=number < 2, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    return table


def print_in_two_lines(titles: Sequence[str], cells: Sequence[Sequence[str]], below: int) -> None:
    """Rows without a column, and that column indented under each."""
    lines = [[value for n, value in enumerate(row) if n != below] for row in (titles, *cells)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        padded = (value.ljust(width) for value, width in zip(line, widths, strict=True))
        typer.echo(GAP.join(padded).rstrip())
        under = cells[number - 1][below] if number else ""
        if under:
            typer.echo(f"{GAP}{under}")


def cell_of(value: Any) -> str:
    """A value as a cell: nothing for None, no control characters; times to the second.

    A time of this year goes without the year.
    """
    if isinstance(value, datetime):
        of_this_year = value.year == datetime.now(UTC).year
        return value.strftime("%m-%d %H:%M:%S" if of_this_year else "%Y-%m-%d %H:%M:%S")
    return "" if value is None else harmless(str(value))


def harmless(words: str) -> str:
    """Text from outside, fit for a terminal: no escape sequences, no line breaks."""
    return "".join(character if character.isprintable() else " " for character in words)


def short(words: str | None, most: int) -> str:
    """At most so many characters, with an ellipsis where some are left out."""
    words = words or ""
    return words if len(words) <= most else words[: most - 1] + "…"


def print_delivery(shown: "Row") -> None:
    """A delivery in indented lines, whatever is known of it."""
    for key, value in shown.items():
        if not isinstance(value, list):
            print_field(key, value, 0)
    for again in shown["redeliveries"]:
        print_field("delivered again", again["received_at"], 0)
    for event in shown["events"]:
        typer.echo(f"event {event['id']}")
        for key, value in event.items():
            if isinstance(value, list):
                for row in value:
                    typer.echo(f"  {key.rstrip('s').replace('_', ' ')}")
                    print_fields(row, 2)
            elif key not in ("id", "delivery_id"):
                print_field(key, value, 1)


def print_fields(row: "Row", depth: int) -> None:
    """The fields of a row that say something."""
    for key, value in row.items():
        if key not in ("id", "event_id", "source"):
            print_field(key, value, depth)


def print_field(key: str, value: Any, depth: int) -> None:
    """One field, unless it is empty."""
    if value not in (None, "", "[]", "{}", False):
        if isinstance(value, datetime):
            value = f"{value:%Y-%m-%d %H:%M:%S} UTC"
        elif isinstance(value, float):
            decimals = 7 if key.endswith("_usd") else 3  # a call costs less than a thousandth
            value = f"{value:.{decimals}f}".rstrip("0").rstrip(".")
        typer.echo(f"{'  ' * depth}{key:<16} {short(cell_of(value), 400)}")
