"""A message to a Discord channel by webhook.

https://docs.discord.com/developers/resources/webhook#execute-webhook: `wait=true` answers after the
message is saved; `allowed_mentions` with an empty `parse` mentions nobody; flag 4 makes no embeds.
https://docs.discord.com/developers/topics/rate-limits (429 with `Retry-After`)
"""

import re
from typing import ClassVar

from enrich.actions.adapters.contract import Guarantee, Message, OverHttp
from enrich.actions.outbound import Outbound
from enrich.actions.plain_text import shorten
from enrich.actions.settings import DiscordTarget

MAX_CHARS = 2_000
SUPPRESS_EMBEDS = 4
_MARKDOWN = re.compile(r"([\\*_~`|>#\[\]()<:-])")


class Discord(OverHttp):
    """No idempotency: the configuration chooses between twice and perhaps never."""

    name: ClassVar[str] = "discord"
    group_seconds: ClassVar[float] = 300.0

    def __init__(self, settings: DiscordTarget, out: Outbound) -> None:
        super().__init__(out)
        self.guarantee = Guarantee(settings.delivery.replace("-", " "))

    async def send(self, message: Message) -> None:
        """Post the message; it can mention nobody."""
        text = f"{message.title}\n{message.text}" if message.text else message.title
        body = {
            "content": shorten(escape(shorten(text, MAX_CHARS)), MAX_CHARS),
            "allowed_mentions": {"parse": []},
            "flags": SUPPRESS_EMBEDS,
        }
        await self._out.expect("POST", query={"wait": "true"}, body=body)


def escape(text: str) -> str:
    """Markdown's characters with a backslash before them."""
    return _MARKDOWN.sub(r"\\\1", text)
