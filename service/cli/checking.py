"""`hooksift check`: judge the configuration before it is used."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import typer

from service.receiving.assembly import ServiceSettings

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
        something cannot work as it is written; warnings alone end in 0.
        """
        from rich.console import Console
        from rich.markup import escape

        from service.checking import problems, summary

        settings = load_settings()
        console = Console()
        for what, value in summary(settings).items():
            console.print(f"[bold]{what:<11}[/] {escape(value)}", highlight=False, soft_wrap=True)
        found = problems(settings, further)
        for problem in found:
            colour = "red" if problem.severity == "error" else "yellow"
            told = escape(f"{problem.where}: {problem.what}\n         {problem.remedy}")
            console.print(
                f"\n[bold {colour}]{problem.severity}[/]  {told}",
                highlight=False,
                soft_wrap=True,
            )
        errors = sum(problem.severity == "error" for problem in found)
        counts = f"{counted(errors, 'error')}, {counted(len(found) - errors, 'warning')}"
        console.print(f"\n{counts}", highlight=False)
        if errors:
            raise typer.Exit(1)


def counted(count: int, what: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{count} {what}{'' if count == 1 else 's'}"
