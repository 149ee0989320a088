"""The commands of the enrich stage."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer, load_settings: Callable[[], Any]) -> None:
    """Add `prompt` and `fingerprint` to the command."""

    @app.command()
    def prompt(
        source: Annotated[str, typer.Argument(help="a configured source")],
        event: Annotated[int | None, typer.Option(help="show this event's message too")] = None,
    ) -> None:
        """Show what a model is asked about a source's events."""
        from enrich.showing import show_prompt

        typer.echo(show_prompt(load_settings(), source, event))

    @app.command()
    def fingerprint(
        file: Annotated[Path, typer.Argument(help="JSON lines with a `message`; - for stdin")],
    ) -> None:
        """Print one fingerprint for each line of a file, learning from line to line."""
        from enrich.fingerprint import Fingerprinter

        printer = Fingerprinter()
        stream = sys.stdin if str(file) == "-" else file.open(encoding="utf-8")
        with stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    typer.echo(printer.fingerprint(message_of(line, number)).print)


def message_of(line: str, number: int) -> str:
    """The `message` of one JSON line."""
    try:
        data = json.loads(line)
        message = data["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        message = None
    if not isinstance(message, str):
        raise typer.BadParameter(f'line {number}: expected {{"message": "..."}}')
    return message
