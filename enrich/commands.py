"""The commands of `enrich`, added to the one command line."""

from collections.abc import Callable
from typing import Any

import typer

from enrich.cli import evaluating, fingerprinting, labelling, prompting, rerunning


def register(app: typer.Typer, load_settings: Callable[[], Any]) -> None:
    """Add every command of this package; `load_settings` is called when one runs."""
    for module in (prompting, fingerprinting, labelling, evaluating, rerunning):
        module.register(app, load_settings)
