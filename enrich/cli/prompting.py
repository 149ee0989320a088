"""`hooksift prompt`: what a model is asked."""

from collections.abc import Callable
from typing import Annotated, Any

import typer


def register(app: typer.Typer, load_settings: Callable[[], Any]) -> None:
    """Add the command."""

    @app.command()
    def prompt(
        source: Annotated[str, typer.Argument(help="a configured source")],
        event: Annotated[
            int | None, typer.Option(help="an event's id: show its message too")
        ] = None,
    ) -> None:
        """Show what a model is asked about a source's events, secrets already masked."""
        from enrich.showing import show_prompt

        typer.echo(show_prompt(load_settings(), source, event))
