"""`hooksift replay` and `dead`: give work back to the queue."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.looking import (
    Json,
    Since,
    Source,
    Type,
    Until,
    filter_of,
    opened,
    print_json_lines,
    print_table,
)
from service.receiving.assembly import ServiceSettings

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from service.lifecycle.replay import Chosen, Item

Ids = Annotated[
    list[int] | None,
    typer.Argument(metavar="[ID]...", help="Of events, or of deliveries: all theirs"),
]
Kind = Annotated[str, typer.Option(help="Only enrich, act or confirm")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say how many, and do nothing")]
All = Annotated[bool, typer.Option("--all", help="Everything there is; without ids or a filter")]


def register(app: typer.Typer, load_settings: Callable[[], ServiceSettings]) -> None:
    """Add `replay`, `dead` and `dead replay`."""

    @app.command()
    def replay(
        ids: Ids = None,
        source: Source = "",
        event_type: Type = "",
        since: Since = "",
        until: Until = "",
        everything: All = False,
        dry_run: DryRun = False,
    ) -> None:
        """Enrich events once more, chosen by id or by a filter.

        Each gets a further revision of its enrichment, and rules look at it again; what an action
        did for the same outcome is not done twice. Events that still wait are left alone.
        """
        from service.lifecycle.replay import Chosen, events_to_replay

        chosen = Chosen(tuple(ids or ()), filter_of(source, event_type, since, until))
        ask_for_choice(chosen, everything=everything)
        run(load_settings(), chosen, events_to_replay, "replay", dry_run=dry_run)

    dead = typer.Typer(
        invoke_without_command=True, help="List what gave up, or give it back to the queue."
    )
    app.add_typer(dead, name="dead")

    @dead.callback()
    def every(context: typer.Context) -> None:
        """List what gave up, or give it back to the queue."""
        if context.invoked_subcommand is None:
            list_letters(load_settings(), "", "", "", "", "", 20, as_json=False)

    @dead.command("list")
    def list_them(
        source: Source = "",
        event_type: Type = "",
        since: Since = "",
        until: Until = "",
        kind: Kind = "",
        limit: Annotated[int, typer.Option(min=1, help="At most so many")] = 20,
        as_json: Json = False,
    ) -> None:
        """List the dead letters, newest first, with the reason of each."""
        list_letters(
            load_settings(), source, event_type, since, until, kind, limit, as_json=as_json
        )

    @dead.command("replay")
    def replay_dead(
        ids: Ids = None,
        source: Source = "",
        event_type: Type = "",
        since: Since = "",
        until: Until = "",
        kind: Kind = "",
        reason: Annotated[str, typer.Option(help="Only those whose reason holds this")] = "",
        everything: All = False,
        dry_run: DryRun = False,
    ) -> None:
        """Try dead letters again, chosen by id or by a filter; their attempts stay on record."""
        from service.lifecycle.replay import Chosen, letters_to_replay

        chosen = Chosen(tuple(ids or ()), filter_of(source, event_type, since, until), kind, reason)
        ask_for_choice(chosen, everything=everything)
        run(load_settings(), chosen, letters_to_replay, "dead replay", dry_run=dry_run)


def ask_for_choice(chosen: "Chosen", *, everything: bool) -> None:
    """Nothing chosen is a slip of the hand, not a wish for all. Raises typer.BadParameter."""
    if not any(chosen.described().values()) and not everything:
        raise typer.BadParameter("say which: ids, a filter such as --source, or --all")


def run(
    settings: ServiceSettings,
    chosen: "Chosen",
    find: "Callable[[Connection, Chosen], list[Item]]",
    deed: str,
    *,
    dry_run: bool,
) -> None:
    """Find what is chosen and give it back, or say how much it would be."""
    from collections import Counter

    from service.lifecycle.replay import give_back

    with opened(settings) as store:
        with store.read() as connection:
            items = find(connection, chosen)
            found = {item.event_id for item in items}
            ask_whether_there_are(connection, [i for i in chosen.ids if i not in found])
        if not items:
            typer.echo("gave back 0: what was chosen waits already, or is not there")
            return
        counts = Counter((item.source, item.kind) for item in items)
        for (source, kind), count in sorted(counts.items()):
            typer.echo(f"{source}: {count} to {kind}")
        if dry_run:
            typer.echo(f"would give back {len(items)}; nothing was changed")
            return
        done = give_back(store, items, datetime.now(UTC), deed, chosen)
    typer.echo(f"gave back {done}")


def ask_whether_there_are(connection: "Connection", ids: Sequence[int]) -> None:
    """Exit code 1 when an id leads to no delivery, so that a slip of the hand is seen."""
    from service.store.look import delivery_of

    missing = [some_id for some_id in ids if delivery_of(connection, some_id) is None]
    for some_id in missing:
        typer.echo(f"no event or delivery {some_id} in the store", err=True)
    if missing:
        raise typer.Exit(1)


def list_letters(
    settings: ServiceSettings,
    source: str,
    event_type: str,
    since: str,
    until: str,
    kind: str,
    limit: int,
    *,
    as_json: bool,
) -> None:
    """A table of dead letters."""
    from service.store.look import list_dead

    chosen = filter_of(source, event_type, since, until)
    with opened(settings) as store, store.read() as connection:
        rows = list_dead(connection, chosen, kind, limit)
    if as_json:
        print_json_lines(rows)
        return
    cells = (
        [
            r["event_id"],
            r["died_at"],
            r["source"],
            r["kind"],
            r["name"],
            r["tries"],
            r["reason"],
        ]
        for r in rows
    )
    titles = ["event", "died (UTC)", "source", "kind", "name", "tries", "reason"]
    print_table(titles, cells, below="reason")
    if rows:
        typer.echo(
            "\n`hooksift show EVENT` tells all of one; `hooksift dead replay --all` tries all again"
        )
