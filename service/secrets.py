"""Secrets by reference: `env:NAME` or `file:PATH`, so that no config file need hold one."""

import os
from collections.abc import Mapping
from pathlib import Path

from service.errors import SettingsError

MAX_SECRET_BYTES = 64 * 1024


def is_literal(reference: str) -> bool:
    """Whether the secret itself stands in the config."""
    return not reference.startswith(("env:", "file:"))


def resolve(reference: str, environment: Mapping[str, str] | None = None) -> str:
    """The secret that a reference names; a literal is itself. Trailing newlines of files go.

    Raises SettingsError, which names the reference and never the secret.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        value = (os.environ if environment is None else environment).get(name, "")
        if not value:
            raise SettingsError(f"{reference}: environment variable {name} is not set; export it")
        return value
    if kind == "file":
        return _read(reference, Path(name))
    return reference


def _read(reference: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{reference}: {error.strerror or error}; create the file") from error
    if len(raw) > MAX_SECRET_BYTES:
        raise SettingsError(f"{reference}: over {MAX_SECRET_BYTES} bytes; a secret is shorter")
    try:
        value = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{reference}: not UTF-8 text") from error
    if not value:
        raise SettingsError(f"{reference}: the file is empty; write the secret into it")
    return value
