"""Whatever a stranger or a provider sends: an answer, and never a 500."""

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers.receiver import RunningReceiver, Source, as_bytes, read_answer, receiving, status_of

from service.store import open_store

PRESETS = ("github", "standard_webhooks", "stripe", "alertmanager", "slack", "sentry", "zendesk")
KEYS = st.sampled_from(
    [
        "action",
        "issue",
        "title",
        "body",
        "data",
        "id",
        "type",
        "alerts",
        "labels",
        "fingerprint",
        "startsAt",
        "status",
        "number",
        "repository",
        "full_name",
        "created",
        "event",
        "object",
    ]
) | st.text(max_size=5)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(["2026-03-02T09:15:00Z", "0001-01-01T00:00:00Z", "9" * 30, "\0", "<p>x</p>"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=25,
)
HEADER_NAMES = st.sampled_from(
    [
        "content-type",
        "content-encoding",
        "x-github-event",
        "x-github-delivery",
        "webhook-id",
        "authorization",
        "x-forwarded-for",
        "expect",
        "cookie",
        "transfer-encoding",
    ]
)
HEADER_VALUES = st.binary(max_size=30).map(
    lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"").strip()
) | st.sampled_from([b"gzip", b"application/xml", b"application/x-www-form-urlencoded", b"chunked"])
MORE = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def here(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningReceiver]:
    """One receiver for the whole module."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('properties') / 's'}"
    else:
        url = request.getfixturevalue("postgres_server")
    store = open_store(url)
    sources = {name: Source(name) for name in PRESETS}
    sources["text"] = Source("github", {"store_unparsable": True})
    more: dict[str, Any] = {"unverified_per_minute": 10**6, "body_timeout_seconds": 0.2}
    with receiving(store, sources, **more) as running:
        yield running
    store.close()


def answered(answer: httpx.Response) -> None:
    assert 200 <= answer.status_code < 500, answer.text
    assert "Traceback" not in answer.text


@MORE
@given(name=st.sampled_from([*PRESETS, "text"]), value=VALUES)
def test_any_json_that_is_signed_is_taken_or_refused(
    here: RunningReceiver, name: str, value: Any
) -> None:
    answered(here.send(name, here.sources[name].delivery(as_bytes(value))))


@MORE
@given(name=st.sampled_from([*PRESETS, "text"]), body=st.binary(max_size=200))
def test_any_bytes_that_are_signed_are_taken_or_refused(
    here: RunningReceiver, name: str, body: bytes
) -> None:
    answered(here.send(name, here.sources[name].delivery(body)))


@MORE
@given(
    name=st.sampled_from(PRESETS),
    added=st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=4),
    path=st.text(st.characters(max_codepoint=0x7E, min_codepoint=0x21), max_size=10),
)
def test_any_headers_and_path_are_answered(
    here: RunningReceiver, name: str, added: list[tuple[str, bytes]], path: str
) -> None:
    outgoing = here.sources[name].delivery()
    lines = [f"{n}: {v}".encode() for n, v in outgoing.headers]
    lines += [n.encode() + b": " + v for n, v in added]
    target = f"POST /v1/webhooks/{name}{path} HTTP/1.1".encode()
    length = b"content-length: %d" % len(outgoing.body)
    sent = b"\r\n".join([target, b"host: x", *lines, length, b"", outgoing.body])
    assert status_of(here.raw(sent, close_sending=True)) < 500


@MORE
@given(data=st.binary(max_size=300))
def test_bytes_that_are_no_http_do_not_stop_the_receiver(
    here: RunningReceiver, data: bytes
) -> None:
    with socket.create_connection(here.address, timeout=10) as connection:
        connection.sendall(data + b"\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert status_of(read_answer(connection)) < 500
    assert here.client.get("/healthz").status_code == 200
