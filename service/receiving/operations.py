"""Health and metrics of a process that receives nothing: `hooksift work` and `hooksift land`."""

from contextlib import AbstractContextManager, nullcontext

from litestar import Litestar
from litestar.datastructures import State

from service.metrics import Metrics, QueueCollector
from service.receiving.app import healthz, prometheus, readyz
from service.receiving.serving import Listener, listener
from service.secrets import resolve
from service.settings import MetricsSettings, ReceiveSettings
from service.store import Store


def create_operations_app(store: Store, metrics: Metrics, admin_token: str = "") -> Litestar:
    """/healthz, /readyz and /metrics, guarded as the receiver's are."""
    metrics.registry.register(QueueCollector(store))
    return Litestar(
        route_handlers=[healthz, readyz, prometheus],
        openapi_config=None,
        logging_config=None,
        state=State({"store": store, "metrics": metrics, "admin_token": admin_token}),
    )


def operations_listener(
    place: MetricsSettings, admin_token: str, store: Store, metrics: Metrics
) -> AbstractContextManager[Listener | None]:
    """Hold the address of [metrics]; None where no port is set.

    `admin_token` is a reference as the configuration holds it. Raises SettingsError when the
    address cannot be had.
    """
    if place.port is None:
        return nullcontext()
    token = resolve(admin_token) if admin_token else ""
    app = create_operations_app(store, metrics, token)
    listening = ReceiveSettings(host=place.host, port=place.port)
    return listener(app, listening, section="metrics")
