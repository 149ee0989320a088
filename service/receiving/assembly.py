"""From settings to a running receiver: the store, the endpoints, the application.

Used by `hooksift receive` (this stage alone) and by `hooksift serve` (all stages at once).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from service.errors import SettingsError
from service.secrets import resolve
from service.settings import (
    MetricsSettings,
    ReceiveSettings,
    RetentionSettings,
    SourceSettings,
)

if TYPE_CHECKING:
    from litestar import Litestar

    from service.metrics import Metrics
    from service.preset import Preset
    from service.receiving.endpoint import Endpoint
    from service.store import Store


class ServiceSettings(Protocol):
    """What `service` reads of the whole configuration."""

    @property
    def data(self) -> Path: ...
    @property
    def store_url(self) -> str: ...
    @property
    def admin_token(self) -> str: ...
    @property
    def log_level(self) -> str: ...
    @property
    def receive(self) -> ReceiveSettings: ...
    @property
    def metrics(self) -> MetricsSettings: ...
    @property
    def retention(self) -> RetentionSettings: ...
    @property
    def sources(self) -> Mapping[str, SourceSettings]: ...
    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]: ...


def open_configured_store(settings: ServiceSettings, *, upgrade: bool = True) -> "Store":
    """The store of these settings; makes the data folder. Raises SettingsError, StoreError."""
    from service.store import open_store

    make_data_folder(settings.data)
    return open_store(settings.store_url, upgrade=upgrade)


def make_data_folder(folder: Path) -> None:
    """The folder of everything kept, readable by its owner only. Raises SettingsError."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsError(
            f"data: cannot make the folder {folder}: {error.strerror}; choose another"
        ) from error


def known_presets(settings: ServiceSettings) -> "dict[str, Preset]":
    """Every preset by name, those of the config too. Raises SettingsError."""
    from service.preset import PresetError, load_presets

    try:
        return load_presets(settings.presets)
    except PresetError as error:
        raise SettingsError(f"presets: {error}") from error


def digest_key(store: "Store") -> bytes:
    """The key of the digests that stand in the store for credentials."""
    statement = "SELECT value FROM store_facts WHERE name = 'digest_key'"
    with store.read() as connection:
        return bytes.fromhex(connection.exec_driver_sql(statement).scalar_one())


def build_endpoints(settings: ServiceSettings, store: "Store") -> "dict[str, Endpoint]":
    """Every source, compiled. Raises SettingsError with a line for each that cannot be."""
    presets, key = known_presets(settings), digest_key(store)
    endpoints: dict[str, Endpoint] = {}
    wrong: list[str] = []
    for name in settings.sources:
        try:
            endpoints[name] = build_endpoint(settings, name, presets, key)
        except SettingsError as error:
            wrong.append(str(error))
    if wrong:
        raise SettingsError("\n".join(wrong))
    return endpoints


def build_endpoint(
    settings: ServiceSettings, name: str, presets: "Mapping[str, Preset]", key: bytes
) -> "Endpoint":
    """One source, compiled, with its paired secret if it has one. Raises SettingsError."""
    from service.receiving.endpoint import compile_endpoint
    from service.receiving.pairing import pairs, read_secret

    source = settings.sources[name]
    preset = presets.get(source.preset)
    waits = preset is not None and pairs(preset, source)
    secret = read_secret(settings.data, name) if waits else None
    return compile_endpoint(name, source, settings.receive, presets, key, secret)


def build_app(settings: ServiceSettings, store: "Store", metrics: "Metrics") -> "Litestar":
    """The receiver's application on an open store. Raises SettingsError."""
    from service.receiving.app import create_app
    from service.receiving.pairing_watch import PairingWatch

    endpoints = build_endpoints(settings, store)
    token = resolve(settings.admin_token) if settings.admin_token else ""
    presets, key = known_presets(settings), digest_key(store)
    watch = PairingWatch(
        store,
        settings.data,
        frozenset(name for name, endpoint in endpoints.items() if endpoint.pairs),
        lambda name: build_endpoint(settings, name, presets, key),
    )
    return create_app(endpoints, settings.receive, store, metrics, token, watch=watch)
