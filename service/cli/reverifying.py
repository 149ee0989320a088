"""`hooksift reverify`: take in what was refused for a fault that is mended."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.looking import opened
from service.receiving.assembly import ServiceSettings

if TYPE_CHECKING:
    from collections import Counter

    from service.store import Store

TAKEN = ("accepted", "duplicate", "handshake")


def register(app: typer.Typer, load_settings: Callable[[], ServiceSettings]) -> None:
    """Add `reverify`."""

    @app.command()
    def reverify(
        source: Annotated[str, typer.Argument(help="A source with quarantine = N in the config")],
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be taken")] = False,
    ) -> None:
        """Verify again what the quarantine of SOURCE holds, and take in what is valid now.

        For when a secret, a public URL or a schema was wrong and is mended. Judges the exact bytes
        as of the moment at which they came; what was redelivered since is not stored twice.
        """
        outcomes = take_in(load_settings(), source, dry_run=dry_run)
        for outcome, count in sorted(outcomes.items()):
            typer.echo(f"{count:>6}  {outcome if outcome in TAKEN else f'kept: {outcome}'}")
        if not outcomes:
            typer.echo(f"the quarantine of {source} is empty")
        if dry_run:
            typer.echo("nothing was changed")


def take_in(settings: ServiceSettings, source: str, *, dry_run: bool) -> "Counter[str]":
    """What became of what. Raises typer.BadParameter for a source that is not configured."""
    from service.receiving.assembly import build_endpoints
    from service.receiving.quarantine import take_in_again

    if source not in settings.sources:
        raise typer.BadParameter(f"no source {source!r} in the config")
    with opened(settings) as store:
        endpoint = build_endpoints(settings, store)[source]
        outcomes = asyncio.run(take_in_again(store, endpoint, dry_run=dry_run))
        if not dry_run:
            write_down(store, source, sum(outcomes[word] for word in TAKEN))
    return outcomes


def write_down(store: "Store", source: str, count: int) -> None:
    """Note the deed for `hooksift audit`."""
    from service.lifecycle.audit import note_done

    note_done(store, datetime.now(UTC), "reverify", {"source": source}, count)
