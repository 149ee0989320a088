"""Where a history is: which catalog, which files, and how to find them without being told."""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analytics.errors import HistoryError, HistoryMissing, without_credentials
from analytics.settings import HistorySettings, S3Settings

VARIABLE = "HOOKSIFT_HISTORY_PATH"
CATALOG_FILE = "catalog.sqlite"
CONNECT_SECONDS = 5
FOLDERS = ("hooksift-data", "hooksift-demo")


@dataclass(frozen=True, slots=True)
class Place:
    """The catalog (a file, or a postgresql:// address) and the folder or bucket of its files."""

    catalog: str
    files: str = ""
    s3: S3Settings = field(default_factory=S3Settings)

    @property
    def is_postgresql(self) -> bool:
        """Whether the catalog is a PostgreSQL database, which several writers may share."""
        return self.catalog.startswith(("postgresql://", "postgres://"))

    @property
    def address(self) -> str:
        """What to connect to: a database that does not answer is given up after some seconds."""
        if not self.is_postgresql:
            return self.catalog
        head, at, tail = self.catalog.partition("://")[2].partition("@")
        hosts = tail if at and "/" not in head else self.catalog  # a password may hold a "?"
        if "connect_timeout=" in hosts:
            return self.catalog
        return f"{self.catalog}{'&' if '?' in hosts else '?'}connect_timeout={CONNECT_SECONDS}"

    @property
    def is_s3(self) -> bool:
        """Whether the files live in S3-compatible storage."""
        return self.files.startswith("s3://")

    def __str__(self) -> str:
        """For messages: a database without its password, or the folder."""
        if not self.is_postgresql:
            return str(Path(self.catalog).parent)
        return without_credentials(self.catalog)


def place_of(settings: HistorySettings, data: Path | str) -> Place:
    """Where the settings put the history; `data` is the data folder. Reads secrets, no database.

    Raises HistoryError for a secret that cannot be read.
    """
    catalog = secret_of(settings.catalog)
    if not catalog:
        catalog = str(Path(data) / "history" / CATALOG_FILE)
    elif not catalog.startswith(("postgresql://", "postgres://")):
        catalog = str(Path(catalog).expanduser())
    files = settings.files or _files_beside(catalog, Path(data))
    secret = secret_of(settings.s3.secret)
    return Place(catalog, files, settings.s3.model_copy(update={"secret": secret}))


def _files_beside(catalog: str, data: Path) -> str:
    if catalog.startswith(("postgresql://", "postgres://")):
        return str((data / "history" / "files").absolute())
    return str(Path(catalog).parent / "files")


def secret_of(reference: str, environ: Mapping[str, str] = os.environ) -> str:
    """The value of env:NAME or file:PATH; anything else stands for itself.

    Raises HistoryError where there is none.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        if not environ.get(name):
            raise HistoryError(f"{reference}: environment variable {name} is not set; export it")
        return environ[name]
    if kind == "file":
        try:
            return Path(name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise HistoryError(
                f"{reference}: cannot be read ({error}); correct the file"
            ) from error
    return reference


def nothing_at(place: Place) -> HistoryMissing:
    """The error for a place that nothing has been landed at, with what to do."""
    return HistoryMissing(
        f"no history at {place}: nothing has been landed there yet; run `hooksift serve` first"
    )


def hand_over(place: Place) -> str:
    """What to put into $HOOKSIFT_HISTORY_PATH so that another process finds this history.

    Its path; or JSON with all that is needed, where a path does not say it.
    Raises HistoryMissing where nothing has been landed yet.
    """
    path = Path(place.catalog).absolute()
    if not place.is_postgresql:
        if not path.is_file():
            raise nothing_at(place)
        if place.files == str(Path(place.catalog).parent / "files"):
            return str(path)
    catalog = place.catalog if place.is_postgresql else str(path)
    return json.dumps({"catalog": catalog, "files": place.files, "s3": place.s3.model_dump()})


def find(
    where: str | Path | None = None,
    environ: Mapping[str, str] = os.environ,
    folder: Path | None = None,
) -> Place:
    """Where the history is: `where`, else $HOOKSIFT_HISTORY_PATH, else what is configured here.

    That is hooksift.toml, then a data folder. Both are looked for in `folder` (default: here) and
    the folder above it, so that a notebook in notebooks/ finds what the project's folder holds.
    Raises HistoryMissing where there is none.
    """
    told = str(where or environ.get(VARIABLE, ""))
    if told:
        return _at(told)
    here = (folder or Path()).absolute()
    for around in (here, here.parent):
        place = _configured(around, environ)
        if place is not None:
            return place
        for name in FOLDERS:
            if (around / name / "history" / CATALOG_FILE).exists():
                return _at(str(around / name / "history"))
    raise HistoryMissing(
        f"no history found in {here}: run `hooksift demo` or `hooksift serve` first,"
        f" or name its folder in {VARIABLE}"
    )


def _at(told: str) -> Place:
    if told.startswith("{"):
        values = json.loads(told)
        return Place(values["catalog"], values["files"], S3Settings(**values["s3"]))
    if told.startswith(("postgresql://", "postgres://")):
        return Place(told)
    path = Path(told).expanduser()
    for candidate in (path, path / CATALOG_FILE, path / "history" / CATALOG_FILE):
        if candidate.is_file():
            return Place(str(candidate), str(candidate.parent / "files"))
    raise HistoryMissing(
        f"no history at {told}: nothing has been landed there yet (looked for {CATALOG_FILE})"
    )


def _configured(folder: Path, environ: Mapping[str, str]) -> Place | None:
    file = folder / "hooksift.toml"
    if not file.is_file():
        return None
    values: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    data = folder / environ.get("HOOKSIFT_DATA", str(values.get("data", FOLDERS[0])))
    place = place_of(HistorySettings.model_validate(values.get("history", {})), data)
    return place if place.is_postgresql or Path(place.catalog).exists() else None
