"""hooksift send: signed as the provider signs, over real HTTP, and what was answered."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority

from service.preset import load_preset, preset_names
from service.receiving.reading import compile_reader
from service.signing.new_keys import new_keys
from service.signing.sending import Sender, Sent, percentile, report_of
from service.store import Store, open_store
from tests.deliveries import request_from
from tests.servers.receiver import RunningReceiver, Source, receiving
from tests.service.command_line import CommandLine


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield opened
    opened.close()


@pytest.fixture
def receiver(store: Store) -> Iterator[RunningReceiver]:
    with receiving(store, {"gh": Source("github"), "pay": Source("stripe")}) as running:
        yield running


@pytest.fixture
def command(receiver: RunningReceiver, tmp_path: Path) -> CommandLine:
    line = CommandLine(tmp_path)
    line.configure(
        "".join(
            f'[sources.{name}]\npreset = "{source.preset}"\nsecret = "{source.keys.sender}"\n'
            for name, source in receiver.sources.items()
        )
    )
    return line


def test_samples_arrive_signed_and_each_is_new(
    command: CommandLine, receiver: RunningReceiver
) -> None:
    printed = command.run("send", "gh", "--count", 7, "--url", receiver.url)
    assert re.search(r"202\W+accepted\W+7\b", printed)
    assert len(receiver.rows("events")) == 7


def test_samples_are_no_suspected_replays(command: CommandLine, receiver: RunningReceiver) -> None:
    command.run("send", "gh", "--count", 3, "--url", receiver.url)
    assert [row.suspected_replay for row in receiver.rows("events")] == [0, 0, 0]


def test_an_id_within_the_body_is_new_each_time(
    command: CommandLine, receiver: RunningReceiver
) -> None:
    command.run("send", "pay", "--count", 3, "--url", receiver.url)
    assert len({row.delivery_key for row in receiver.rows("deliveries")}) == 3


def test_the_time_to_acknowledge_is_told(command: CommandLine, receiver: RunningReceiver) -> None:
    printed = command.run("send", "gh", "--count", 3, "--url", receiver.url)
    assert re.search(r"ack ms  p50 \d+\.\d  p95 \d+\.\d  p99 \d+\.\d", printed)


def test_a_refusal_is_told_with_its_reason_and_ends_in_one(
    command: CommandLine, receiver: RunningReceiver
) -> None:
    printed = command.run("send", "gh", "--secret", "wrong", "--url", receiver.url, code=1)
    assert re.search(r"401\W+signature_mismatch\W+1\b", printed)


def test_nobody_listening_is_told_and_ends_in_one(command: CommandLine) -> None:
    printed = command.run("send", "gh", "--url", "http://127.0.0.1:9", code=1)
    assert "ConnectError" in printed


def test_a_certificate_that_is_not_trusted_is_told_with_what_helps(
    command: CommandLine, store: Store, tmp_path: Path
) -> None:
    pair = Authority(tmp_path, "ours").issue("server")
    files = {"tls_cert": str(pair.cert), "tls_key": str(pair.key)}
    with receiving(store, {"gh": Source("github")}, **files) as running:
        printed = command.run("send", "gh", "--url", running.url, code=1)
    assert "certificate not trusted: --ca names a PEM file" in " ".join(printed.split())


def test_an_address_without_a_scheme_is_told_how_to_be_written(command: CommandLine) -> None:
    printed = command.run("send", "gh", "--url", "127.0.0.1:8080", code=2)
    assert "writehttp://127.0.0.1:8080" in re.sub(r"[\s│]", "", printed)


def test_a_given_body_is_sent_byte_for_byte(
    command: CommandLine, receiver: RunningReceiver, tmp_path: Path
) -> None:
    body = b'{ "action":"closed",\r\n "n": 1.50 }\n'
    (tmp_path / "body").write_bytes(body)
    command.run("send", "gh", "--body", tmp_path / "body", "--url", receiver.url)
    assert [bytes(row.body) for row in receiver.rows("deliveries")] == [body]


def test_a_given_type_and_header_are_sent(
    command: CommandLine, receiver: RunningReceiver, tmp_path: Path
) -> None:
    (tmp_path / "body").write_bytes(b"{}")
    more = ["--type", "ping", "--header", "X-Mine: 7", "--body", tmp_path / "body"]
    command.run("send", "gh", *more, "--url", receiver.url)
    assert receiver.rows("events")[0].event_type == "ping"
    assert '["x-mine","7"]' in receiver.rows("deliveries")[0].headers


def test_a_rate_is_kept(command: CommandLine, receiver: RunningReceiver) -> None:
    started = time.monotonic()
    command.run("send", "gh", "--count", 5, "--rate", 20, "--url", receiver.url)
    assert time.monotonic() - started >= 4 / 20


def test_a_source_that_is_not_configured_is_a_slip(command: CommandLine) -> None:
    assert "configured: gh, pay" in command.run("send", "nobody", code=2)


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert [percentile([1.0, 2.0, 3.0, 4.0], share) for share in (0.5, 0.95, 0.25)] == [2, 4, 1]


def test_times_of_refused_deliveries_are_not_acknowledgements() -> None:
    report = report_of([Sent(202, "accepted", 5.0), Sent(401, "signature_mismatch", 1.0)])
    assert (report.p50_ms, report.p99_ms, report.all_taken) == (5.0, 5.0, False)


TARGET = "http://127.0.0.1:8080/v1/webhooks/here"
PUBLIC = "https://hooks.example.com/v1/webhooks/here"


@pytest.mark.parametrize("name", preset_names())
def test_what_is_sent_as_any_provider_is_taken_for_genuine(name: str) -> None:
    preset = load_preset(name)
    keys = new_keys(preset)
    outgoing = Sender(preset, keys.sender, TARGET, PUBLIC).make(time.time())
    assert outgoing.url.startswith(TARGET)
    request = request_from(outgoing._replace(url=PUBLIC + outgoing.url[len(TARGET) :]))
    compile_reader(preset, [keys.receiver], known=keys.known).verify(request, time.time())


@pytest.mark.parametrize("name", [n for n in preset_names() if "id" in load_preset(n).covers])
def test_two_samples_of_a_provider_with_ids_have_different_ones(name: str) -> None:
    preset = load_preset(name)
    keys = new_keys(preset)
    reader = compile_reader(preset, [keys.receiver], known=keys.known)
    ids = set()
    for _ in range(2):
        request = request_from(Sender(preset, keys.sender, PUBLIC, PUBLIC).make(time.time()))
        ids.add(reader.delivery_key(request, reader.parse(request)))
    assert len(ids - {None}) == 2 or not any(ids)
