"""The commands of the history: land, lab, report, export, generate."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.receiving import MetricsPort, announce_metrics, with_metrics_port
from service.errors import HooksiftError

if TYPE_CHECKING:
    from analytics.place import Place


def register(app: typer.Typer, load_settings: Callable[[], Any]) -> None:
    """Add the history's commands to the command."""

    @app.command()
    def land(
        rebuild: Annotated[
            bool,
            typer.Option("--rebuild", help="replace what the store still holds; older rows stay"),
        ] = False,
        once: Annotated[bool, typer.Option("--once", help="land what is there and stop")] = False,
        metrics_port: MetricsPort = None,
    ) -> None:
        """One stage alone: copy what is new into the history, until SIGTERM or Ctrl-C."""
        with spoken():
            settings = with_metrics_port(load_settings(), metrics_port)
            if once or rebuild:
                _land_once(settings, rebuild=rebuild)
            else:
                _keep_landing(settings)

    @app.command()
    def lab(
        history: Annotated[
            Path | None, typer.Option(help="a history's folder; the configured one if not given")
        ] = None,
        port: Annotated[int, typer.Option(help="port; 0 picks a free one")] = 0,
        browser: Annotated[bool, typer.Option(help="open the browser")] = True,
    ) -> None:
        """JupyterLab on the notebooks, pointed at the history."""
        with spoken():
            _lab(_place(load_settings, history), port, browser)

    @app.command()
    def report(
        folder: Annotated[Path, typer.Argument(help="where the HTML pages go")] = Path("report"),
        history: Annotated[
            Path | None, typer.Option(help="a history's folder; the configured one if not given")
        ] = None,
        notebooks: Annotated[
            list[str] | None, typer.Option("--notebook", help="by number or name; all by default")
        ] = None,
        days: Annotated[float | None, typer.Option(help="only the last days")] = None,
    ) -> None:
        """Run the notebooks on the history and write each as one HTML page."""
        from analytics.report import write_report

        with spoken():
            place = _place(load_settings, history)
            for page in write_report(place, folder, notebooks or [], days):
                typer.echo(str(page))

    @app.command()
    def export(
        target: Annotated[Path, typer.Argument(help="a folder, or a file that ends in .duckdb")],
        kind: Annotated[
            str, typer.Option("--as", help="parquet, csv or duckdb; by the target's ending")
        ] = "",
        history: Annotated[
            Path | None, typer.Option(help="a history's folder; the configured one if not given")
        ] = None,
        table: Annotated[
            list[str] | None, typer.Option(help="only these tables; all by default")
        ] = None,
    ) -> None:
        """The history as Parquet or CSV files, or as one DuckDB file."""
        from analytics.export import export_history

        with spoken():
            place = _place(load_settings, history)
            for name, rows in export_history(place, target, kind, table or []):
                typer.echo(f"{name}: {rows:,} rows")

    @app.command()
    def generate(
        events: Annotated[int, typer.Option(min=1, help="how many, about")] = 100_000,
        days: Annotated[float, typer.Option(min=0.1, help="spread over so many days")] = 30,
        seed: Annotated[int, typer.Option(help="the same seed makes the same history")] = 1,
        folder: Annotated[Path, typer.Option(help="a new history's folder")] = Path(
            "hooksift-generated"
        ),
    ) -> None:
        """Write a realistic made-up history, to try the notebooks on or to measure."""
        with spoken():
            _generate(events, days, seed, folder)


@contextmanager
def spoken() -> Iterator[None]:
    """What the history raises on purpose, as the command line expects it."""
    from analytics.errors import HistoryError

    try:
        yield
    except HistoryError as error:
        raise HooksiftError(str(error)) from error


def _place(load_settings: Callable[[], Any], told: Path | None) -> "Place":
    from analytics.place import find, place_of

    if told is not None:
        return find(told)
    settings = load_settings()
    return place_of(settings.history, settings.data)


def _land_once(settings: Any, *, rebuild: bool) -> None:
    from analytics.landing import Lander
    from analytics.place import place_of
    from service.logs import set_up
    from service.store import open_store

    set_up(settings.log_level)
    place = place_of(settings.history, settings.data)
    with (
        closing(open_store(settings.store_url)) as store,
        Lander(store, place, settings.history) as lander,
    ):
        landed = lander.rebuild() if rebuild else lander.land()
        lander.maintain()
    verb = "replaced or added" if rebuild else "landed"
    typer.echo(f"{verb} {landed.row_count:,} rows in {landed.took_seconds:.1f} s")


def _keep_landing(settings: Any) -> None:
    from service.logs import set_up
    from service.stopping import run_until_told

    async def land(stop: asyncio.Event) -> None:
        from analytics.landing_task import counted_in, run_landing
        from analytics.landing_worker import LandingWorker
        from analytics.place import place_of
        from service.metrics import Metrics
        from service.receiving.operations import operations_listener
        from service.store import open_store

        place = place_of(settings.history, settings.data)
        metrics, landed = Metrics(), asyncio.Event()
        with (
            closing(open_store(settings.store_url)) as store,
            operations_listener(settings.metrics, settings.admin_token, store, metrics) as address,
        ):
            async with asyncio.TaskGroup() as group:
                if address:
                    group.create_task(address.serve(landed, announce_metrics))
                worker = LandingWorker(settings.store_url, place, settings.history)
                await run_landing(worker, place, settings.history, stop, counted_in(metrics))
                landed.set()

    set_up(settings.log_level)
    run_until_told(land)


def _lab(place: "Place", port: int, browser: bool) -> None:
    from analytics.place import VARIABLE, hand_over
    from analytics.report import notebook_folder

    arguments = [f"--notebook-dir={notebook_folder()}"]
    arguments += [f"--port={port}"] if port else []
    arguments += [] if browser else ["--no-browser"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # as in a container; Jupyter refuses otherwise
        arguments.append("--allow-root")
    environment = {**os.environ, VARIABLE: hand_over(place)}
    command = [sys.executable, "-m", "jupyterlab", *arguments]
    os.execve(sys.executable, command, environment)  # noqa: S606 - so that who stops us stops it


def _generate(events: int, days: float, seed: int, folder: Path) -> None:
    from rich.progress import Progress

    from analytics.errors import HistoryError
    from analytics.generate import generate
    from analytics.history import cli_line
    from analytics.place import CATALOG_FILE, Place

    if (folder / CATALOG_FILE).exists():
        raise HistoryError(f"{folder} holds a history already; name a new folder")
    place = Place(str(folder / CATALOG_FILE), str(folder / "files"))
    with Progress(transient=True) as progress:
        task = progress.add_task("generating", total=events)
        written = generate(
            place,
            events,
            days=days,
            seed=seed,
            on_progress=lambda count: progress.update(task, completed=count),
        )
    typer.echo(f"{written:,} events in {folder}; open them with\n{cli_line(place)}")
    typer.echo(f"or: hooksift lab --history {folder}")
