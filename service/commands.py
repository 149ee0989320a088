"""The commands of `service`, added to the one command line."""

from collections.abc import Callable

import typer

from service.assembly import ServiceSettings
from service.cli import presets, receiving, sending, verifying


def register(app: typer.Typer, load_settings: Callable[[], ServiceSettings]) -> None:
    """Add every command of this package; `load_settings` is called when one runs."""
    for module in (receiving, sending, verifying, presets):
        module.register(app, load_settings)
