"""The command line in this process: a config in a folder, and what a command printed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.testing import CliRunner, Result

import hooksift
import service.commands

if TYPE_CHECKING:
    from service.cli.keeping import Eraser


class CommandLine:
    """Runs commands of `service` with the config that was written last."""

    def __init__(self, folder: Path, eraser: "Eraser | None" = None) -> None:
        self.folder = folder
        self.config = folder / "hooksift.toml"
        self.erased: list[list[str]] = []
        self._app = typer.Typer()
        service.commands.register(
            self._app, self.settings, erasers=[eraser or self._erase_elsewhere]
        )

    def _erase_elsewhere(
        self, settings: Any, words: Any, events: Any, *, dry_run: bool
    ) -> Mapping[str, int]:
        found = {"events": 0 if self.erased else 1}
        if not dry_run:
            self.erased.append(list(words))
        return found

    def settings(self) -> hooksift.Settings:
        """What the config says."""
        return hooksift.load_settings(self.config)

    def configure(self, text: str = "", store: str = "") -> None:
        """Write the config, with its data in the folder."""
        head = f'data = "{self.folder / "data"}"\n' + (f'store = "{store}"\n' if store else "")
        self.config.write_text(head + text)

    def run(self, *arguments: object, code: int | None = 0, given: str = "") -> str:
        """What a command printed; it must have ended with `code`, where one is given."""
        result = self.result(*arguments, given=given)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert code is None or result.exit_code == code, result.output
        return result.output

    def result(self, *arguments: object, given: str = "") -> Result:
        """Everything about one run."""
        return CliRunner().invoke(self._app, [str(a) for a in arguments], input=given)

    def lines(self, *arguments: object) -> list[Any]:
        """The JSON lines that a command printed."""
        return [json.loads(line) for line in self.run(*arguments, "--json").splitlines()]
