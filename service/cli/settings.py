"""`hooksift settings`: every key of hooksift.toml, its default and its meaning."""

from collections.abc import Callable
from typing import Annotated

import typer
from pydantic import BaseModel

from service.receiving.assembly import ServiceSettings


def register(app: typer.Typer, load_settings: Callable[[], ServiceSettings]) -> None:
    """Add `settings`."""

    @app.command()
    def settings(
        section: Annotated[str, typer.Argument(help="Only sections that begin with this")] = "",
        as_markdown: Annotated[
            bool, typer.Option("--markdown", help="As docs/settings.md has them")
        ] = False,
    ) -> None:
        """List every setting with its default and its meaning.

        Each may also be an environment variable, which wins: receive.port is
        HOOKSIFT_RECEIVE__PORT.
        """
        from service.settings_table import markdown

        kind = settings_class(load_settings())
        if as_markdown:
            typer.echo(markdown(kind), nl=False)
        else:
            print_settings(kind, section)


def settings_class(settings: ServiceSettings) -> type[BaseModel]:
    """The class that these settings are read by."""
    kind = type(settings)
    assert issubclass(kind, BaseModel)
    return kind


def print_settings(kind: type[BaseModel], section: str) -> None:
    """The sections as they would stand in the file."""
    from service.cli.looking import print_table
    from service.settings_table import settings_of

    wanted = [s for s in settings_of(kind) if s.section.strip("[]").startswith(section)]
    for title in dict.fromkeys(setting.section for setting in wanted):
        typer.echo(f"\n{title or 'at the top'}")
        rows = ([f"  {s.key}", s.default, s.meaning] for s in wanted if s.section == title)
        print_table(["  key", "default", "meaning"], rows)
    if not wanted:
        raise typer.BadParameter(f"no section begins with {section!r}")
