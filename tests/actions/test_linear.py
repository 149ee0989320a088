"""What is Linear's own: mutations that say whether they succeeded, labels that must be made."""

import asyncio
from collections.abc import Callable

import pytest

from enrich.actions.adapters import linear
from service.store import Store
from tests.actions.desk import Office
from tests.servers.asgi import Answer, Call, LocalHost
from tests.servers.linear_server import LinearServer, error

TICKET = "7c2e4f1a-9b3d-4a6e-8c5f-1d7b3e9a2c4f"
TAG = {"name": "tag", "mode": "act", "actions": [{"target": "tickets", "tags": ["{category}"]}]}


class Unwilling(LinearServer):
    """Says of its first changes of labels that they did nothing."""

    unwilling_count = 1

    def answer(self, call: Call) -> Answer:
        if call.json["query"] == linear.ADD and self.unwilling_count:
            self.unwilling_count -= 1
            return Answer(200, {"data": {"issueAddLabel": {"success": False}}})
        return super().answer(call)


class Overtaken(LinearServer):
    """Somebody else makes each label a moment earlier."""

    def answer(self, call: Call) -> Answer:
        if call.json["query"] == linear.MAKE:
            self.label(call.json["variables"]["name"])
            return error("INVALID_INPUT")
        return super().answer(call)


@pytest.fixture
def tagged(quick_store: Store, local_host: LocalHost) -> Callable[[LinearServer], set[str]]:
    def of(server: LinearServer) -> set[str]:
        local_host.add(server)
        server.add_ticket(TICKET)
        office = Office(quick_store, [TAG], {"tickets": server.settings()})
        office.event(server.payload(TICKET), preset="linear")

        async def work() -> None:
            await office.work()
            await office.worker.close()

        asyncio.run(work())
        return server.tags[TICKET]

    return of


@pytest.mark.parametrize("kind", [Unwilling, Overtaken])
def test_a_label_is_put_in_the_end(
    tagged: Callable[[LinearServer], set[str]], kind: type[LinearServer]
) -> None:
    assert tagged(kind()) == {"hooksift:billing"}
