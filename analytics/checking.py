"""What `hooksift check` finds wrong in [history]."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from analytics.errors import HistoryError, HistoryMissing
from analytics.place import Place, place_of, secret_of
from analytics.settings import HistorySettings
from service.checking import Problem, literal, told
from service.secrets import is_literal


def problems(settings: HistorySettings, data: Path) -> Iterator[Problem]:
    """Secrets that cannot be read or stand in the config, files of one machine, no catalog."""
    unreadable = list(_check_secrets(settings))
    yield from unreadable or _check_place(place_of(settings, data), settings)
    if settings.s3.secret and is_literal(settings.s3.secret):
        yield literal("history.s3.secret")
    if is_literal(settings.catalog) and _password(settings.catalog):
        yield literal("history.catalog")


def _password(address: str) -> str | None:
    try:
        return urlsplit(address).password
    except ValueError:  # not an address that anything could open, which is told elsewhere
        return None


def _check_secrets(settings: HistorySettings) -> Iterator[Problem]:
    for key, reference in (("catalog", settings.catalog), ("s3.secret", settings.s3.secret)):
        try:
            secret_of(reference)
        except HistoryError as error:
            yield told("error", f"history.{key}", error)


def _check_place(place: Place, settings: HistorySettings) -> Iterator[Problem]:
    """Whether the history can be opened; none landed yet is fine."""
    from analytics.history import connect

    if place.is_postgresql and not settings.files:
        yield Problem(
            "warning",
            "history.files",
            f"the catalog is on PostgreSQL, the files are in {place.files} of this machine only",
            "set files to a folder or s3://bucket/prefix that everybody who reads it reaches",
        )
    try:
        connect(place).close()
    except HistoryMissing:
        return
    except HistoryError as error:
        yield Problem("error", "history", str(error), "correct catalog, or start the database")
