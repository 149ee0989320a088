"""An incident by PagerDuty's Events API v2.

https://developer.pagerduty.com/docs/events-api-v2/trigger-events/: events with the same `dedup_key`
are one incident while it is open, so repeating one changes nothing and a storm is one incident.
https://developer.pagerduty.com/docs/events-api-v2/overview/ (202; 429 when too many)
"""

from typing import ClassVar

from enrich.actions.adapters.contract import Guarantee, Message, OverHttp
from enrich.actions.outbound import Outbound
from enrich.actions.plain_text import one_line, shorten

SEVERITIES = {
    **dict.fromkeys(("critical", "urgent", "fatal", "emergency"), "critical"),
    **dict.fromkeys(("high", "error", "major"), "error"),
    **dict.fromkeys(("medium", "normal", "warning", "minor"), "warning"),
}


class PagerDutyEvents(OverHttp):
    """The dedup key makes it one effect while the incident is open; a later try opens another."""

    name: ClassVar[str] = "pagerduty-events"
    guarantee: Guarantee = Guarantee.AT_LEAST_ONCE
    group_seconds: ClassVar[float] = 300.0

    def __init__(self, out: Outbound, routing_key: str) -> None:
        super().__init__(out)
        self._routing_key = routing_key

    async def send(self, message: Message) -> None:
        """Trigger."""
        body = {
            "routing_key": self._routing_key,
            "event_action": "trigger",
            "dedup_key": message.group,
            "payload": {
                "summary": one_line(message.title, 1_024),
                "source": message.values.get("source", "hooksift"),
                "severity": SEVERITIES.get(message.severity, "info"),
                "timestamp": message.at.isoformat(),
                "class": message.values.get("category", ""),
                "custom_details": {
                    "text": shorten(message.text, 4_000),
                    "count": message.count,
                    "event_id": message.values.get("event_id", ""),
                },
            },
        }
        await self._out.expect("POST", "v2", "enqueue", body=body)
