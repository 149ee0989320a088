"""`hooksift backup`, `restore` and `erase`: what becomes of the store's content."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from service.cli.looking import opened
from service.errors import HooksiftError
from service.receiving.assembly import ServiceSettings

if TYPE_CHECKING:
    from service.store import Store


class Eraser(Protocol):
    """Removes a person from what another package keeps."""

    def __call__(
        self, settings: Any, words: Sequence[str], events: Collection[int], *, dry_run: bool
    ) -> Mapping[str, int]:
        """Rows of what it removed, or would remove: with the words, and of these events.

        Raises HooksiftError where it cannot.
        """


def register(
    app: typer.Typer,
    load_settings: Callable[[], ServiceSettings],
    erasers: Sequence[Eraser] = (),
) -> None:
    """Add `backup`, `restore` and `erase`."""

    @app.command()
    def backup(
        file: Annotated[Path, typer.Argument(help="A new file")],
    ) -> None:
        """Copy the store into FILE while the service runs; nobody waits for it.

        FILE holds everything the store does, so keep it as safe. Secrets of the config and the
        history are not in it: copy the config, and the history's folder, by other means.
        PostgreSQL is copied by pg_dump, which must be at least as new as the server.
        """
        from service.lifecycle.backup import back_up

        size = back_up(load_settings().store_url, file)
        typer.echo(f"copied the store into {file} ({size / 1e6:,.1f} MB)")

    @app.command()
    def restore(
        file: Annotated[Path, typer.Argument(help="A file that `hooksift backup` wrote")],
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
    ) -> None:
        """Put a copy back as the store. Stop the service first.

        The store that is there is kept, under its name with .before-restore, and a number where
        an earlier restore kept one. Asks when it has deliveries. What was erased from it since is
        left out of the copy too, and what `hooksift audit` lists stays; says where it is too
        damaged for that.
        PostgreSQL is put back by pg_restore instead; this command says how, and what to do then.
        """
        from service.lifecycle.backup import restore as put_back
        from service.receiving.assembly import make_data_folder

        settings = load_settings()
        make_data_folder(settings.data)
        done = put_back(file, settings.store_url, None if yes else ask_to_replace)
        typer.echo(f"the store is that of {file}; {done.left_out} erased deliveries were left out")
        if done.beside is not None:
            typer.echo(f"the store that was there is {done.beside}; remove it when not needed")
        if done.unread:
            typer.echo(
                f"of the store that was there {', '.join(done.unread)} could not be read: who was"
                f" erased since {file} was made may be back, so run `hooksift erase` once more for"
                " each of them before the service starts; and a message that was to be sent at most"
                " once may be sent again",
                err=True,
            )

    @app.command()
    def erase(
        subject: Annotated[
            list[str],
            typer.Option(
                help="What the person is known by: an e-mail address, a name, a number; repeatable"
            ),
        ],
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go")] = False,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
        rewrite: Annotated[
            bool,
            typer.Option(
                "--rewrite",
                help="Rewrite the store's files too; nobody can write for about 8 s a gigabyte",
            ),
        ] = False,
    ) -> None:
        """Remove a person from the store and the history, for good.

        Every event in whose text, body or results one of the words stands goes whole, whatever
        its upper and lower case; what is sent again is acknowledged and not stored. Ends with a
        scan that proves it, and with what could not be reached. It reads the store twice and the
        history three times: about a minute each for half a million events. The service may run
        meanwhile.
        """
        erase_person(load_settings(), subject, erasers, dry_run=dry_run, yes=yes, rewrite=rewrite)


def ask_to_replace(deliveries: int, beside: Path) -> None:
    """Ask whether the store that is there may be put aside. Raises typer.Abort if not."""
    typer.confirm(
        f"the store that is there has {deliveries:,} deliveries; keep it as {beside},"
        " and put the copy in its place?",
        abort=True,
    )


def erase_person(
    settings: ServiceSettings,
    subject: Sequence[str],
    erasers: Sequence[Eraser],
    *,
    dry_run: bool,
    yes: bool,
    rewrite: bool,
) -> None:
    """Plan, ask, erase, prove. Exit code 1 when something still holds a word.

    The history is looked into before anything goes, so that one that is away is told first.
    """
    from service.lifecycle.erasure import erase, look, unreached, wanted_words
    from service.lifecycle.owed import owed_by, settle

    wanted = wanted_words(subject)
    with opened(settings) as store:
        typer.echo("looking through all tables of the store")
        plan = look(store, wanted)
        print_counts("found in the store", plan.counts())
        events = plan.events.union(*owed_by(store).values())
        for eraser in erasers:
            found = eraser(settings, subject, events, dry_run=True)
            print_counts("found in the history", found)
        if dry_run:
            return
        if not yes:
            typer.confirm("remove all of it, and from the history? it cannot be undone", abort=True)
        typer.echo("removing, and looking through all tables again")
        gone = erase(store, subject, datetime.now(UTC), plan)
        print_counts("removed from the store", gone.counts())
        clean, owed = True, owed_by(store)
        events = events.union(*owed.values())
        for eraser in erasers:  # where nothing of the person can be landed any more
            with told_to_repeat():
                left = removed = eraser(settings, subject, events, dry_run=False)
                print_counts("removed from the history", removed)
                if any(removed.values()):  # a removal of nothing has just looked
                    left = eraser(settings, subject, events, dry_run=True)
            clean &= prove_elsewhere(left)
        if clean:
            settle(store, owed)
        clean &= prove(store, subject, rewrite=rewrite)
        typer.echo("not reached:")
        for place in unreached(store.dialect):
            typer.echo(f"  {place}")
    if not clean:
        raise typer.Exit(1)


@contextmanager
def told_to_repeat() -> Iterator[None]:
    """Say how far an erasure came, where it fails in the history."""
    try:
        yield
    except HooksiftError as error:
        raise HooksiftError(
            "the person is gone from the store, but NOT wholly from the history; run the same"
            f" command again once this is mended: {error}"
        ) from error


def prove(store: "Store", subject: Sequence[str], *, rewrite: bool) -> bool:
    """Shred files, where the store is one, and say what still holds a word; tables hold none."""
    from service.lifecycle.shredding import shred

    files = shred(store, subject, rewrite=rewrite)
    for name in files:
        typer.echo(f"still in the free space of {name}: run erase again with --rewrite")
    if not files:
        where = "tables and files" if store.dialect == "sqlite" else "tables"
        typer.echo(f"looked through all {where} of the store: nothing is left")
    return not files


def prove_elsewhere(left: Mapping[str, int]) -> bool:
    """Say what of the person is left in the history, by a look at it after the erasure."""
    if any(left.values()):
        print_counts("still in the history, run erase again", left)
        return False
    typer.echo("looked through all tables of the history: nothing is left")
    return True


def print_counts(what: str, counts: Mapping[str, int]) -> None:
    """`found in the store: 3 events, 2 deliveries`."""
    listed = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    typer.echo(f"{what}: {listed or 'nothing'}")
