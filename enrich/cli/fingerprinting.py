"""`hooksift fingerprint` and `hooksift fingerprints`: what copies of an error share."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from service.cli.looking import Json, print_json_lines, print_table
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
        as_json: Json = False,
    ) -> None:
        """Show enrichments that stand for copies, and patterns that were learned."""
        show_learned(load_settings(), source, limit, as_json=as_json)

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

        settings = load_settings()
        store = open_store(settings.store_url)
        try:
            wanted = Forget(source, fingerprint, datetime.now(UTC))
            count = store.write_now(forget, wanted)
        finally:
            store.close()
        if not count:
            say_that_nothing_matched(settings, source, fingerprint)
        typer.echo(f"{count} forgotten; running workers notice within half a minute")


def say_that_nothing_matched(settings: Any, source: str, fingerprint: str | None) -> NoReturn:
    """Exit code 1. Raises SettingsError for a source that is not configured either."""
    if source not in settings.sources:
        known = ", ".join(settings.sources) or "none"
        raise SettingsError(f"no source {source!r}; configured are {known}")
    what = "fingerprint" if fingerprint is None else f"fingerprint {fingerprint!r}"
    typer.echo(
        f"nothing matched: source {source} has no {what} that is shared or learned;"
        f" see hooksift fingerprints list --source {source}",
        err=True,
    )
    raise typer.Exit(1)


def show_learned(settings: Any, source: str | None, limit: int, *, as_json: bool) -> None:
    """Print both tables, or a JSON object for each row of either."""
    from enrich.learned import load_patterns, shared
    from service.store import open_store
    from service.store.look import readable_value

    store = open_store(settings.store_url)
    try:
        with store.read() as connection:
            standing = [item._asdict() for item in shared(connection, source, limit)]
            patterns = load_patterns(connection, source, limit)
    finally:
        store.close()
    learned = [dict(zip(("source", "fingerprint", "pattern"), p, strict=True)) for p in patterns]
    if as_json:
        rows = ({n: readable_value(n, v) for n, v in row.items()} for row in [*standing, *learned])
        print_json_lines(rows)
        return
    for title, found, names in (
        (
            "shared enrichments",
            standing,
            ("source", "fingerprint", "copy_count", "category", "severity", "summary"),
        ),
        ("learned patterns, <*> varies", learned, ("source", "fingerprint", "pattern")),
    ):
        typer.echo(title if found else f"{title}: none yet")
        if found:
            titles = [name.replace("copy_count", "copies") for name in names]
            print_table(titles, ([row[n] for n in names] for row in found), below=names[-1])


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
