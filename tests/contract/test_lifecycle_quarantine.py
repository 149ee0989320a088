"""Refused deliveries of sources that ask for it are kept, bounded, and can be taken in later."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from service.preset import load_preset
from service.receiving.endpoint import Endpoint
from service.receiving.quarantine import MAX_BODY_BYTES, QuarantineBuffer, cut, take_in_again
from service.receiving.request import Request
from service.settings import ReceiveSettings
from service.store import Store
from tests.servers.receiver import Source, receiving, rows
from tests.service.command_line import CommandLine

RIGHT = "the-right-secret-of-this-source"
WRONG = "a-secret-with-a-slip-of-the-pen"


def source(preset: str = "github", secret: str = WRONG, **settings: Any) -> Source:
    """A source that keeps what it refuses, and has a slip in its secret."""
    return Source(preset, {"quarantine": 5, "secret": secret, **settings})


def mended(made: Source, **settings: Any) -> Endpoint:
    """The same source with the secret its provider really uses."""
    again = Source(made.preset, {**made.settings, "secret": made.keys.receiver, **settings})
    return again.endpoint("gh", ReceiveSettings())


def refuse(store: Store, made: Source, count: int = 1, **more: Any) -> list[int]:
    """Send deliveries to a receiver that refuses them; the statuses. Flushed when it stops."""
    with receiving(store, {"gh": made}) as running:
        return [running.send("gh", made.delivery(**more)).status_code for _ in range(count)]


def reverify(store: Store, endpoint: Endpoint, **more: Any) -> Counter[str]:
    return asyncio.run(take_in_again(store, endpoint, **more))


def test_a_refused_delivery_is_kept_and_still_refused(store: Store) -> None:
    assert refuse(store, source()) == [401]
    assert [row.reason for row in rows(store, "quarantine")] == ["signature_mismatch"]


def test_nothing_is_kept_where_nobody_asked(store: Store) -> None:
    refuse(store, source(quarantine=0))
    assert rows(store, "quarantine") == []


def test_the_newest_push_out_the_oldest(store: Store) -> None:
    made = source()
    refuse(store, made, 7)
    refuse(store, made, 2)
    kept = [row.id for row in rows(store, "quarantine")]
    assert len(kept) == 5
    refuse(store, made, 1)
    assert [row.id for row in rows(store, "quarantine")][:4] == kept[1:]


def test_a_large_body_is_not_kept(store: Store) -> None:
    refuse(store, source(), body=b'"' + b"a" * MAX_BODY_BYTES + b'"')
    assert rows(store, "quarantine") == []


def test_an_accepted_delivery_is_not_kept(store: Store) -> None:
    made = Source("github", {"quarantine": 5})
    assert refuse(store, made) == [202]
    assert rows(store, "quarantine") == []


def test_once_the_secret_is_mended_what_was_refused_is_taken_in(store: Store) -> None:
    made = source()
    body = b'{"action":"opened",  "issue":{"number":7,"title":"It fails"}}\n'
    refuse(store, made, body=body, key="d-1")
    assert reverify(store, mended(made)) == {"accepted": 1}
    (delivery,) = rows(store, "deliveries")
    assert (bytes(delivery.body), delivery.delivery_key, delivery.verified) == (body, "d-1", True)
    assert [row.kind for row in rows(store, "work_items", "event_id")] == ["enrich"]


def test_what_was_taken_in_leaves_the_quarantine(store: Store) -> None:
    made = source()
    refuse(store, made, 3)
    reverify(store, mended(made))
    assert rows(store, "quarantine") == []


def test_what_is_still_wrong_stays_with_its_reason(store: Store) -> None:
    made = source()
    refuse(store, made, 2)
    assert reverify(store, made.endpoint("gh", ReceiveSettings())) == {"signature_mismatch": 2}
    assert len(rows(store, "quarantine")) == 2


def test_a_dry_run_changes_nothing(store: Store) -> None:
    made = source()
    refuse(store, made, 2)
    assert reverify(store, mended(made), dry_run=True) == {"accepted": 2}
    assert (len(rows(store, "quarantine")), rows(store, "deliveries")) == (2, [])


def test_a_delivery_is_judged_as_of_when_it_came(store: Store) -> None:
    made = source("stripe")
    refuse(store, made)
    set_back = "UPDATE quarantine SET received_at = received_at + 400000000"
    store.write_now(lambda c, _tx, payloads: [c.exec_driver_sql(set_back).rowcount], None)
    assert reverify(store, mended(made)) == {"timestamp_out_of_tolerance": 1}


def test_it_keeps_the_time_at_which_it_came(store: Store) -> None:
    made = source()
    refuse(store, made)
    (kept,) = rows(store, "quarantine")
    reverify(store, mended(made))
    assert rows(store, "events")[0].received_at == kept.received_at


def test_the_provider_s_own_retry_is_taken_while_its_first_try_is_in_quarantine(
    store: Store,
) -> None:
    made = source()
    delivery = made.delivery(key="d-1")
    with receiving(store, {"gh": made}) as running:
        running.send("gh", delivery)
    good = Source("github", {"quarantine": 5})
    good.keys = made.keys
    with receiving(store, {"gh": good}) as running:
        assert running.send("gh", delivery).status_code == 202


def test_what_was_redelivered_since_is_not_stored_twice(store: Store) -> None:
    made = source()
    refuse(store, made, 2, body=b"{}", key="d-1")
    assert reverify(store, mended(made)) == {"accepted": 1, "duplicate": 1}
    assert len(rows(store, "deliveries")) == 1


def test_a_mended_public_url_is_tried(store: Store) -> None:
    made = Source("square", {"quarantine": 5, "public_url": "https://wrong.example/hook"})
    right = "https://right.example/hook"
    with receiving(store, {"gh": made}) as running:
        outgoing = made.delivery(url=right)
        assert running.send("gh", outgoing).status_code == load_preset("square").ack.refused_status
    assert reverify(store, mended(made, public_url=right)) == {"accepted": 1}


def test_a_credential_is_not_kept_and_so_it_cannot_be_taken_in(store: Store) -> None:
    made = source("gitlab_token")
    refuse(store, made)
    (kept,) = rows(store, "quarantine")
    assert made.keys.sender not in str(kept)
    assert reverify(store, mended(made)) == {"concealed": 1}


def test_a_secret_in_a_body_is_not_kept_where_only_the_verification_names_its_place(
    store: Store,
) -> None:
    verify = {"from": "json:key", "format": "{raw}"}
    made = source("bearer", override={"verify": verify})
    with receiving(store, {"gh": made}) as running:
        body = {"key": made.keys.sender}
        assert running.client.post("/v1/webhooks/gh", json=body).status_code == 401
    assert [made.keys.sender in str(row) for row in rows(store, "quarantine")] == [False]


@pytest.mark.parametrize("written", ["/{}/", "/{}/x", "/x/{}/", "//{}%2f", "%2f{}/%2fx", "/{}%3f/"])
def test_a_secret_in_a_path_is_not_kept_however_it_is_written(store: Store, written: str) -> None:
    made = Source("uptime_kuma", {"quarantine": 5})
    with receiving(store, {"gh": made}) as running:
        path = "/v1/webhooks/gh" + written.format(made.keys.sender)
        assert running.client.post(path, content=b"{}").status_code == 401
    (kept,) = rows(store, "quarantine")
    assert made.keys.sender not in str(kept)


SCHEMA = {"type": "object", "required": ["action"]}


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    return path


def guarded(schema: Path, **settings: Any) -> Source:
    return Source("github", {"schemas": {"*": str(schema)}, "quarantine": 5, **settings})


def test_a_body_that_breaks_its_schema_is_refused_with_the_place(
    store: Store, schema: Path
) -> None:
    made = guarded(schema)
    with receiving(store, {"gh": made}) as running:
        answer = running.send("gh", made.delivery({"title": "x"}))
    assert (answer.status_code, answer.json()["reason"]) == (400, "schema_violation")
    assert rows(store, "deliveries") == []


def test_a_body_that_keeps_its_schema_is_taken(store: Store, schema: Path) -> None:
    assert refuse(store, guarded(schema), body={"action": "opened"}) == [202]


def test_an_unsigned_body_is_not_judged_by_the_schema(store: Store, schema: Path) -> None:
    assert refuse(store, guarded(schema, secret=WRONG), body={"title": "x"}) == [401]


@pytest.mark.parametrize(("failure", "kept"), [("reject", 0), ("quarantine", 1)])
def test_what_breaks_the_schema_is_kept_only_where_the_source_says_so(
    store: Store, schema: Path, failure: str, kept: int
) -> None:
    assert refuse(store, guarded(schema, schema_failure=failure), body={"title": "x"}) == [400]
    assert len(rows(store, "quarantine")) == kept


def test_once_the_schema_is_mended_what_broke_it_is_taken_in(store: Store, schema: Path) -> None:
    made = guarded(schema, schema_failure="quarantine")
    refuse(store, made, body={"title": "x"})
    assert reverify(store, mended(made)) == {"schema_violation": 1}
    schema.write_text("{}")
    assert reverify(store, mended(made)) == {"accepted": 1}


def test_a_flood_is_bounded_in_memory_and_on_disk(store: Store) -> None:
    made = source(quarantine=3)
    refuse(store, made, 40, body=b'"' + b"a" * 500_000 + b'"')
    assert len(rows(store, "quarantine")) == 3


def test_the_oldest_go_where_all_together_are_too_large(store: Store) -> None:
    refuse(store, source(), 4, body=b'"' + b"a" * 100_000 + b'"')
    newest = [row.id for row in rows(store, "quarantine")][-2:]
    store.write_now(lambda connection, *_: [cut(connection, "gh", 5, 250_000)], None)
    assert [row.id for row in rows(store, "quarantine")] == newest


def test_what_waits_in_memory_is_bounded_with_its_headers() -> None:
    """Ten thousand refusals of 30 KB and no body would be 300 MB."""
    endpoint = source(quarantine=10_000).endpoint("gh", ReceiveSettings())
    buffer = QuarantineBuffer()
    for _ in range(10_000):
        headers = [(f"x-{number}", "") for number in range(100)]
        buffer.keep(endpoint, Request("POST", "/", headers, b""), "missing_signature", "", 0)
    assert 500 < len(buffer.drain()) < 700


def test_by_command_it_says_what_became_of_what(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    made = source()
    refuse(store, made, 2)
    command = CommandLine(tmp_path)
    config = f'[sources.gh]\npreset = "github"\nsecret = "{made.keys.receiver}"\nquarantine = 5\n'
    command.configure(config, store=store_url)
    assert command.run("reverify", "gh", "--dry-run").split()[:2] == ["2", "accepted"]
    assert command.run("reverify", "gh").split() == ["2", "accepted"]
    assert [deed["deed"] for deed in command.lines("audit")] == ["reverify"]
    assert "is empty" in command.run("reverify", "gh")


def test_a_path_secret_is_found_beside_a_public_url(store: Store) -> None:
    made = Source("uptime_kuma", {"public_url": "https://hooks.example.com/v1/webhooks/gh"})
    with receiving(store, {"gh": made}) as running:
        outgoing = made.delivery()
        path = f"/v1/webhooks/gh/{outgoing.url.rpartition('/')[2]}"
        answer = running.client.post(path, headers=outgoing.headers, content=outgoing.body)
    assert answer.status_code < 300
