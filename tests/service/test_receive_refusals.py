"""Bad input over real HTTP, and what it gets."""

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from servers.receiver import (
    RunningReceiver,
    Source,
    StoppedClock,
    read_answer,
    receiving,
    status_of,
    until,
)

from service.receiving.refusals import MAX_ROWS, RefusalCounter
from service.signing.sign import Outgoing
from service.store import open_store

NOW = 1_772_442_900.0
LIMIT = 4096


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningReceiver]:
    """One receiver for the whole module; its clock stands still."""
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('receive') / 'store.sqlite'}")
    sources = {
        "hook": Source(),
        "gh": Source("github"),
        "text": Source("github", {"store_unparsable": True}),
        "small": Source("github", {"max_body_bytes": LIMIT}),
        "slow": Source("github"),
    }
    more = {"unverified_per_minute": 1_000_000, "body_timeout_seconds": 0.4}
    with receiving(store, sources, now=StoppedClock(NOW), **more) as running:
        yield running
    store.close()


def hook(here: RunningReceiver, *, now: float = NOW, **more: object) -> Outgoing:
    return here.sources["hook"].delivery(now=now, **more)


def changed(outgoing: Outgoing, name: str, value: str | bytes | None) -> Outgoing:
    """The delivery with one header changed, or without it."""
    kept = [(n, v) for n, v in outgoing.headers if n.lower() != name.lower()]
    added = [] if value is None else [(name, value)]
    return outgoing._replace(headers=[*kept, *added])


def refused(answer: httpx.Response, status: int, reason: str) -> None:
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


def test_an_unknown_source_is_not_found(here: RunningReceiver) -> None:
    refused(here.send("nobody", hook(here)), 404, "unknown_source")


@pytest.mark.parametrize("path", ["", "/", "//", "/%00", "/%ff%fe", "/..", "/nobody/x", "/hook/x"])
def test_paths_that_lead_nowhere_are_not_found(here: RunningReceiver, path: str) -> None:
    assert here.client.post("/v1/webhooks" + path, content=b"{}").status_code == 404


@pytest.mark.parametrize("path", ["/", "/webhooks/hook", "/v1/webhooks"])
def test_a_path_elsewhere_is_told_the_right_one(here: RunningReceiver, path: str) -> None:
    answer = here.client.post(path, content=b"{}")
    assert answer.status_code == 404
    assert answer.json()["detail"].endswith("POST /v1/webhooks/SOURCE")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "TRACE"])
def test_another_method_is_not_allowed(here: RunningReceiver, method: str) -> None:
    refused(here.client.request(method, "/v1/webhooks/hook"), 405, "method_not_allowed")


def test_the_answer_to_another_method_names_the_right_one(here: RunningReceiver) -> None:
    assert here.client.get("/v1/webhooks/hook").headers["allow"] == "POST"


def test_a_body_at_the_limit_is_taken(here: RunningReceiver) -> None:
    body = json.dumps({"zen": ""}).encode()
    body = body.replace(b'""', b'"%s"' % (b"x" * (LIMIT - len(body))))
    assert len(body) == LIMIT
    assert here.send("small", here.sources["small"].delivery(body)).status_code == 202


def test_a_body_over_the_limit_is_too_large(here: RunningReceiver) -> None:
    outgoing = here.sources["small"].delivery(b" " * (LIMIT + 1))
    refused(here.send("small", outgoing), 413, "body_too_large")


def test_a_chunked_body_over_the_limit_is_too_large(here: RunningReceiver) -> None:
    outgoing = here.sources["small"].delivery(b"{}")
    chunks = (b"x" * 100 for _ in range(LIMIT))
    refused(here.send("small", outgoing, content=chunks), 413, "body_too_large")


def head(source: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST /v1/webhooks/{source} HTTP/1.1", "host: x", *lines, "", ""]).encode()


def test_a_declared_length_over_the_limit_is_refused_before_the_body(here: RunningReceiver) -> None:
    assert status_of(here.raw(head("small", f"content-length: {LIMIT + 1}"))) == 413


def test_a_client_that_asks_first_is_told_no_without_sending(here: RunningReceiver) -> None:
    lines = (f"content-length: {LIMIT + 1}", "expect: 100-continue")
    assert status_of(here.raw(head("small", *lines))) == 413


def test_more_than_the_declared_length_is_another_request(here: RunningReceiver) -> None:
    """Content-Length lies low: the body ends there, unsigned; the rest, no HTTP, ends the line."""
    outgoing = here.sources["small"].delivery(b'{"zen":1}')
    lines = [f"{n}: {v}" for n, v in outgoing.headers]
    answer = here.raw(head("small", *lines, "content-length: 3") + outgoing.body)
    assert (status_of(answer), answer.count(b"HTTP/1.1 ")) == (401, 1)


def test_less_than_the_declared_length_stores_nothing(here: RunningReceiver) -> None:
    outgoing = here.sources["gh"].delivery(b'{"zen":1}', key="short")
    lines = [f"{n}: {v}" for n, v in outgoing.headers]
    sent = head("gh", *lines, f"content-length: {len(outgoing.body) + 1}") + outgoing.body
    assert here.raw(sent, close_sending=True) == b""
    assert "short" not in {row.delivery_key for row in here.rows("deliveries")}


def test_an_endless_chunked_body_is_read_no_further_than_the_limit(here: RunningReceiver) -> None:
    """The connection is closed soon after the limit: the sender cannot push a gigabyte."""
    pushed = 0
    with socket.create_connection(here.address, timeout=10) as connection:
        connection.sendall(head("small", "transfer-encoding: chunked"))
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        with suppress(ConnectionResetError, BrokenPipeError):
            while pushed < 1 << 30:
                connection.sendall(chunk)
                pushed += len(chunk)
    assert pushed < 32 << 20


def test_an_endless_body_for_an_unknown_source_is_not_read(here: RunningReceiver) -> None:
    answer = here.raw(head("nobody", "transfer-encoding: chunked"))
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("length", ["-1", "0x10", "1e3", "9" * 40, "", "3, 3", " "])
def test_a_length_that_is_no_length_is_a_bad_request(here: RunningReceiver, length: str) -> None:
    assert status_of(here.raw(head("gh", f"content-length: {length}") + b"{}")) in {400, 401, 413}


def test_two_lengths_are_a_bad_request(here: RunningReceiver) -> None:
    sent = head("gh", "content-length: 2", "content-length: 3") + b"{}"
    assert status_of(here.raw(sent)) == 400


def test_length_and_chunks_together_are_a_bad_request(here: RunningReceiver) -> None:
    lines = ("content-length: 2", "transfer-encoding: chunked")
    assert status_of(here.raw(head("gh", *lines) + b"0\r\n\r\n")) == 400


def test_what_is_not_http_is_a_bad_request(here: RunningReceiver) -> None:
    assert status_of(here.raw(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")) == 400


def test_a_missing_signature_is_refused(here: RunningReceiver) -> None:
    outgoing = changed(hook(here), "webhook-signature", None)
    refused(here.send("hook", outgoing), 401, "missing_signature")


def test_a_wrong_signature_is_refused(here: RunningReceiver) -> None:
    other = base64.b64encode(b"0" * 32).decode()
    outgoing = changed(hook(here), "webhook-signature", f"v1,{other}")
    refused(here.send("hook", outgoing), 401, "signature_mismatch")


def test_a_changed_body_is_refused(here: RunningReceiver) -> None:
    outgoing = hook(here)
    refused(
        here.send("hook", outgoing._replace(body=outgoing.body + b" ")), 401, "signature_mismatch"
    )


ODD_SIGNATURES = {
    "empty": "",
    "blank": "   ",
    "no version": "abc",
    "version only": "v1,",
    "odd base64": "v1,abc",
    "base64 of nothing": "v1,====",
    "not base64": "v1,!!!!@@@@",
    "non-Latin-1 as UTF-8": "v1,п".encode(),
    "every high byte": b"v1," + bytes(range(0x80, 0x100)),
    "a thousand signatures": " ".join(["v1,AAAA"] * 1000),
    "60,000 letters": "v1," + "A" * 60_000,
    "60,000 spaces": "v1,A" + " " * 60_000 + "B",
    "another version": "v9," + "A" * 44,
}


@pytest.mark.parametrize("value", ODD_SIGNATURES.values(), ids=ODD_SIGNATURES)
def test_an_odd_signature_is_refused(here: RunningReceiver, value: str | bytes) -> None:
    raw = value.encode() if isinstance(value, str) else value
    outgoing = hook(here)
    lines = [f"{n}: {v}".encode() for n, v in outgoing.headers if n.lower() != "webhook-signature"]
    sent = b"\r\n".join(
        [
            b"POST /v1/webhooks/hook HTTP/1.1\r\nhost: x",
            *lines,
            b"webhook-signature: " + raw,
            b"content-length: %d" % len(outgoing.body),
            b"",
            outgoing.body,
        ]
    )
    assert status_of(here.raw(sent)) == 401


def test_two_signature_headers_are_refused(here: RunningReceiver) -> None:
    outgoing = hook(here)
    signature = next(v for n, v in outgoing.headers if n.lower() == "webhook-signature")
    doubled = outgoing._replace(headers=[*outgoing.headers, ("webhook-signature", signature)])
    refused(here.send("hook", doubled), 401, "repeated_header")


def test_a_head_without_end_is_cut_off(here: RunningReceiver) -> None:
    answer = here.raw(b"POST /v1/webhooks/hook HTTP/1.1\r\nx: " + b"a" * (8 << 20))
    assert status_of(answer) in {0, 400}  # the answer is lost where the client still sends


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_a_timestamp_within_the_window_is_taken(here: RunningReceiver, seconds: int) -> None:
    assert here.send("hook", hook(here, now=NOW + seconds)).status_code == 202


@pytest.mark.parametrize("seconds", [-301, 301, -86_400, 10**9])
def test_a_timestamp_outside_the_window_is_refused(here: RunningReceiver, seconds: int) -> None:
    answer = here.send("hook", hook(here, now=NOW + seconds))
    refused(answer, 401, "timestamp_out_of_tolerance")


@pytest.mark.parametrize("value", ["", "nan", "inf", "-1", "1e9", "0x5", "٣", "9" * 400, "1.5"])
def test_a_timestamp_that_is_none_is_refused(here: RunningReceiver, value: str) -> None:
    outgoing = changed(hook(here), "webhook-timestamp", value.encode())
    assert here.send("hook", outgoing).status_code == 401


UNREADABLE = {
    "cut off": b'{"a": ',
    "nested 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "nested deep in objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": -Infinity}',
    "a number beyond all doubles": b'{"a": 1e999}',
    "a lone surrogate": b'{"a": "\\ud800"}',
    "two lone surrogates": b'{"a": "\\udc00\\ud800"}',
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "two documents": b"{} {}",
    "a control character": b'{"a": "\x01"}',
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_a_body_that_cannot_be_read_is_a_bad_request(here: RunningReceiver, body: bytes) -> None:
    answer = here.send("gh", here.sources["gh"].delivery(body))
    assert answer.status_code == 400, answer.text
    assert answer.json()["reason"]


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_a_body_that_cannot_be_read_is_stored_where_the_source_says_so(
    here: RunningReceiver, body: bytes
) -> None:
    answer = here.send("text", here.sources["text"].delivery(body))
    assert answer.status_code == 202, answer.text


def test_an_unreadable_body_is_kept_byte_for_byte(here: RunningReceiver) -> None:
    body = b"\xff\xfe\x00 no json"
    here.send("text", here.sources["text"].delivery(body))
    assert bytes(here.rows("deliveries")[-1].body) == body


def test_an_unsigned_unreadable_body_is_not_parsed(here: RunningReceiver) -> None:
    outgoing = here.sources["gh"].delivery(b"{}")._replace(body=b"[" * 100_000)
    refused(here.send("gh", outgoing), 401, "signature_mismatch")


def test_nul_characters_are_stored(here: RunningReceiver) -> None:
    body = {"action": "a\0b", "issue": {"title": "\0", "body": "x\0y"}}
    assert here.send("gh", here.sources["gh"].delivery(body)).status_code == 202


def test_a_delivery_of_too_many_items_is_stored_as_one_event(
    here: RunningReceiver, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('many') / 's'}")
    alerts = [{"fingerprint": str(n), "startsAt": "t", "status": "firing"} for n in range(4097)]
    with receiving(store, {"am": Source("alertmanager")}) as many:
        answer = many.send("am", many.sources["am"].delivery({"alerts": alerts}))
    store.close()
    assert answer.json()["events"] == 1


def test_a_body_that_stops_half_way_times_out(here: RunningReceiver) -> None:
    with socket.create_connection(here.address, timeout=10) as connection:
        connection.sendall(head("slow", "content-length: 10") + b"{")
        assert status_of(read_answer(connection)) == 408


@pytest.mark.parametrize("sent", [b"", b"POST /v1/web", head("slow", "content-length: 9")])
def test_a_client_that_says_no_more_is_cut_off(here: RunningReceiver, sent: bytes) -> None:
    assert here.raw(sent) == b""


def test_a_half_closed_client_gets_its_answer(here: RunningReceiver) -> None:
    outgoing = here.sources["gh"].delivery()
    lines = [f"{n}: {v}" for n, v in outgoing.headers]
    sent = head("gh", *lines, f"content-length: {len(outgoing.body)}") + outgoing.body
    assert status_of(here.raw(sent, close_sending=True)) == 202


def test_a_body_that_arrives_a_byte_at_a_time_is_taken(here: RunningReceiver) -> None:
    outgoing = here.sources["gh"].delivery({"zen": "slowly"})
    lines = [f"{n}: {v}" for n, v in outgoing.headers]
    with socket.create_connection(here.address, timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(head("gh", *lines, f"content-length: {len(outgoing.body)}"))
        for byte in outgoing.body:
            connection.sendall(bytes([byte]))
        assert status_of(read_answer(connection)) == 202


def test_an_error_says_what_is_wrong_and_no_more(here: RunningReceiver) -> None:
    answer = here.send("gh", here.sources["gh"].delivery(b"["))
    assert set(answer.json()) == {"status", "reason", "message"}
    assert "Traceback" not in answer.text


def test_refusals_are_counted_by_source_and_reason(here: RunningReceiver) -> None:
    count = {"source": "hook", "reason": "missing_signature"}
    before = here.metric("hooksift_deliveries_refused_total", **count)
    here.send("hook", changed(hook(here), "webhook-signature", None))
    assert here.metric("hooksift_deliveries_refused_total", **count) == before + 1


def test_refusals_become_rows_within_seconds(here: RunningReceiver) -> None:
    here.send("slow", here.sources["gh"].delivery())
    until(lambda: [r for r in here.rows("refusals") if r.source == "slow"])


def test_unknown_sources_share_one_name(here: RunningReceiver) -> None:
    for number in range(5):
        here.client.post(f"/v1/webhooks/made-up-{number}")
    until(lambda: "(unknown)" in {r.source for r in here.rows("refusals")})
    assert not [r for r in here.rows("refusals") if r.source.startswith("made-up")]


def test_however_many_addresses_are_refused_the_rows_of_a_second_are_few() -> None:
    counter = RefusalCounter()
    for number in range(1_000):
        counter.count("a", "signature_mismatch", f"10.{number % 250}.{number // 250}.1", 0)
    assert len(counter.drain()) == MAX_ROWS + 1


def test_rows_that_cannot_be_stored_stay_few_and_lose_no_count() -> None:
    counter = RefusalCounter()
    for second in range(10):
        waiting = counter.drain()
        for number in range(100):
            counter.count("a", "signature_mismatch", f"10.{second}.{number}.1", 0)
        counter.give_back(waiting)
    rows = counter.drain()
    assert len(rows) == MAX_ROWS + 1
    assert sum(count for _, (count, *_) in rows) == 1_000
