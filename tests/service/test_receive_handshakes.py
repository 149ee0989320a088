"""Handshakes over real HTTP: what strangers may have of them, and what is kept of it."""

from servers.receiver import RunningReceiver, Source, receiving, rows, until
from structlog.testing import capture_logs

from service.store import Store

GUESS = "/v1/webhooks/a?hub.challenge=1158&hub.verify_token=guess"


def greeted(kept: Store, **receive: int) -> RunningReceiver:
    return RunningReceiver(kept, {"a": Source("trello")}, **receive)


def test_unsigned_handshakes_count_against_the_address(kept: Store) -> None:
    with greeted(kept, unverified_per_minute=2) as here:
        codes = [here.client.head("/v1/webhooks/a").status_code for _ in range(3)]
    assert codes == [200, 200, 429]


def test_unsigned_handshakes_are_no_verified_deliveries(kept: Store) -> None:
    with greeted(kept) as here:
        here.client.head("/v1/webhooks/a")
        count = {"source": "a", "status": "handshake"}
        assert here.metric("hooksift_deliveries_received_total", **count) == 0


def test_unsigned_handshakes_leave_no_line_in_the_log(kept: Store) -> None:
    with capture_logs() as lines, greeted(kept) as here:
        here.client.head("/v1/webhooks/a")
    assert [line for line in lines if line["event"] == "handshake"] == []


def test_signed_handshakes_are_counted_and_logged(kept: Store) -> None:
    with capture_logs() as lines, receiving(kept, {"a": Source("slack")}) as here:
        hello = {"type": "url_verification", "challenge": "abc"}
        here.send("a", here.sources["a"].delivery(hello))
        count = {"source": "a", "status": "handshake"}
        assert here.metric("hooksift_deliveries_received_total", **count) == 1
    assert [line["source"] for line in lines if line["event"] == "handshake"] == ["a"]


def test_a_wrong_verify_token_is_a_refusal(kept: Store) -> None:
    with receiving(kept, {"a": Source("meta")}) as here:
        answer = here.client.get(GUESS)
        until(lambda: rows(kept, "refusals"))
    assert (answer.status_code, answer.json()["reason"]) == (401, "verify_token_mismatch")
    assert [row.reason for row in rows(kept, "refusals")] == ["verify_token_mismatch"]


def test_the_source_s_verify_token_is_the_one(kept: Store) -> None:
    with receiving(kept, {"a": Source("meta", {"verify_token": "mine"})}) as here:
        answer = here.client.get(GUESS.replace("guess", "mine"))
    assert (answer.status_code, answer.text) == (200, "1158")


def test_the_secret_is_no_verify_token(kept: Store) -> None:
    with receiving(kept, {"a": Source("meta", {"secret": "s3cret"})}) as here:
        assert here.client.get(GUESS.replace("guess", "s3cret")).status_code == 401


def test_verify_tokens_can_be_guessed_only_so_often(kept: Store) -> None:
    with receiving(kept, {"a": Source("meta")}, unverified_per_minute=2) as here:
        codes = [here.client.get(GUESS).status_code for _ in range(3)]
    assert codes == [401, 401, 429]
