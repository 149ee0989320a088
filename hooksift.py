"""The `hooksift` command: the one place that wires the stages together.

Every package brings its settings section and its commands; this module joins them, and imports a
stage only when a command needs it.
"""

import asyncio
import os
import sys
import tomllib
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn

import typer
from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as BadVariableError
from typer.models import CommandInfo

from analytics.settings import HistorySettings
from enrich.actions.settings import ActSettings, RuleSettings, TargetSettings
from enrich.settings import EnrichSettings, TaxonomySettings
from service.cli.receiving import MetricsPort, announce, announce_metrics, with_metrics_port
from service.errors import HooksiftError, SettingsError
from service.settings import (
    MetricsSettings,
    ReceiveSettings,
    RetentionSettings,
    SourceSettings,
)

if TYPE_CHECKING:
    from analytics.landing_process import LandingProcess
    from analytics.place import Place
    from enrich.actions.worker import ActionWorker
    from enrich.composition import Stage
    from service.checking import Problem
    from service.metrics import Metrics
    from service.receiving.confirming import ConfirmWorker
    from service.store import Store

CONFIG = Path("hooksift.toml")

# The commands by what a person wants to do, as `hooksift --help` shows them.
PANELS = {
    "Run": ("demo", "serve", "receive", "work", "land"),
    "Set up": ("check", "settings", "presets", "send", "verify", "pair"),
    "See what happened": ("events", "show", "dead", "actions", "audit"),
    "Do it again": ("replay", "reverify", "enrich-again"),
    "Tags and rules": ("label", "eval", "prompt", "rules", "fingerprint", "fingerprints"),
    "Look after the store": ("backup", "restore", "erase"),
    "Explore the history": ("lab", "report", "export", "generate"),
}


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
    metrics: MetricsSettings = MetricsSettings()
    retention: RetentionSettings = RetentionSettings()
    sources: dict[str, SourceSettings] = {}
    presets: dict[str, dict[str, Any]] = Field(
        default={}, description="presets of your own, each in the form of service/presets/*.toml"
    )
    enrich: EnrichSettings = EnrichSettings()
    taxonomies: dict[str, TaxonomySettings] = {}
    rules: list[RuleSettings] = []
    targets: dict[str, TargetSettings] = {}
    act: ActSettings = ActSettings()
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
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{chosen}: not UTF-8 in line {line}; save it as UTF-8") from error
    except BadVariableError as error:  # a section in one variable
        raise SettingsError(
            f"environment: {error}; write JSON, or HOOKSIFT_SECTION__KEY"
        ) from error
    except ValidationError as error:
        from service.settings_errors import lines

        file, written = "environment", {}
        if chosen.is_file():
            file, written = str(chosen), tomllib.loads(chosen.read_text(encoding="utf-8"))
        said = lines(error, Settings, file, written, os.environ)
        raise SettingsError("\n".join(said)) from error


app = typer.Typer(
    help="Receives webhooks, never loses one, tags each, writes the tags back, keeps the history.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",  # a paragraph is one, however its docstring breaks the lines
)
_config_path: list[Path | None] = [None]


def print_version(wanted: bool) -> None:
    """Print the version and end, where that is wanted."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"hooksift {version('hooksift')}")
        raise typer.Exit


@app.callback()
def options(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="config file", envvar="HOOKSIFT_CONFIG")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="print it", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    """Receives webhooks, never loses one, tags each, writes the tags back, keeps the history."""
    _config_path[0] = config


def configured() -> Settings:
    """The settings of this command line."""
    return load_settings(_config_path[0])


async def run_stages(settings: Settings, stop: asyncio.Event, *, receive: bool, land: bool) -> None:
    """The workers, with the receiver before them and the lander after them where asked.

    Runs until `stop` is set.

    What receives nothing serves its health and metrics on [metrics] port, where one is set.
    Holds its address and makes its workers before the first task starts: a start that fails ends
    at once. Stops in the order in which events flow, so that what was received is still enriched,
    and what was enriched is still landed, within each stage's deadline.
    """
    from service.lifecycle.retention import run_retention
    from service.metrics import Metrics
    from service.receiving.assembly import build_app, open_configured_store
    from service.receiving.operations import operations_listener
    from service.receiving.serving import listener

    working, landing = asyncio.Event(), asyncio.Event()
    metrics = Metrics()
    with ExitStack() as opened:
        place = history_of(settings) if land and settings.history.enabled else None
        lander = opened.enter_context(begin_lander(settings, place)) if place else None
        store = opened.enter_context(closing(open_configured_store(settings)))
        address = opened.enter_context(
            listener(build_app(settings, store, metrics), settings.receive)
            if receive
            else operations_listener(settings.metrics, settings.admin_token, store, metrics)
        )
        made = make_workers(settings, store, metrics)
        async with asyncio.TaskGroup() as stages:
            if place and lander:
                stages.create_task(run_lander(lander, settings, place, metrics, landing))
            workers = stages.create_task(run_workers(made, working))
            stages.create_task(run_retention(store, settings.retention, settings.sources, stop))
            if address and receive:
                await address.serve(stop, announce)
            elif address:
                stages.create_task(address.serve(landing, announce_metrics))
            if not receive:
                await stop.wait()
            working.set()
            await workers
            landing.set()


class Workers(NamedTuple):
    """What enriches, what acts, and what answers a provider's request to confirm."""

    stage: "Stage"
    acting: "ActionWorker"
    confirming: "ConfirmWorker"


def make_workers(settings: Settings, store: "Store", metrics: "Metrics") -> Workers:
    """The workers of these settings. Raises SettingsError; nothing runs yet."""
    from enrich.actions.loop_guard import LoopGuard
    from enrich.actions.rule_book import RuleBook
    from enrich.actions.targets import open_targets
    from enrich.actions.worker import ActionWorker
    from enrich.composition import make_stage
    from enrich.outcomes import no_actions
    from enrich.showing import taxonomy_names
    from service.receiving.confirming import ConfirmWorker

    book = RuleBook(settings.rules, settings.targets)
    targets = open_targets(settings.targets)
    stage = make_stage(
        store,
        settings.enrich,
        settings.taxonomies,
        taxonomy_names(settings),
        actions_for=book.actions_for if book.rules else no_actions,
        observer=EnrichMetrics(metrics),
        guard=LoopGuard(book, targets),
    )
    acting = ActionWorker(
        store,
        book,
        targets,
        settings.act,
        on_ended=lambda adapter, outcome: metrics.actions.labels(adapter, outcome).inc(),
    )
    return Workers(stage, acting, ConfirmWorker(store))


async def run_workers(workers: Workers, stop: asyncio.Event) -> None:
    """Enrich and act until `stop`, then close what they opened."""
    try:
        async with asyncio.TaskGroup() as running:
            running.create_task(workers.stage.worker.run(stop))
            running.create_task(workers.acting.run(stop))
            running.create_task(workers.confirming.run(stop))
    finally:
        await workers.stage.close()
        await workers.acting.close()


@contextmanager
def begin_lander(settings: Settings, place: "Place") -> "Iterator[LandingProcess]":
    """The process that lands, while the block runs; its start takes as long as that of the rest."""
    from analytics.landing_process import LandingProcess

    lander = LandingProcess(settings.store_url, place, settings.history, settings.log_level)
    try:
        with suppress(OSError, RuntimeError):  # its first turn tries again, and says why
            lander.begin()
        yield lander
    finally:
        lander.kill()
        lander.close()


async def run_lander(
    lander: "LandingProcess",
    settings: Settings,
    place: "Place",
    metrics: "Metrics",
    stop: asyncio.Event,
) -> None:
    """Copy facts into the history until `stop`, then once more, within the deadline."""
    from analytics.landing_task import counted_in, kill_late, run_landing

    late = asyncio.create_task(kill_late(lander, stop, settings.enrich.drain_seconds))
    try:
        await run_landing(lander, place, settings.history, stop, counted_in(metrics))
    finally:
        late.cancel()


def history_of(settings: Settings) -> "Place":
    """Where the history is. Raises HooksiftError where its secrets cannot be read."""
    from analytics.commands import spoken
    from analytics.place import place_of

    with spoken():
        return place_of(settings.history, settings.data)


class EnrichMetrics:
    """Counts for Prometheus what the enrich worker tells."""

    def __init__(self, metrics: "Metrics") -> None:
        self._metrics = metrics

    def attempted(self, source: str, outcome: str, count: int) -> None:
        """So many attempts ended so."""
        self._metrics.attempts.labels(source, outcome).inc(count)

    def enriched(self, source: str, seconds: float) -> None:
        """An event was enriched so long after its work became available."""
        self._metrics.enriched_seconds.labels(source).observe(seconds)

    def lost_lease(self, count: int) -> None:
        """So many results came too late and were not written."""
        self._metrics.lost_leases.inc(count)


@app.command()
def serve(
    tls_cert: Annotated[
        str, typer.Option(help="PEM file of the certificate chain; receive.tls_cert if empty")
    ] = "",
    tls_key: Annotated[str, typer.Option(help="PEM file of its private key")] = "",
    client_ca: Annotated[
        str, typer.Option(help="PEM file; clients must show a certificate of it")
    ] = "",
) -> None:
    """All stages at once: receive, enrich, act and land in the history."""
    from service.cli.receiving import changed, fast_loop
    from service.logs import set_up
    from service.stopping import run_until_told

    settings = configured()
    place = changed(settings.receive, "", None, tls_cert, tls_key, client_ca)
    settings = settings.model_copy(update={"receive": place})
    set_up(settings.log_level)
    run_until_told(partial(run_stages, settings, receive=True, land=True), fast_loop())


@app.command()
def work(metrics_port: MetricsPort = None) -> None:
    """One stage alone: enrich events and carry out actions, until SIGTERM or Ctrl-C."""
    from service.logs import set_up
    from service.stopping import run_until_told

    settings = with_metrics_port(configured(), metrics_port)
    set_up(settings.log_level)
    run_until_told(partial(run_stages, settings, receive=False, land=False))


@app.command()
def demo(
    events: Annotated[
        int, typer.Option("--events", min=20, help="deliveries to send, about")
    ] = 240,
    data: Annotated[
        Path, typer.Option("--data", help="folder for the demo's data; made anew each time")
    ] = Path("hooksift-demo"),
) -> None:
    """The whole thing, end to end, on signed sample deliveries over real HTTP, with a report."""
    from rich.console import Console

    from analytics.demo import run_demo

    run_demo(data, events, Console())


def erase_from_history(
    settings: Settings, words: Sequence[str], events: Collection[int], *, dry_run: bool
) -> dict[str, int]:
    """Remove a person from the history, or count what would go; nothing where there is none."""
    from analytics.commands import spoken
    from analytics.erase import count_person, erase_person
    from analytics.errors import HistoryMissing

    with spoken():
        try:
            act = count_person if dry_run else erase_person
            return act(history_of(settings), words, events)
        except HistoryMissing:
            return {}


def check_enrich(settings: Settings) -> Iterator["Problem"]:
    """What `hooksift check` finds in the sections of `enrich`."""
    from enrich.checking import problems

    return problems(settings)


def check_environment(settings: Settings) -> Iterator["Problem"]:
    """Variables whose names are almost settings."""
    from service.checking import Problem
    from service.settings_errors import ignored_variables

    for name, remedy in ignored_variables(Settings, settings.model_dump_json(), os.environ):
        yield Problem("warning", name, "no setting is called so: it is ignored", remedy)


def check_history(settings: Settings) -> Iterator["Problem"]:
    """What `hooksift check` finds in [history]."""
    from analytics.checking import problems

    return problems(settings.history, settings.data)


def register_commands() -> None:
    """Let every package add its commands, none of which is loaded before it runs."""
    import analytics.commands
    import enrich.actions.commands
    import enrich.commands
    import service.commands

    service.commands.register(
        app,
        configured,
        checks=[check_environment, check_enrich, check_history],
        erasers=[erase_from_history],
    )
    for package in (enrich.commands, enrich.actions.commands, analytics.commands):
        package.register(app, configured)
    arrange()


def arrange() -> None:
    """Show every command under its heading, in that order."""
    panels = {name: panel for panel, names in PANELS.items() for name in names}
    order = list(panels)

    def name_of(command: CommandInfo) -> str:
        return command.name or (command.callback.__name__ if command.callback else "")

    app.registered_commands.sort(key=lambda command: order.index(name_of(command)))
    for command in app.registered_commands:
        command.rich_help_panel = panels[name_of(command)]
    for group in app.registered_groups:
        group.rich_help_panel = panels[group.name or ""]


def main() -> None:
    """Run the command line; what we raise on purpose ends in one clear line and exit code 2."""
    register_commands()
    try:
        app()
    except HooksiftError as error:
        give_up(error)
    except BaseExceptionGroup as group:
        meant, others = group.split(HooksiftError)
        if meant is None or others is not None:
            raise
        give_up(first_of(meant))


def first_of(group: BaseException) -> BaseException:
    """The first error within nested groups."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


def give_up(error: BaseException) -> NoReturn:
    """One clear line on standard error, exit code 2."""
    typer.echo(f"hooksift: {error}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
