"""`hooksift check`: judge the configuration before it is used."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import typer

from service.assembly import ServiceSettings

if TYPE_CHECKING:
    from service.checking import Check


def register(
    app: typer.Typer,
    load_settings: Callable[[], ServiceSettings],
    further: Sequence["Check"] = (),
) -> None:
    """Add `check`; `further` holds what other packages look at."""

    @app.command()
    def check() -> None:
        """Say what is wrong with the configuration, where, and how to mend it.

        Reads the secrets and opens the store, but receives and sends nothing. Exit code 1 when
        something keeps the service from starting; warnings alone end in 0.
        """
        from rich.console import Console

        from service.checking import problems, summary

        settings = load_settings()
        console = Console()
        for what, value in summary(settings).items():
            console.print(f"[bold]{what:<11}[/] {value}", highlight=False, soft_wrap=True)
        found = problems(settings, further)
        for problem in found:
            colour = "red" if problem.severity == "error" else "yellow"
            console.print(
                f"\n[bold {colour}]{problem.severity}[/]  {problem.where}: {problem.what}"
                f"\n         {problem.remedy}",
                highlight=False,
                soft_wrap=True,
            )
        errors = sum(problem.severity == "error" for problem in found)
        console.print(f"\n{errors} errors, {len(found) - errors} warnings", highlight=False)
        if errors:
            raise typer.Exit(1)
