"""What providers ask before they deliver, and who gets an answer."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from deliveries import NOW, scene

from service.preset import load_preset
from service.receiving.handshake import Handshaker, Reply
from service.receiving.request import Payload, Refused, Request

URL = "https://h.example/v1/webhooks/x"
SHARED = Path(__file__).parents[2].parent / "shared" / "vectors" / "handshakes.json"
SHARED_VECTORS: list[dict[str, Any]] = json.loads(SHARED.read_text()) if SHARED.exists() else []


def ask(
    name: str,
    method: str = "POST",
    query: str = "",
    body: bytes = b"",
    pairing: bool = False,
    secrets: tuple[str, ...] = ("s3cret",),
    verify_token: str | None = None,
    **headers: str,
) -> Reply | None:
    handshaker = Handshaker(load_preset(name), secrets, verify_token)
    given = [(key.replace("_", "-"), value) for key, value in headers.items()]
    request = Request(method, f"{URL}?{query}" if query else URL, given, body)
    reply = handshaker.unsigned(request, pairing=pairing)
    if reply is None and body:
        reply = handshaker.signed(request, Payload(json.loads(body), "json"), 0)
    return reply


@pytest.mark.parametrize("name", ["intercom", "trello"])
def test_a_head_request_is_answered_on_saving(name: str) -> None:
    assert ask(name, "HEAD") == Reply(200)


def test_dropbox_gets_its_challenge_as_text_that_no_browser_runs() -> None:
    reply = ask("dropbox", "GET", "challenge=abc123")
    assert reply is not None
    assert (reply.body, reply.headers) == ("abc123", (("X-Content-Type-Options", "nosniff"),))


def test_meta_gets_its_challenge_for_the_right_verify_token() -> None:
    query = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=mine"
    reply = ask("meta", "GET", query, verify_token="mine")
    assert reply is not None
    assert (reply.status, reply.body) == (200, "1158201444")


def test_meta_is_refused_for_a_wrong_verify_token() -> None:
    with pytest.raises(Refused, match="verify token does not match"):
        ask("meta", "GET", "hub.challenge=1&hub.verify_token=guess", verify_token="mine")


def test_microsoft_graph_gets_its_token_decoded() -> None:
    reply = ask("msgraph", "POST", "validationToken=Validation%3A+a%20b")
    assert reply is not None
    assert reply.body == "Validation: a b"


def test_okta_gets_its_challenge_in_json() -> None:
    reply = ask("okta", "GET", x_okta_verification_challenge="someValue")
    assert reply is not None
    assert json.loads(reply.body) == {"verification": "someValue"}


def test_x_gets_its_token_signed() -> None:
    reply = ask("x_twitter", "GET", "crc_token=challenge_string")
    digest = hmac.digest(b"s3cret", b"challenge_string", "sha256")
    assert reply is not None
    wanted = "sha256=" + base64.b64encode(digest).decode()
    assert json.loads(reply.body) == {"response_token": wanted}


def test_a_short_crc_token_is_signed_too() -> None:
    assert ask("x_twitter", "GET", "crc_token=foo&nonce=bar") is not None


@pytest.mark.parametrize(
    "token",
    ["%7B%22a%22%3A1%7D", "12345678", "1e9", "true", "null", "", "x" * 5_000, "%5B1%5D________"],
)
def test_a_crc_token_that_could_be_a_body_is_never_signed(token: str) -> None:
    assert ask("x_twitter", "GET", f"crc_token={token}") is None


def test_the_abuse_protection_of_cloudevents_is_answered() -> None:
    reply = ask(
        "cloudevents",
        "OPTIONS",
        webhook_request_origin="emitter.example",
        webhook_request_rate="120",
        webhook_request_callback="http://169.254.169.254/",
    )
    assert reply is not None
    assert reply.confirm_url is None
    assert dict(reply.headers) == {
        "WebHook-Allowed-Origin": "emitter.example",
        "WebHook-Allowed-Rate": "120",
        "Allow": "POST",
    }


def test_woocommerce_may_ping_without_a_signature() -> None:
    assert ask("woocommerce", body=b"", method="POST") is None
    handshaker = Handshaker(load_preset("woocommerce"), ["s"])
    assert handshaker.unsigned(Request("POST", URL, [], b"webhook_id=7")) == Reply(200)
    assert handshaker.unsigned(Request("POST", URL, [], b"webhook_id=7&x=1")) is None


def test_monday_gets_its_challenge_echoed() -> None:
    reply = ask("monday", body=b'{"challenge": "3eZbrw1a"}')
    assert reply is not None
    assert json.loads(reply.body) == {"challenge": "3eZbrw1a"}


def test_asana_may_hand_over_its_secret_only_while_pairing() -> None:
    assert ask("asana", x_hook_secret="b537207f") is None
    reply = ask("asana", pairing=True, x_hook_secret="b537207f")
    assert reply is not None
    assert (reply.pairing_secret, reply.headers) == ("b537207f", (("X-Hook-Secret", "b537207f"),))


def test_notion_may_hand_over_its_token_only_while_pairing() -> None:
    body = b'{"verification_token": "secret_tMrlL1qK"}'
    assert ask("notion", body=body) is None
    reply = ask("notion", body=body, pairing=True)
    assert reply is not None
    assert reply.pairing_secret == "secret_tMrlL1qK"


def test_a_signed_request_is_never_taken_for_pairing() -> None:
    body = b'{"verification_token": "secret_tMrlL1qK"}'
    assert ask("notion", body=body, pairing=True, x_notion_signature="sha256=00") is None


def test_slack_gets_its_challenge() -> None:
    reply = ask("slack", body=b'{"type": "url_verification", "challenge": "3eZ"}')
    assert reply is not None
    assert (reply.status, reply.body) == (200, "3eZ")


def test_zoom_gets_its_token_signed_with_the_secret_that_matched() -> None:
    body = b'{"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8"}}'
    reply = ask("zoom", body=body)
    assert reply is not None
    wanted = hmac.new(b"s3cret", b"qgg8", hashlib.sha256).hexdigest()
    assert json.loads(reply.body) == {"plainToken": "qgg8", "encryptedToken": wanted}


def test_discord_gets_a_pong_of_either_kind() -> None:
    assert ask("discord", body=b'{"type": 1, "version": 1}') == Reply(
        200, "application/json", '{"type":1}'
    )
    assert ask("discord", body=b'{"type": 0}') == Reply(204)
    assert ask("discord", body=b'{"type": 1, "event": {"type": "ENTITLEMENT_CREATE"}}') is None


def test_xero_gets_an_empty_answer_to_its_intent_to_receive() -> None:
    assert ask("xero", body=b'{"events": [], "entropy": "x"}') == Reply(200)


def test_event_grid_gets_its_validation_code() -> None:
    event = {
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "data": {"validationCode": "512d", "validationUrl": "https://evil.example/"},
    }
    reply = ask("azure_event_grid", body=json.dumps([event]).encode())
    assert reply is not None
    assert (reply.body, reply.confirm_url) == ('{"validationResponse":"512d"}', None)


def test_an_sns_subscription_is_left_to_a_work_item() -> None:
    body = json.dumps({"Type": "SubscriptionConfirmation", "SubscribeURL": "https://sns.x/"})
    reply = ask("aws_sns", body=body.encode())
    assert reply is not None
    assert reply.confirm_url == "https://sns.x/"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("slack", b'{"type": "event_callback"}'),
        ("zoom", b'{"event": "meeting.started"}'),
        ("xero", b'{"events": [{}]}'),
        ("discord", b'{"type": 2}'),
        ("asana", b'{"events": [{}]}'),
        ("twitch", b'{"challenge": "x"}'),
    ],
)
def test_an_ordinary_delivery_is_no_handshake(name: str, body: bytes) -> None:
    assert ask(name, body=body) is None


@pytest.mark.parametrize("challenge", ["", "x" * 5_000, "a\r\nSet-Cookie: b", "\x00", "\u2028"])
def test_a_challenge_that_is_unfit_to_be_echoed_is_not(challenge: str) -> None:
    body = json.dumps({"type": "url_verification", "challenge": challenge}).encode()
    assert ask("slack", body=body) is None


@pytest.mark.parametrize("name", ["github", "stripe", "alertmanager"])
def test_a_preset_without_handshake_answers_none(name: str) -> None:
    assert ask(name, "GET", "challenge=x&hub.challenge=1&crc_token=abcdefghi") is None


HANDSHAKES = {
    "head200": "trello",
    "cloudevents_options": "cloudevents",
    "eventgrid": "azure_event_grid",
}


@pytest.mark.parametrize("vector", SHARED_VECTORS, ids=lambda vector: str(vector["handshake"]))
def test_a_shared_handshake_is_answered_as_it_says(vector: dict[str, Any]) -> None:
    asked, wanted = vector["request"], vector["response"]
    name = HANDSHAKES.get(vector["handshake"], vector["handshake"])
    headers = {
        key.lower().replace("-", "_"): value for key, value in asked.get("headers", {}).items()
    }
    headers.pop("x_notion_signature", None)
    reply = ask(
        name,
        asked["method"],
        asked.get("query", ""),
        asked.get("body", "").encode(),
        pairing=name == "notion",
        secrets=(vector.get("secret", "s"),),
        verify_token=vector.get("secret"),
        **headers,
    )
    assert reply is not None
    assert str(reply.status) in str(wanted["status"])
    body = wanted.get("body", "")
    assert reply.body == body or json.loads(reply.body) == json.loads(body)
    assert {(k, v) for k, v in reply.headers} <= {*wanted.get("headers", {}).items()} | {
        *reply.headers
    }


def test_a_twitch_challenge_is_answered_raw_after_it_was_verified() -> None:
    here = scene("twitch")
    outgoing = here.outgoing(b'{"challenge": "pogchamp"}')
    headers = [(key.lower(), value) for key, value in outgoing.headers]
    headers.append(("twitch-eventsub-message-type", "webhook_callback_verification"))
    request = Request("POST", URL, headers, outgoing.body)
    verified = here.reader.verify(request, NOW)
    payload = here.reader.parse(request)
    reply = here.reader.handshakes.signed(request, payload, verified.secret_index)
    assert reply is not None
    assert reply.body == "pogchamp"
