"""A message to a Microsoft Teams channel by a workflow's webhook.

https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook
https://adaptivecards.io/explorer/TextRun.html: a text run of a rich text block knows no Markdown,
a text block does (links among it), so rich text blocks are used.
The older connectors answer 200 with an error in the text when the limit is reached.
"""

from typing import Any, ClassVar

from enrich.actions.adapters.contract import Guarantee, Message, OverHttp
from enrich.actions.errors import TransientError
from enrich.actions.outbound import Outbound
from enrich.actions.plain_text import shorten
from enrich.actions.settings import TeamsTarget

MAX_CHARS = 5_000
CARD = "application/vnd.microsoft.card.adaptive"


class Teams(OverHttp):
    """No idempotency: the configuration chooses between twice and perhaps never."""

    name: ClassVar[str] = "teams"
    group_seconds: ClassVar[float] = 300.0

    def __init__(self, settings: TeamsTarget, out: Outbound) -> None:
        super().__init__(out)
        self.guarantee = Guarantee(settings.delivery.replace("-", " "))

    async def send(self, message: Message) -> None:
        """Post an adaptive card of plain text runs."""
        lines = [_block(message.title, "Bolder")]
        lines += [
            _block(line) for line in shorten(message.text, MAX_CHARS).splitlines() if line.strip()
        ]
        card = {"type": "AdaptiveCard", "version": "1.4", "body": lines}
        body = {
            "type": "message",
            "attachments": [{"contentType": CARD, "contentUrl": None, "content": card}],
        }
        reply = await self._out.expect("POST", body=body)
        if b"error 429" in reply.body:
            raise TransientError(f"{reply.host} is at its limit", kind="rate_limited")


def _block(text: str, weight: str = "Default") -> dict[str, Any]:
    run = {"type": "TextRun", "text": text, "weight": weight}
    return {"type": "RichTextBlock", "inlines": [run]}
