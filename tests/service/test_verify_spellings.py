"""One request, several ways to write it: the spellings that providers and their libraries sign."""

import hmac
from base64 import b64encode

import pytest
from deliveries import NOW, request_from, scene

from service.receiving.request import Refused, Request
from service.verification.vectors import verify_vector

QUERIED = "https://hooks.example.com/in?team=a%2Cb&to=https%3A%2F%2Fx"
BODY = b'[{"eventId":1}]'


def signed_by_contentful(target: str, url: str) -> dict[str, object]:
    names = "content-type,x-contentful-signed-headers,x-contentful-timestamp"
    moment = str(int(NOW * 1_000))
    lines = (
        f"content-type:application/json;x-contentful-signed-headers:{names};"
        f"x-contentful-timestamp:{moment}"
    )
    content = f"POST\n{target}\n{lines}\n{{}}".encode()
    return {
        "provider": "contentful",
        "secret": "s" * 64,
        "url": url,
        "body": "{}",
        "now": NOW,
        "headers": {
            "Content-Type": "application/json",
            "X-Contentful-Signed-Headers": names,
            "X-Contentful-Timestamp": moment,
            "X-Contentful-Signature": hmac.digest(b"s" * 64, content, "sha256").hex(),
        },
    }


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("/in?a=b", "https://h.example/in?a=b"),
        ("/in?a%253Db%2526c%253D1", "https://h.example/in?a=b&c=1"),
        ("/in%2520x", "https://h.example/in%20x"),
    ],
)
def test_contentful_may_sign_an_address_plain_or_escaped(target: str, url: str) -> None:
    assert verify_vector(signed_by_contentful(target, url))["valid"]


def test_contentful_does_not_sign_another_query() -> None:
    vector = signed_by_contentful("/in?a=b", "https://h.example/in?a=c")
    assert verify_vector(vector)["reason"] == "signature_mismatch"


def test_contentfuls_headers_are_signed_in_the_order_of_their_names() -> None:
    vector = signed_by_contentful("/in", "https://h.example/in")
    assert isinstance(vector["headers"], dict)
    names = "x-contentful-timestamp,x-contentful-signed-headers,content-type"
    moment = vector["headers"]["X-Contentful-Timestamp"]
    content = (
        f"POST\n/in\ncontent-type:application/json;x-contentful-signed-headers:{names};"
        f"x-contentful-timestamp:{moment}\n{{}}"
    ).encode()
    vector["headers"]["X-Contentful-Signed-Headers"] = names
    vector["headers"]["X-Contentful-Signature"] = hmac.digest(b"s" * 64, content, "sha256").hex()
    assert verify_vector(vector)["valid"]


def signed_by_hubspot(secret: str, signed_url: str, url: str) -> Request:
    moment = str(int(NOW * 1_000))
    content = f"POST{signed_url}".encode() + BODY + moment.encode()
    signature = b64encode(hmac.digest(secret.encode(), content, "sha256")).decode()
    headers = [("x-hubspot-signature-v3", signature), ("x-hubspot-request-timestamp", moment)]
    return Request("POST", url, headers, BODY)


@pytest.mark.parametrize("signed", [QUERIED, "https://hooks.example.com/in?team=a,b&to=https://x"])
def test_hubspot_may_sign_a_url_with_or_without_its_escapes(signed: str) -> None:
    here = scene("hubspot")
    request = signed_by_hubspot(here.keys.sender, signed, QUERIED)
    assert here.reader.verify(request, NOW).secret_index == 0


def test_hubspot_leaves_other_escapes_alone() -> None:
    here = scene("hubspot")
    request = signed_by_hubspot(
        here.keys.sender, "https://h.example/a b", "https://h.example/a%20b"
    )
    with pytest.raises(Refused, match="does not match"):
        here.reader.verify(request, NOW)


@pytest.mark.parametrize(("ahead", "believed"), [(5, True), (6, False)])
def test_box_is_believed_a_few_seconds_ahead_of_us_and_no_more(ahead: int, believed: bool) -> None:
    here = scene("box")
    request = here.send(now=NOW + ahead)
    if believed:
        assert here.reader.verify(request, NOW).secret_index == 0
    else:
        with pytest.raises(Refused, match="in the future"):
            here.reader.verify(request, NOW)


def test_twilios_algorithm_may_be_written_in_any_case() -> None:
    here = scene("twilio")
    outgoing = here.outgoing()
    headers = [*outgoing.headers, ("X-Twilio-Webhooks-Signature-Settings", "algorithm=hmac_sha1")]
    request = request_from(outgoing._replace(headers=headers))
    assert here.reader.verify(request, NOW).secret_index == 0


@pytest.mark.parametrize("name", ["X-Grafana-Alerting-Signature", "X-Grafana-Alert-Signature"])
def test_grafanas_signature_is_read_under_both_of_its_names(name: str) -> None:
    here = scene("grafana")
    outgoing = here.outgoing()
    headers = [(name if "Signature" in key else key, value) for key, value in outgoing.headers]
    request = request_from(outgoing._replace(headers=headers))
    assert here.reader.verify(request, NOW).secret_index == 0


@pytest.mark.parametrize(("name", "written"), [("jira_connect", "JWT "), ("monday", "")])
def test_a_token_may_be_announced_as_a_bearer(name: str, written: str) -> None:
    here = scene(name)
    outgoing = here.outgoing()
    token = dict(outgoing.headers)["Authorization"].removeprefix(written)
    headers = [("Authorization", f"Bearer {token}")]
    request = request_from(outgoing._replace(headers=headers))
    assert here.reader.verify(request, NOW).secret_index == 0
