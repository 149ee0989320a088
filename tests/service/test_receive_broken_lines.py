"""An answer that cannot be written ends its own connection, and nothing else of the turn."""

import asyncio

import pytest
from servers.lines import Line, nothing
from servers.receiver import Source, rows, until, wire

from service.metrics import Metrics
from service.receiving.answers import Answer
from service.receiving.app import Application, create_app
from service.receiving.outbox import MAX_HELD_BYTES, Outbox
from service.settings import ReceiveSettings
from service.store import Store

# An answer so long that it is written at once, and not at the end of the turn.
LONG = {"override": {"ack": {"body": "x" * (MAX_HELD_BYTES + 1)}}}


@pytest.fixture
def lines(kept: Store) -> list[Line]:
    """A broken connection and a good one, after a delivery came on each in the same turn."""
    source, settings = Source(settings=LONG), ReceiveSettings()

    async def turns() -> list[Line]:
        app = create_app({"a": source.endpoint("a", settings)}, settings, kept, Metrics())
        assert isinstance(app, Application)
        outbox = Outbox()
        lines = [
            Line(nothing, app.receiver.take, outbox, is_broken=is_broken)
            for is_broken in (True, False)
        ]
        for line in lines:
            line.protocol.data_received(wire(source.delivery()))
        await asyncio.to_thread(until, lambda: lines[1].sent.pieces or lines[1].sent.closed)
        return lines

    kept.new_ids()
    return asyncio.run(turns())


def test_its_connection_is_closed(lines: list[Line]) -> None:
    assert lines[0].sent.closed


def test_the_next_one_is_answered(lines: list[Line]) -> None:
    assert (lines[1].statuses, lines[1].sent.closed) == ([202], False)


def test_both_deliveries_are_stored(lines: list[Line], kept: Store) -> None:
    assert len(rows(kept, "deliveries")) == len(lines)


def test_the_server_stops_all_the_same() -> None:
    async def stop() -> Line:
        line = Line(nothing, lambda _scope, _body, reply: reply(Answer(202, b"{}")), is_broken=True)
        line.protocol.data_received(wire(Source().delivery()))
        line.protocol.shutdown()
        return line

    assert asyncio.run(stop()).sent.closed


def test_one_whose_answer_cannot_be_made_is_closed() -> None:
    async def answer() -> Line:
        line = Line(nothing, lambda _scope, _body, reply: reply(Answer(999, b"{}")))
        with pytest.raises(KeyError):
            line.protocol.data_received(wire(Source().delivery()))
        return line

    assert asyncio.run(answer()).sent.closed
