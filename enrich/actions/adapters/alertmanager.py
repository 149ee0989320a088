"""An alert to Prometheus Alertmanager.

https://prometheus.io/docs/alerting/latest/alerts_api/: `POST /api/v2/alerts`; alerts are identified
by their labels, so the same one again only moves its end.
"""

from base64 import b64encode
from datetime import timedelta
from typing import ClassVar

from enrich.actions.adapters.contract import Guarantee, Message, OverHttp
from enrich.actions.outbound import Outbound
from enrich.actions.plain_text import one_line, shorten
from enrich.actions.settings import AlertmanagerTarget

LABELS = ("source", "category", "severity", "fingerprint")


def headers(settings: AlertmanagerTarget, password: str, token: str) -> dict[str, str]:
    """Bearer token, basic authentication or none."""
    if token:
        return {"authorization": f"Bearer {token}"}
    if settings.user:
        pair = b64encode(f"{settings.user}:{password}".encode()).decode()
        return {"authorization": f"Basic {pair}"}
    return {}


class Alertmanager(OverHttp):
    """The labels make it one alert."""

    name: ClassVar[str] = "alertmanager"
    guarantee: Guarantee = Guarantee.EXACTLY_ONCE
    group_seconds: ClassVar[float] = 300.0

    def __init__(self, settings: AlertmanagerTarget, out: Outbound) -> None:
        super().__init__(out)
        self._resolve_after = timedelta(seconds=settings.resolve_after)

    async def send(self, message: Message) -> None:
        """Raise the alert, or keep it raised."""
        labels = {name: one_line(message.values.get(name, "")) for name in LABELS}
        alert = {
            "labels": {
                "alertname": message.values.get("rule", "hooksift"),
                **{name: value for name, value in labels.items() if value},
            },
            "annotations": {
                "summary": one_line(message.title, 1_024),
                "description": shorten(message.text, 4_000),
            },
            "endsAt": (message.at + self._resolve_after).isoformat(),
        }
        await self._out.expect("POST", "api", "v2", "alerts", body=[alert])
