"""A signed Standard Webhook to any URL: GitHub, Ansible Event-Driven, Jenkins, your own.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
`webhook-id` is the same for every try, so the receiver can drop repetitions; `webhook-timestamp` is
the time of this try; the signature is HMAC-SHA256 over `id.timestamp.body`.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import ClassVar

from enrich.actions.adapters.contract import Guarantee, Message, OverHttp
from enrich.actions.outbound import Outbound
from enrich.actions.settings import WebhookTarget
from service.errors import SettingsError

EVENT_TYPE = "hooksift.action"


class StandardWebhook(OverHttp):
    """At least once, with an id by which the receiver recognises repetitions."""

    name: ClassVar[str] = "webhook"
    group_seconds: ClassVar[float] = 0.0

    def __init__(
        self,
        settings: WebhookTarget,
        out: Outbound,
        secret: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(out)
        self.guarantee = Guarantee(settings.delivery.replace("-", " "))
        self._key = decode_secret(secret)
        self._now = now

    async def send(self, message: Message) -> None:
        """Sign and post."""
        data = {**message.values, "text": message.text, "title": message.title}
        event = {
            "type": EVENT_TYPE,
            "timestamp": message.at.isoformat(),
            "data": {**data, "count": message.count},
        }
        content = json.dumps(event, separators=(",", ":")).encode()
        await self._out.expect(
            "POST",
            content=content,
            headers={
                "content-type": "application/json",
                **signed_headers(self._key, message.key, self._now(), content),
            },
        )


def signed_headers(key: bytes, webhook_id: str, at: datetime, content: bytes) -> dict[str, str]:
    """The three headers of a Standard Webhook."""
    timestamp = str(int(at.timestamp()))
    signed = f"{webhook_id}.{timestamp}.".encode() + content
    digest = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{digest}",
    }


def decode_secret(secret: str) -> bytes:
    """The key of a `whsec_` secret. Raises SettingsError when it is none."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < 24:
        raise SettingsError(
            "a webhook target's secret must be whsec_ and base64 of at least 24 bytes;"
            ' make one with: python3 -c "import base64, os;'
            " print('whsec_' + base64.b64encode(os.urandom(32)).decode())\""
        )
    return key
