"""Deliveries that certificates, tokens and functions of their own sign."""

import asyncio
import json
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import pytest
from deliveries import NOW, request_from, scene

from service.preset import PresetError, load_preset
from service.receiving.request import KeyMissing, Refused, Request
from service.signing.new_keys import new_keys
from service.verification.certificates import Certificates
from service.verification.known import NOTHING_KNOWN, KnownKeys
from service.verification.sns import HOSTS
from service.verification.verify import compile_verifier


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-west-1.amazonaws.com/x.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem",
        "https://evil.example/sns.eu-west-1.amazonaws.com/x.pem",
        "https://sns.eu-west-1.amazonaws.com@evil.example/x.pem",
        "https://evil.example#sns.eu-west-1.amazonaws.com",
        "https://sns.eu-west-1.amazonaws.com:8443/x.pem",
        "https://sns.eu-west-1.amazonaws.com\\@evil.example/x.pem",
        "https://snsxeu-west-1.amazonaws.com/x.pem",
        "https://bucket.s3.amazonaws.com/x.pem",
        "https://sns..amazonaws.com/x.pem",
        "https://sns.a/b.amazonaws.com/x.pem",
        "https://sns.eu-west-1.amazonaws.com/x.pem\n",
        "https://[::1/x.pem",
        f"https://sns.eu-west-1.amazonaws.com/{'x' * 1_000}.pem",
        "",
    ],
)
def test_a_certificate_comes_only_from_sns(url: str) -> None:
    assert not Certificates(HOSTS, NOTHING_KNOWN).allows(url)


@pytest.mark.parametrize("end", ["com", "com.cn"])
def test_sns_in_every_region_is_allowed(end: str) -> None:
    assert Certificates(HOSTS, NOTHING_KNOWN).allows(
        f"https://sns.cn-north-1.amazonaws.{end}/x.pem"
    )


def sns_reason(change: dict[str, Any]) -> str:
    here = scene("aws_sns")
    request = here.send()
    body = {**json.loads(request.body), **change}
    with pytest.raises(Refused) as caught:
        here.reader.verify(Request("POST", request.url, [], json.dumps(body).encode()), NOW)
    return caught.value.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Message": "other"}, "signature_mismatch"),
        ({"TopicArn": "arn:aws:sns:eu-central-1:1:other"}, "signature_mismatch"),
        ({"SignatureVersion": "3"}, "unsupported_version"),
        ({"SignatureVersion": "1"}, "signature_mismatch"),
        ({"SigningCertURL": "https://evil.example/x.pem"}, "cert_url_not_allowed"),
        ({"SigningCertURL": None}, "cert_url_not_allowed"),
        ({"Type": "UnsubscribeConfirmation"}, "unsupported_type"),
        ({"Signature": "%%%"}, "malformed_signature"),
        ({"Signature": None}, "missing_signature"),
        ({"MessageId": 7}, "missing_field"),
    ],
)
def test_a_changed_sns_message_is_refused(change: dict[str, Any], reason: str) -> None:
    assert sns_reason(change) == reason


def test_a_message_of_another_topic_is_refused_though_aws_signed_it() -> None:
    here = scene("aws_sns")
    verifier = compile_verifier(
        here.preset, ["arn:aws:sns:eu-central-1:1:mine"], known=here.keys.known
    )
    with pytest.raises(Refused, match="message is of topic"):
        verifier.verify(here.send(), NOW)


def token(claims: dict[str, Any], key: str, **header: Any) -> str:
    return jwt.encode(claims, key, header.pop("alg", "HS256"), headers=header)


def monday_reason(text: str) -> str:
    verifier = compile_verifier(load_preset("monday"), ["s" * 40])
    with pytest.raises(Refused) as caught:
        verifier.verify(
            Request("POST", "https://h.example/", [("authorization", text)], b"{}"), NOW
        )
    return caught.value.reason


def test_a_token_with_the_right_key_and_time_is_believed() -> None:
    verifier = compile_verifier(load_preset("monday"), ["old" * 20, "s" * 40])
    text = token({"exp": NOW + 60}, "s" * 40)
    request = Request("POST", "https://h.example/", [("authorization", text)], b"{}")
    assert verifier.verify(request, NOW).secret_index == 1


def part(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (token({"exp": NOW + 60}, "x" * 40), "signature_mismatch"),
        (token({"exp": NOW - 61}, "s" * 40), "timestamp_out_of_tolerance"),
        (token({"exp": NOW + 60, "nbf": NOW + 61}, "s" * 40), "timestamp_out_of_tolerance"),
        (token({}, "s" * 40), "missing_claim"),
        (token({"exp": NOW + 60}, "s" * 64, alg="HS512"), "unsupported_algorithm"),
        (f"{part({'alg': 'none'})}.{part({'exp': NOW + 60})}.", "unsupported_algorithm"),
        (f"{part({'alg': 'HS256'})}.{part({'exp': 'x'})}.AAAA", "signature_mismatch"),
        (f"{part({'alg': 'HS256', 'crit': ['b64']})}.{part({})}.AAAA", "malformed_signature"),
        (f"{part([])}.{part({})}.AAAA", "malformed_signature"),
        ("a.b", "malformed_signature"),
        ("a.b.c.d", "malformed_signature"),
        ("é.é.é", "malformed_signature"),
        ("..", "malformed_signature"),
        ("", "missing_signature"),
    ],
)
def test_another_token_is_refused(text: str, reason: str) -> None:
    assert monday_reason(text) == reason


def test_a_timestamp_window_that_a_token_would_ignore_is_refused() -> None:
    with pytest.raises(PresetError, match="leeway_seconds"):
        compile_verifier(load_preset("monday"), ["s" * 40], tolerance_seconds=60)


def test_a_public_key_is_never_used_as_an_hmac_secret() -> None:
    here = scene("gcp_pubsub")
    claims = {"exp": NOW + 60, "iat": NOW}
    text = f"Bearer {token(claims, 'k' * 40, kid='hooksift')}"
    request = Request("POST", "https://h.example/", [("authorization", text)], b"{}")
    with pytest.raises(Refused, match="alg"):
        here.reader.verify(request, NOW)


def test_a_token_for_another_audience_is_refused() -> None:
    here = scene("gcp_pubsub")
    request = here.send()
    elsewhere = Request("POST", "https://other.example/", request.headers, request.body)
    with pytest.raises(Refused) as caught:
        here.reader.verify(elsewhere, NOW)
    assert caught.value.reason == "claim_mismatch"


def test_keys_of_a_token_are_fetched_and_then_known() -> None:
    preset = load_preset("gcp_pubsub")
    keys = new_keys(preset)
    asked = []

    async def fetch(url: str, body: bytes | None = None) -> bytes:
        asked.append(url)
        return json.dumps({"keys": [keys.known.jwk, {"kid": "odd", "kty": "?"}]}).encode()

    verifier = compile_verifier(preset, [keys.receiver], known=KnownKeys(fetch=fetch))
    request = request_from(scene("gcp_pubsub")._replace(keys=keys).outgoing())
    with pytest.raises(KeyMissing) as caught:
        verifier.verify(request, NOW)
    asyncio.run(caught.value.load())
    assert verifier.verify(request, NOW).secret_index == 0
    assert asked == ["https://www.googleapis.com/oauth2/v3/certs"]


def test_the_account_that_a_token_names_is_the_secret_that_matched() -> None:
    here = scene("gcp_pubsub")
    secrets = ["new@p.iam.gserviceaccount.com", here.keys.receiver]
    verifier = compile_verifier(here.preset, secrets, known=here.keys.known)
    assert verifier.verify(here.send(), NOW).secret_index == 1


def test_plaid_is_asked_for_the_key_by_its_id_with_the_credentials() -> None:
    preset = load_preset("plaid")
    keys = new_keys(preset)
    asked = []

    async def fetch(url: str, body: bytes | None = None) -> bytes:
        asked.append(json.loads(body or b"{}"))
        return json.dumps({"key": {**(keys.known.jwk or {}), "expired_at": None}}).encode()

    verifier = compile_verifier(preset, ["id:sec"], known=KnownKeys(fetch=fetch))
    request = request_from(scene("plaid")._replace(keys=keys).outgoing())
    with pytest.raises(KeyMissing) as caught:
        verifier.verify(request, NOW)
    asyncio.run(caught.value.load())
    assert verifier.verify(request, NOW).secret_index == 0
    assert asked == [{"client_id": "id", "secret": "sec", "key_id": "hooksift"}]


@pytest.mark.parametrize("spelling", ["https://h.example:443/a?b=1", "https://h.example/a?b=1"])
def test_twilio_may_sign_with_or_without_the_port(spelling: str) -> None:
    here = scene("twilio")
    outgoing = here.outgoing()
    from service.signing.sign import sign

    signed = sign(here.preset, here.keys.sender, outgoing.body, url=spelling, now=NOW)
    headers = [(name.lower(), value) for name, value in signed.headers]
    request = Request("POST", "https://h.example/a?b=1", headers, signed.body)
    assert here.reader.verify(request, NOW).secret_index == 0


def test_a_twilio_body_that_nothing_signs_is_refused() -> None:
    here = scene("twilio")
    signed = here.outgoing(b"")
    headers = [(name.lower(), value) for name, value in signed.headers if name != "Content-Type"]
    request = Request("POST", signed.url, [*headers, ("content-type", "application/json")], b"{}")
    with pytest.raises(Refused, match="bodySHA256"):
        here.reader.verify(request, NOW)


def test_a_contentful_request_must_sign_its_time() -> None:
    here = scene("contentful")
    request = here.send()
    headers = [
        (name, value.replace(",x-contentful-timestamp", "") if "signed-headers" in name else value)
        for name, value in request.headers
    ]
    with pytest.raises(Refused, match="does not name"):
        here.reader.verify(Request("POST", request.url, headers, request.body), NOW)


def test_box_may_sign_the_escaped_spelling_of_a_body() -> None:
    here = scene("box")
    escaped = here.send(b'{"trigger":"FILE.UPLOADED","source":{"name":"\\u30b9\\ud83d\\ude00"}}')
    plain = '{"trigger":"FILE.UPLOADED","source":{"name":"ス😀"}}'.encode()
    request = Request("POST", escaped.url, escaped.headers, plain)
    assert here.reader.verify(request, NOW).secret_index == 0
