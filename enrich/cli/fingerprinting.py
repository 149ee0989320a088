"""`hooksift fingerprint` and `hooksift fingerprints`: what copies of an error share."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from service.errors import SettingsError


def register(app: typer.Typer, load_settings: Callable[[], Any]) -> None:
    """Add the commands."""

    @app.command()
    def fingerprint(
        file: Annotated[Path, typer.Argument(help="JSON lines with a `message`; - for stdin")],
    ) -> None:
        """Print one fingerprint for each line of a file, learning from line to line."""
        with lines_of(file) as lines:
            for print_ in prints_of(lines):
                sys.stdout.write(print_ + "\n")

    learned = typer.Typer(
        help="What is shared among copies of an error, and what was learned.", no_args_is_help=True
    )
    app.add_typer(learned, name="fingerprints")

    @learned.command("list")
    def list_shared(
        source: Annotated[str | None, typer.Option(help="of this source only")] = None,
        limit: Annotated[int, typer.Option(min=1, max=10_000, help="at most so many")] = 20,
    ) -> None:
        """Show enrichments that stand for copies, and patterns that were learned."""
        show_learned(load_settings(), source, limit)

    @learned.command("forget")
    def forget_learned(
        source: Annotated[str, typer.Argument(help="a source")],
        fingerprint: Annotated[
            str | None, typer.Argument(help="one print; all if left out")
        ] = None,
    ) -> None:
        """Forget a fingerprint, or all of a source: the next copy is asked about again."""
        from enrich.learned import Forget, forget
        from service.store import open_store

        store = open_store(load_settings().store_url)
        try:
            wanted = Forget(source, fingerprint, datetime.now(UTC))
            count = store.write_now(forget, wanted)
        finally:
            store.close()
        typer.echo(f"{count} forgotten; running workers notice within half a minute")


def show_learned(settings: Any, source: str | None, limit: int) -> None:
    """Print both tables."""
    from rich.console import Console
    from rich.table import Table

    from enrich.learned import load_patterns, shared
    from service.store import open_store

    store = open_store(settings.store_url)
    try:
        with store.read() as connection:
            standing = shared(connection, source, limit)
            patterns = load_patterns(connection, source, limit)
    finally:
        store.close()
    table = Table()
    for heading in ("source", "fingerprint", "copies", "category", "severity", "summary"):
        table.add_column(heading)
    for item in standing:
        copies = str(item.copy_count)
        table.add_row(
            item.source, item.fingerprint, copies, item.category, item.severity, item.summary
        )
    known = Table()
    for heading in ("source", "print", "pattern"):
        known.add_column(heading)
    for name, print_, pattern in patterns:
        known.add_row(name, print_, pattern)
    console = Console()
    for title, rows, filled in (
        ("shared enrichments", standing, table),
        ("learned patterns, <*> varies", patterns, known),
    ):
        console.print(title if rows else f"{title}: none yet")
        if rows:
            console.print(filled)


@contextmanager
def lines_of(file: Path) -> Iterator[Iterable[str]]:
    """The lines of a file, or of standard input for `-`."""
    if str(file) == "-":
        yield sys.stdin
        return
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            yield opened
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from error


def prints_of(lines: Iterable[str]) -> Iterator[str]:
    """One fingerprint for each line, from an empty state."""
    from enrich.fingerprint import Fingerprinter

    printer = Fingerprinter()
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield printer.fingerprint(message_of(line, number)).print


def message_of(line: str, number: int) -> str:
    """The `message` of one JSON line."""
    try:
        message = json.loads(line)["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        message = None
    if not isinstance(message, str):
        raise SettingsError(f'line {number}: expected a JSON object like {{"message": "..."}}')
    return message
