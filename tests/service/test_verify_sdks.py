"""Against the providers' own libraries: theirs sign and ours verify, and the other way."""

import time
from datetime import UTC, datetime

import pytest
import stripe
import svix.webhooks
from deliveries import NOW, Scene, scene
from slack_sdk.signature import Clock, SignatureVerifier
from standardwebhooks.webhooks import Webhook

from service.receiving.request import Refused, Request

BODY = b'{"id": "evt_9", "text": "caf\xc3\xa9", "n": 1}'


class FixedClock(Clock):
    """A clock that stands still."""

    def now(self) -> float:
        return NOW


def verdict(here: Scene, headers: dict[str, str], body: bytes = BODY) -> bool:
    lowered = [(name.lower(), value) for name, value in headers.items()]
    try:
        here.reader.verify(Request("POST", "https://h.example/x", lowered, body), NOW)
    except Refused:
        return False
    return True


def stripe_header(secret: str) -> str:
    sign = stripe.WebhookSignature.generate_signature_header  # type: ignore[attr-defined]
    return str(sign(BODY.decode(), secret, int(NOW)))


def test_what_stripe_signs_is_verified() -> None:
    here = scene("stripe")
    assert verdict(here, {"Stripe-Signature": stripe_header(here.keys.sender)})


def test_what_stripe_signs_is_refused_with_one_byte_changed() -> None:
    here = scene("stripe")
    header = {"Stripe-Signature": stripe_header(here.keys.sender)}
    assert not verdict(here, header, BODY.replace(b"1", b"2"))


def test_stripe_verifies_what_we_sign() -> None:
    here, now = scene("stripe"), time.time()
    outgoing = here.outgoing(BODY, now=now)
    header = dict(outgoing.headers)["Stripe-Signature"]
    assert stripe.WebhookSignature.verify_header(BODY.decode(), header, here.keys.sender, 300)


def test_what_slack_signs_is_verified() -> None:
    here = scene("slack")
    signer = SignatureVerifier(here.keys.sender, FixedClock())
    ts = str(int(NOW))
    signature = signer.generate_signature(timestamp=ts, body=BODY)
    headers = {"X-Slack-Request-Timestamp": ts, "X-Slack-Signature": str(signature)}
    assert verdict(here, headers)
    assert not verdict(here, headers, BODY + b" ")


def test_slack_verifies_what_we_sign() -> None:
    here = scene("slack")
    checker = SignatureVerifier(here.keys.sender, FixedClock())
    headers = dict(here.outgoing(BODY).headers)
    assert checker.is_valid_request(BODY, headers)


@pytest.mark.parametrize(("name", "prefix"), [("standard_webhooks", "webhook"), ("svix", "svix")])
def test_what_the_standard_libraries_sign_is_verified(name: str, prefix: str) -> None:
    here = scene(name)
    library = Webhook if prefix == "webhook" else svix.webhooks.Webhook
    signature = library(here.keys.sender).sign(
        "msg_1", datetime.fromtimestamp(NOW, UTC), BODY.decode()
    )
    headers = {
        f"{prefix}-id": "msg_1",
        f"{prefix}-timestamp": str(int(NOW)),
        f"{prefix}-signature": signature,
    }
    assert verdict(here, headers)
    assert not verdict(here, {**headers, f"{prefix}-id": "msg_2"})
    assert not verdict(here, {**headers, f"{prefix}-timestamp": str(int(NOW) + 1)})


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("standard_webhooks", Webhook),
        ("svix", svix.webhooks.Webhook),
        ("clerk", svix.webhooks.Webhook),
    ],
)
def test_the_standard_libraries_verify_what_we_sign(name: str, library: type[Webhook]) -> None:
    here = scene(name)
    headers = {key.lower(): value for key, value in here.outgoing(BODY, now=time.time()).headers}
    library(here.keys.sender).verify(BODY, headers)  # raises otherwise
