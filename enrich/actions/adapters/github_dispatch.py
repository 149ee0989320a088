"""A repository_dispatch event, which starts GitHub Actions workflows.

https://docs.github.com/en/rest/repos/repos#create-a-repository-dispatch-event: `client_payload` may
have ten properties at its top, so everything goes under one; the answer is 204.
"""

from typing import ClassVar

from enrich.actions.adapters.contract import Guarantee, Message, OverHttp
from enrich.actions.adapters.github import REPOSITORY
from enrich.actions.outbound import Outbound
from enrich.actions.settings import GitHubDispatchTarget
from service.errors import SettingsError


class GitHubDispatch(OverHttp):
    """No idempotency at GitHub; the key in the payload lets a workflow skip what it has done."""

    name: ClassVar[str] = "github-dispatch"
    group_seconds: ClassVar[float] = 0.0

    def __init__(self, settings: GitHubDispatchTarget, out: Outbound) -> None:
        super().__init__(out)
        if not REPOSITORY.fullmatch(settings.repository):
            raise SettingsError("repository must be owner/name")
        self.guarantee = Guarantee(settings.delivery.replace("-", " "))
        self._path = ("repos", *settings.repository.split("/"), "dispatches")
        self._event = settings.event

    async def send(self, message: Message) -> None:
        """Dispatch."""
        data = {**message.values, "title": message.title, "text": message.text}
        data |= {"key": message.key, "count": str(message.count)}
        body = {"event_type": self._event, "client_payload": {"hooksift": data}}
        await self._out.expect("POST", *self._path, body=body)
