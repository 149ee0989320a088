"""A message to a Slack channel by incoming webhook.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
https://docs.slack.dev/messaging/formatting-message-text (`&`, `<`, `>` are the control characters)
Slack answers `ok`, has no key to recognise a repeated message by, and 429 with `Retry-After`.
"""

from typing import ClassVar

from enrich.actions.adapters.contract import Guarantee, Message, OverHttp
from enrich.actions.outbound import Outbound
from enrich.actions.plain_text import shorten
from enrich.actions.settings import SlackTarget

MAX_CHARS = 3_000


class Slack(OverHttp):
    """No idempotency: the configuration chooses between twice and perhaps never."""

    name: ClassVar[str] = "slack"
    group_seconds: ClassVar[float] = 300.0

    def __init__(self, settings: SlackTarget, out: Outbound) -> None:
        super().__init__(out)
        self.guarantee = Guarantee(settings.delivery.replace("-", " "))

    async def send(self, message: Message) -> None:
        """Post the message; nothing in it is a link, a mention or unfurled."""
        text = f"{message.title}\n{message.text}" if message.text else message.title
        body = {
            "text": escape(shorten(text, MAX_CHARS)),
            "mrkdwn": False,
            "parse": "none",
            "link_names": False,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        await self._out.expect("POST", body=body)


def escape(text: str) -> str:
    """Slack's three control characters, as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
