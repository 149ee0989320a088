"""The `hooksift` command: the one place that wires the stages together.

Every package brings its settings section and its commands; this module joins them, and imports a
stage only when a command needs it.
"""

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from analytics.settings import HistorySettings
from enrich.actions.settings import RuleSettings, TargetSettings
from enrich.settings import EnrichSettings, TaxonomySettings
from service.errors import HooksiftError, SettingsError
from service.settings import ReceiveSettings, SourceSettings

CONFIG = Path("hooksift.toml")


class Settings(BaseSettings):
    """hooksift.toml; any key also as HOOKSIFT_KEY or HOOKSIFT_SECTION__KEY, which wins."""

    model_config = SettingsConfigDict(
        env_prefix="HOOKSIFT_", env_nested_delimiter="__", extra="forbid"
    )

    data: Path = Field(default=Path("hooksift-data"), description="folder of everything kept")
    store: str = Field(
        default="", description="sqlite:///PATH or postgresql://...; empty: SQLite in `data`"
    )
    admin_token: str = Field(
        default="", description="env:NAME or file:PATH; opens /metrics and /readyz from afar"
    )
    log_level: str = Field(
        default="info", pattern="^(debug|info|warning|error)$", description="least level logged"
    )
    receive: ReceiveSettings = ReceiveSettings()
    sources: dict[str, SourceSettings] = {}
    presets: dict[str, dict[str, Any]] = {}
    enrich: EnrichSettings = EnrichSettings()
    taxonomies: dict[str, TaxonomySettings] = {}
    rules: list[RuleSettings] = []
    targets: dict[str, TargetSettings] = {}
    history: HistorySettings = HistorySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def store_url(self) -> str:
        """The store's URL, worked out from `data` where none is given."""
        return self.store or f"sqlite:///{self.data / 'store.sqlite'}"


def load_settings(path: Path | None = None) -> Settings:
    """The settings of a file (hooksift.toml here, if there is one) and the environment.

    Raises SettingsError with a line for each thing that is wrong.
    """
    chosen = path or CONFIG
    if path is not None and not path.is_file():
        raise SettingsError(f"{path}: no such file")

    class FileSettings(Settings):
        model_config = SettingsConfigDict(toml_file=chosen if chosen.is_file() else None)

    try:
        return FileSettings()
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{chosen}: not TOML: {error}") from error
    except ValidationError as error:
        raise SettingsError("\n".join(problems(chosen, error))) from error


def problems(path: Path, error: ValidationError) -> list[str]:
    """A line for each: file, key, what is wrong, and the value where it is no secret."""
    lines = []
    for detail in error.errors(include_url=False):
        key = ".".join(str(part) for part in detail["loc"])
        value = detail.get("input")
        shown = "" if "secret" in key or "token" in key else f" (got {str(value)[:60]!r})"
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            message, shown = "no such key; see `hooksift settings`", ""
        lines.append(f"{path}: {key}: {message}{shown}")
    return lines


app = typer.Typer(
    help="Receives webhooks, never loses one, tags each, writes the tags back, keeps the history.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
_config_path: list[Path | None] = [None]


@app.callback()
def options(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="config file", envvar="HOOKSIFT_CONFIG")
    ] = None,
) -> None:
    """Receives webhooks, never loses one, tags each, writes the tags back, keeps the history."""
    _config_path[0] = config


def configured() -> Settings:
    """The settings of this command line."""
    return load_settings(_config_path[0])


def register_commands() -> None:
    """Let every package add its commands."""
    import analytics.commands
    import enrich.actions.commands
    import enrich.commands
    import service.commands

    register: list[Callable[[typer.Typer, Callable[[], Settings]], None]] = [
        service.commands.register,
        enrich.commands.register,
        enrich.actions.commands.register,
        analytics.commands.register,
    ]
    for each in register:
        each(app, configured)


def main() -> None:
    """Run the command line; what we raise on purpose ends in one clear line and exit code 2."""
    register_commands()
    try:
        app()
    except HooksiftError as error:
        sys.exit(f"hooksift: {error}")


if __name__ == "__main__":
    main()
