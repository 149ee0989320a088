"""Who is let in, how fast, and what is said when the store is away."""

from typing import Any

import pytest
from servers.receiver import RunningReceiver, Source, rows

from service.store import Store


def one(kept: Store, settings: dict[str, Any] | None = None, **receive: Any) -> RunningReceiver:
    return RunningReceiver(kept, {"a": Source("github", settings or {})}, **receive)


def test_an_address_on_the_list_is_let_in(kept: Store) -> None:
    with one(kept, {"allow_addresses": ["127.0.0.0/8"]}) as here:
        assert here.send("a").status_code == 202


def test_an_address_off_the_list_is_refused_before_its_signature(kept: Store) -> None:
    with one(kept, {"allow_addresses": ["192.0.2.0/24"]}) as here:
        answer = here.send("a")
    assert (answer.status_code, answer.json()["reason"]) == (403, "address_not_allowed")


@pytest.mark.parametrize(
    ("proxies", "forwarded", "seen"),
    [
        ([], "198.51.100.7", "127.0.0.1"),
        (["127.0.0.1"], "198.51.100.7", "198.51.100.7"),
        (["127.0.0.1"], "1.1.1.1, 198.51.100.7", "198.51.100.7"),
        (["127.0.0.1", "10.0.0.0/8"], "198.51.100.7, 10.1.1.1", "198.51.100.7"),
        (["127.0.0.1"], "", "127.0.0.1"),
        (["192.0.2.1"], "198.51.100.7", "127.0.0.1"),
        (["127.0.0.1"], "198.51.100.7:4711", "198.51.100.7"),
        (["127.0.0.1", "10.0.0.0/8"], "198.51.100.7, 10.1.1.1:443", "198.51.100.7"),
        (["127.0.0.1"], "2001:DB8::7", "2001:db8::7"),
        (["127.0.0.1"], "[2001:db8:0::7]:4711", "2001:db8::7"),
        (["127.0.0.1", "2001:db8::/32"], "198.51.100.7, [2001:db8::7]:443", "198.51.100.7"),
        (["127.0.0.1", "10.0.0.0/8"], "198.51.100.7, ::ffff:10.1.1.1", "198.51.100.7"),
        (["127.0.0.1", "10.0.0.0/8"], "198.51.100.7" + ", 10.1.1.1" * 33, "127.0.0.1"),
    ],
)
def test_only_trusted_proxies_are_believed(
    kept: Store, proxies: list[str], forwarded: str, seen: str
) -> None:
    with one(kept, trusted_proxies=proxies) as here:
        made = here.sources["a"].delivery(headers={"X-Forwarded-For": forwarded})
        assert here.send("a", made).status_code == 202
    assert rows(kept, "deliveries")[0].address == seen


def test_a_forged_hop_does_not_pass_the_list(kept: Store) -> None:
    allow = {"allow_addresses": ["198.51.100.0/24"]}
    with one(kept, allow, trusted_proxies=["127.0.0.1"]) as here:
        hops = {"X-Forwarded-For": "198.51.100.7, 203.0.113.9"}
        assert here.send("a", here.sources["a"].delivery(headers=hops)).status_code == 403


def test_an_address_that_is_refused_too_often_must_wait(kept: Store) -> None:
    with one(kept, unverified_per_minute=3) as here:
        codes = [here.client.post("/v1/webhooks/a").status_code for _ in range(5)]
    assert codes == [401, 401, 401, 429, 429]


@pytest.mark.parametrize(
    ("hop", "codes"),
    [
        ("203.0.113.9:{}", [401, 429, 429]),  # one address, whatever its port
        ("2001:db8:1:2::{}", [401, 429, 429]),  # one /64, of which a sender has every address
        ("2001:db8:1:{}::1", [401, 401, 401]),
        ("203.0.113.{}", [401, 401, 401]),
    ],
)
def test_what_counts_as_one_sender(kept: Store, hop: str, codes: list[int]) -> None:
    with one(kept, unverified_per_minute=1, trusted_proxies=["127.0.0.1"]) as here:
        hops = [{"x-forwarded-for": hop.format(number)} for number in (1, 2, 3)]
        answers = [here.client.post("/v1/webhooks/a", headers=headers) for headers in hops]
    assert [answer.status_code for answer in answers] == codes


def test_waiting_is_told_in_seconds(kept: Store) -> None:
    with one(kept, unverified_per_minute=1) as here:
        here.client.post("/v1/webhooks/a")
        assert 1 <= int(here.client.post("/v1/webhooks/a").headers["retry-after"]) <= 61


def test_a_stranger_cannot_throttle_another_address(kept: Store) -> None:
    with one(kept, unverified_per_minute=1, trusted_proxies=["127.0.0.1"]) as here:
        for _ in range(5):
            here.client.post("/v1/webhooks/a", headers={"x-forwarded-for": "203.0.113.9"})
        assert here.send("a").status_code == 202


def test_a_source_takes_no_more_than_its_rate(kept: Store) -> None:
    with one(kept, {"per_second": 0.01}) as here:
        answers = [here.send("a", here.sources["a"].delivery({"n": n})) for n in range(2)]
    assert [a.status_code for a in answers] == [202, 429]
    assert "retry-after" in answers[1].headers


def test_unverified_deliveries_do_not_count_against_a_source(kept: Store) -> None:
    with one(kept, {"per_second": 0.01}) as here:
        for _ in range(5):
            here.client.post("/v1/webhooks/a")
        assert here.send("a").status_code == 202


def test_a_store_that_cannot_commit_is_answered_with_come_back(kept: Store) -> None:
    with one(kept) as here:
        here.send("a")
        kept.close()
        answer = here.send("a")
    assert (answer.status_code, answer.json()["reason"]) == (503, "store_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


def test_a_store_that_was_locked_takes_deliveries_again(kept: Store) -> None:
    """A transaction of another program holds the write lock for longer than we wait."""
    import sqlite3

    path = kept.engine.url.database
    assert path is not None
    with one(kept) as here:
        here.send("a")
        kept.write_now(wait_no_longer_for_locks, None)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert here.send("a", here.sources["a"].delivery({"n": 1})).status_code == 503
        other.execute("COMMIT")
        other.close()
        assert here.send("a", here.sources["a"].delivery({"n": 1})).status_code == 202


def wait_no_longer_for_locks(connection: Any, tx: int, payloads: Any) -> list[None]:
    connection.exec_driver_sql("PRAGMA busy_timeout = 20")
    return [None] * len(payloads)
