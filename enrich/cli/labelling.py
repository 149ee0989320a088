"""`hooksift label`: a person's word on an event."""

import getpass
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer


def register(app: typer.Typer, load_settings: Callable[[], Any]) -> None:
    """Add the command."""

    @app.command()
    def label(
        event: Annotated[int, typer.Argument(help="an event's id")],
        category: Annotated[str | None, typer.Option(help="what it is about")] = None,
        severity: Annotated[str | None, typer.Option(help="how bad it is")] = None,
        tag: Annotated[list[str] | None, typer.Option(help="a tag it has; repeatable")] = None,
        author: Annotated[str, typer.Option(help="who says so")] = "",
    ) -> None:
        """Say what an event really is: measured every day, shown to models as an example."""
        said = [("category", category), ("severity", severity)]
        said += [("tag", name) for name in tag or ()]
        words = [(field, value) for field, value in said if value]
        if not words:
            raise typer.BadParameter("give --category, --severity or --tag")
        count = write_labels(load_settings(), event, words, author or getpass.getuser())
        typer.echo(f"{count} of {len(words)} recorded" + ("" if count else "; said before"))


def write_labels(settings: Any, event_id: int, words: list[tuple[str, str]], author: str) -> int:
    """Record the words that are new. Raises SettingsError for what the taxonomy does not know."""
    from enrich.labels import NewLabel, check_label, record_labels
    from enrich.showing import read_event, taxonomy_of
    from service.store import open_store

    event = read_event(settings, event_id)
    taxonomy = taxonomy_of(settings, event.source)
    for field, value in words:
        check_label(taxonomy, field, value)
    store = open_store(settings.store_url)
    try:
        now = datetime.now(UTC)
        labels = [
            NewLabel(store.new_ids(), event_id, event.source, field, value, author, "command", now)
            for field, value in words
        ]
        return int(store.write_now(record_labels, labels))
    finally:
        store.close()
