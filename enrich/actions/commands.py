"""The commands of the act stage: try rules on an event, see what was done."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from service.cli.looking import Json, print_json_lines, print_table


def register(app: typer.Typer, load_settings: Callable[[], Any]) -> None:
    """Add `rules test`, `rules list` and `actions` to the command."""
    rules = typer.Typer(help="Rules: what happens to an enriched event.", no_args_is_help=True)
    app.add_typer(rules, name="rules")

    @rules.command("test")
    def test(
        event: Annotated[int, typer.Argument(help="an event's id")],
    ) -> None:
        """Show what the rules would do with an event, to which ticket and why. Does nothing."""
        from enrich.actions.preview import Preview
        from enrich.actions.rule_book import RuleBook

        settings = load_settings()
        book = RuleBook(settings.rules, settings.targets)
        if not book.rules:
            typer.echo("no rules are configured; see [[rules]] in the README")
            raise typer.Exit(1)
        with _store(settings) as store, store.read() as connection:
            try:
                for line in Preview(connection, book, settings.targets).lines(event):
                    typer.echo(line)
            except LookupError as error:
                typer.echo(error, err=True)
                raise typer.Exit(1) from error

    @rules.command("list")
    def list_rules() -> None:
        """Show every rule's actions: where, in which mode, how often they have their effect."""
        from enrich.actions.rule_book import RuleBook
        from enrich.actions.targets import Kind, guarantee_of

        settings = load_settings()
        book = RuleBook(settings.rules, settings.targets)
        for rule in book.rules:
            for action in book.actions_of(rule):
                target = settings.targets[action.settings.target]
                mode = rule.mode or ("act" if action.kind is Kind.MESSAGE else "suggest")
                typer.echo(
                    f"{action.name}: {action.kind.value} at {action.settings.target}"
                    f" ({target.adapter}), {mode}, {guarantee_of(target).value}"
                )

    @app.command()
    def actions(
        event: Annotated[int | None, typer.Option(help="of this event only")] = None,
        limit: Annotated[int, typer.Option(min=1, max=1000, help="at most so many")] = 20,
        as_json: Json = False,
    ) -> None:
        """Show the newest tries of write-backs and notifications, and how they ended."""
        _show_actions(load_settings(), event, limit, as_json=as_json)


def _show_actions(settings: Any, event: int | None, limit: int, *, as_json: bool) -> None:
    from enrich.actions.listing import list_actions, why_of

    with _store(settings) as store, store.read() as connection:
        rows = list_actions(connection, event, limit)
    if as_json:
        print_json_lines(rows)
        return
    if not rows:
        which = "" if event is None else f" for event {event}"
        typer.echo(
            f"no write-back or notification was tried{which}; `hooksift rules test EVENT`"
            " shows what the rules would do, `hooksift work` does it"
        )
        return
    names = ("event_id", "finished_at", "name", "target", "number", "outcome")
    titles = ["event", "finished (UTC)", "action", "target", "try", "outcome", "why"]
    print_table(titles, ([*(r[name] for name in names), why_of(r)] for r in rows), below="why")


def _store(settings: Any) -> Any:
    from contextlib import closing

    from service.store import open_store

    return closing(open_store(settings.store_url, upgrade=False))
