"""What `hooksift send` makes: the same records, from the sender's side."""

import hmac

import pytest
from deliveries import NOW, URL, scene

from service.preset import PresetError, load_preset
from service.signing.new_keys import new_keys
from service.signing.sign import sign, with_field


def test_the_id_and_type_stand_where_the_preset_reads_them() -> None:
    headers = dict(scene("github").outgoing(delivery_id="72d3").headers)
    assert headers["X-GitHub-Delivery"] == "72d3"
    assert headers["X-GitHub-Event"] == "issues"


def test_a_signature_is_written_as_the_provider_writes_it() -> None:
    preset = load_preset("github")
    outgoing = sign(preset, "s3cret", b"{}", url=URL, now=NOW)
    digest = hmac.digest(b"s3cret", b"{}", "sha256").hex()
    assert dict(outgoing.headers)["X-Hub-Signature-256"] == f"sha256={digest}"


def test_a_time_in_the_signature_header_is_written_beside_it() -> None:
    header = dict(scene("stripe").outgoing().headers)["Stripe-Signature"]
    assert header.startswith(f"t={int(NOW)},v1=")


def test_a_time_in_the_body_is_set_to_now() -> None:
    assert f'"webhookTimestamp":{int(NOW * 1_000)}'.encode() in scene("linear").outgoing().body


def test_a_secret_segment_comes_before_the_query() -> None:
    outgoing = sign(load_preset("pingdom"), "s3 cret", b"{}", url=f"{URL}?a=1", now=NOW)
    assert outgoing.url == f"{URL}/s3%20cret?a=1"


def test_headers_of_the_callers_choice_are_added() -> None:
    preset = load_preset("github")
    outgoing = sign(preset, "s", b"{}", url=URL, now=NOW, headers={"X-Extra": "1"})
    assert ("X-Extra", "1") in outgoing.headers


@pytest.mark.parametrize("name", ["mailgun", "aws_sns", "linear", "travis", "msgraph"])
def test_a_body_without_room_for_the_signature_is_explained(name: str) -> None:
    preset = load_preset(name)
    with pytest.raises(PresetError):
        sign(preset, new_keys(preset).sender, b"[1]", url=URL, now=NOW)


def test_a_field_is_set_in_objects_made_on_the_way() -> None:
    assert with_field(b"", "a.b", 1) == b'{"a":{"b":1}}'
    assert with_field(b'{"a":[{},{"b":2}]}', "a[].b", 1) == b'{"a":[{"b":1},{"b":1}]}'


def test_a_body_that_is_not_utf8_cannot_be_signed_within_it() -> None:
    preset = load_preset("aws_sns")
    with pytest.raises(PresetError, match="cannot be signed"):
        sign(preset, new_keys(preset).sender, b'"1\xe9', url="https://h.example/x", now=0.0)
