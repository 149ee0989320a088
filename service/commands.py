"""The commands of `service`, added to the one command line."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import typer

from service.cli import (
    checking,
    keeping,
    looking,
    pairing,
    presets,
    receiving,
    replaying,
    reverifying,
    sending,
    settings,
    verifying,
)
from service.receiving.assembly import ServiceSettings

if TYPE_CHECKING:
    from service.checking import Check


def register(
    app: typer.Typer,
    load_settings: Callable[[], ServiceSettings],
    checks: Sequence["Check"] = (),
    erasers: Sequence[keeping.Eraser] = (),
) -> None:
    """Add every command of this package; `load_settings` is called when one runs.

    `checks` are what other packages add to `hooksift check`, `erasers` to `hooksift erase`.
    """
    checking.register(app, load_settings, checks)
    keeping.register(app, load_settings, erasers)
    for module in (
        receiving,
        sending,
        verifying,
        presets,
        looking,
        replaying,
        reverifying,
        settings,
        pairing,
    ):
        module.register(app, load_settings)
