"""`hooksift pair`: take the secret that a provider sends in its first request."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from service.receiving.assembly import ServiceSettings

if TYPE_CHECKING:
    from service.store import Store


def register(app: typer.Typer, load_settings: Callable[[], ServiceSettings]) -> None:
    """Add `pair`."""

    @app.command()
    def pair(
        source: Annotated[str, typer.Argument(help="A source without a secret of its own")],
        show: Annotated[
            bool, typer.Option("--show", help="Say how far it is, and open nothing")
        ] = False,
        confirm: Annotated[
            str, typer.Option(metavar="DIGEST", help="Digest of the secret that came")
        ] = "",
    ) -> None:
        """Open a source for ten minutes to the secret that its provider sends in-band.

        The first secret is kept and verifies nothing until it is confirmed.
        """
        from service.receiving.assembly import open_configured_store

        settings = load_settings()
        ask_whether_it_pairs(settings, source)
        store = open_configured_store(settings)
        try:
            if confirm:
                confirm_it(settings, store, source, confirm)
            elif show:
                typer.echo(state_of(store, source))
            else:
                open_it(store, source)
        finally:
            store.close()


def ask_whether_it_pairs(settings: ServiceSettings, source: str) -> None:
    """Raise SettingsError unless the source gets its secret by pairing."""
    from service.errors import SettingsError
    from service.receiving.assembly import known_presets
    from service.receiving.pairing import pairs

    if source not in settings.sources:
        raise SettingsError(f"sources.{source}: no such source; add it to hooksift.toml first")
    configured = settings.sources[source]
    preset = known_presets(settings).get(configured.preset)
    if preset is None or not pairs(preset, configured):
        raise SettingsError(
            f"sources.{source}: does not pair; its provider sends no secret, or `secret` is set"
        )


def open_it(store: "Store", source: str) -> None:
    """Open it, and say what comes next."""
    from service.receiving.pairing import open_pairing

    closes_at = open_pairing(store, source, datetime.now(UTC))
    typer.echo(
        f"{source} is open for pairing until {closes_at:%H:%M:%S} UTC. Create the webhook at the"
        f" provider now, then look at what came: hooksift pair {source} --show"
    )


def confirm_it(settings: ServiceSettings, store: "Store", source: str, digest: str) -> None:
    """Let the secret verify."""
    from service.receiving.pairing import confirm_pairing

    file = confirm_pairing(store, settings.data, source, digest)
    typer.echo(f"{source} is paired; its secret is in {file} (kept out of backups)")


def state_of(store: "Store", source: str) -> str:
    """How far the pairing is, in a sentence."""
    from service.receiving.pairing import pairing_of

    found = pairing_of(store, source)
    if found is None:
        return f"{source} was never opened for pairing"
    if found.confirmed_at is not None:
        return f"{source} is paired since {found.confirmed_at:%Y-%m-%d %H:%M:%S} UTC"
    if found.secret_digest is not None:
        return (
            f"A secret came from {found.address}, digest {found.secret_digest}. If that is the"
            f" provider: hooksift pair {source} --confirm {found.secret_digest}"
        )
    if found.is_open(datetime.now(UTC)):
        return f"{source} is open until {found.closes_at:%H:%M:%S} UTC; no secret has come yet"
    return f"{source} was open until {found.closes_at:%H:%M:%S} UTC; no secret came"
