"""`hooksift presets`: the providers that Hooksift knows, and how each is set up."""

from collections.abc import Callable
from typing import Annotated

import typer

from service.nearest import nearest
from service.receiving.assembly import ServiceSettings

NAME = Annotated[str, typer.Argument(help="A preset's name, from `hooksift presets`")]


def register(app: typer.Typer, load_settings: Callable[[], ServiceSettings]) -> None:
    """Add `presets` and `presets show`."""
    presets = typer.Typer(
        invoke_without_command=True, help="List the providers that are known, or explain one."
    )
    app.add_typer(presets, name="presets")

    @presets.callback()
    def every(context: typer.Context) -> None:
        """List the presets: what each is for, and what a valid delivery of it proves."""
        if context.invoked_subcommand is None:
            list_presets(load_settings())

    @presets.command()
    def show(name: NAME) -> None:
        """Explain one preset, with the lines to paste at the provider and the provider's page."""
        show_preset(load_settings(), name)


def list_presets(settings: ServiceSettings) -> None:
    """A table of every preset, those of the config too."""
    from rich.console import Console
    from rich.table import Table

    from service.explaining import bound
    from service.receiving.assembly import known_presets

    presets = known_presets(settings)
    table = Table("name", "provider", "kind", "proves", box=None, padding=(0, 2, 0, 0))
    for name, preset in sorted(presets.items()):
        shown = f"{name} *" if name in settings.presets else name
        table.add_row(shown, preset.title, preset.kind, bound(preset))
    console = Console()
    console.print(table)
    own = "; * of your config" if settings.presets else ""
    console.print(f"{len(presets)} presets{own}. `hooksift presets show NAME` explains one.")


def show_preset(settings: ServiceSettings, name: str) -> None:
    """Everything about one preset, with the URL of the source that uses it, if there is one."""
    from rich.console import Console
    from rich.table import Table

    from service.explaining import explanation
    from service.receiving.assembly import known_presets

    presets = known_presets(settings)
    if name not in presets:
        hint = f"{nearest(name, presets)} ".lstrip()
        raise typer.BadParameter(
            f"no preset {name!r}; {hint}`hooksift presets` lists all {len(presets)}"
        )
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for what, text in explanation(presets[name], url_of(settings, name)):
        table.add_row(what, text)
    console = Console()
    console.print(f"[bold]{name}[/]: {presets[name].title}\n")
    console.print(table)
    console.print(f'\n[sources.{name}]\npreset = "{name}"\nsecret = "env:..."', markup=False)


def url_of(settings: ServiceSettings, preset: str) -> str:
    """The URL to give to the provider, as far as the config knows it."""
    name = next((n for n, s in settings.sources.items() if s.preset == preset), None)
    if name and settings.sources[name].public_url:
        return settings.sources[name].public_url
    base = settings.receive.public_url.rstrip("/") or "https://YOUR-HOST"
    return f"{base}/v1/webhooks/{name or preset}"
