"""Presets as data: ours are complete, a user's are read in the same form, mistakes are named."""

import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from deliveries import NOW, URL, scene

from service.preset import (
    PresetError,
    customised,
    load_preset,
    load_presets,
    preset_from,
    preset_names,
    with_authentication,
)
from service.receiving.conceal import digest
from service.receiving.reading import compile_reader
from service.receiving.request import Refused, Request, Unparsable

NAMES = list(preset_names())
PAYLOADS = Path(__file__).parents[2].parent / "shared" / "payloads"
MANIFEST = PAYLOADS / "manifest.json"
SHARED: list[dict[str, Any]] = (
    json.loads(MANIFEST.read_text())["files"] if MANIFEST.exists() else []
)
OTHER_NAMES = {
    "azuredevops": "azure_devops",
    "bitbucket-server": "bitbucket",
    "paddle_billing": "paddle",
    "paddle_classic": "paddle",
    "gitlab": "gitlab_token",
}


def test_there_are_at_least_sixty_presets() -> None:
    assert len(NAMES) >= 60


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_names_the_providers_page(name: str) -> None:
    assert load_preset(name).docs.startswith("https://")


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_says_what_to_paste_at_the_provider(name: str) -> None:
    preset = load_preset(name)
    assert preset.setup
    assert preset.title


@pytest.mark.parametrize("name", NAMES)
def test_an_unsigned_preset_says_so_and_offers_something_else(name: str) -> None:
    preset = load_preset(name)
    if "body" not in preset.covers:
        assert preset.notes
    if not preset.signed:
        assert "path" in preset.offers


@pytest.mark.parametrize("name", NAMES)
def test_header_credentials_are_named_so_that_they_are_not_stored(name: str) -> None:
    preset = load_preset(name)
    if preset.verify.alg in ("token", "basic") or (
        preset.jwt and preset.jwt.source.lower() == "header:authorization"
    ):
        source = preset.jwt.source if preset.jwt else preset.verify.source
        kind, _, place = source.partition(":")
        kept = {
            "header": preset.credential_headers,
            "query": preset.credential_query,
            "json": [path.replace("value.", "value[].") for path in preset.credential_body],
        }[kind]
        assert place.lower() in [known.lower() for known in kept]


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_says_what_it_is_about(name: str) -> None:
    here = scene(name)
    request = here.send()
    items = here.reader.events(request, here.reader.parse(request))
    for item in items:
        assert item.title or item.text
        assert item.event_type
        assert item.text or item.title != item.event_type


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_names_its_subject(name: str) -> None:
    here = scene(name)
    request = here.send()
    generic = ("bearer", "basic", "unsigned", "hmac")
    items = here.reader.events(request, here.reader.parse(request))
    assert name in generic or all(item.subject for item in items)


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_of_the_type_it_claims(name: str) -> None:
    here = scene(name)
    request = here.send()
    items = here.reader.events(request, here.reader.parse(request))
    wanted = here.preset.sample.type.rpartition("event-type:")[2]
    found = items[0].event_type
    assert not wanted or found == wanted or found.startswith(wanted)


@pytest.mark.parametrize("vector", SHARED, ids=lambda entry: str(entry["file"]))
def test_a_shared_payload_has_a_title_or_text_and_a_type(vector: dict[str, Any]) -> None:
    name = OTHER_NAMES.get(vector["provider"], vector["provider"])
    assert name in NAMES
    reader = compile_reader(with_authentication(load_preset(name), "none"), [])
    headers = [(key.lower(), str(value)) for key, value in (vector.get("headers") or {}).items()]
    body = json.dumps(json.loads((PAYLOADS / vector["file"]).read_text())).encode()
    headers = [pair for pair in headers if pair[0] != "content-type"]
    request = Request("POST", URL, [*headers, ("content-type", "application/json")], body)
    for item in reader.events(request, reader.parse(request)):
        assert item.event_type
        assert item.title or item.text


def test_a_users_preset_is_read_in_the_same_form() -> None:
    data = {
        "title": "Our shop",
        "docs": "https://wiki.example/hooks",
        "verify": {
            "from": "header:X-Shop-Signature",
            "format": "{hex}",
            "alg": "hmac-sha256",
        },
    }
    presets = load_presets({"shop": data})
    assert presets["shop"].covers == {"sender", "body"}


def test_a_users_preset_may_start_from_one_of_ours() -> None:
    data = {"extends": "github", "verify": {"from": "header:X-Forge-Signature"}}
    preset = load_presets({"forge": data})["forge"]
    assert preset.verify.format == "sha256={hex}"
    assert preset.verify.source == "header:X-Forge-Signature"


def test_a_users_preset_may_replace_ours_of_the_same_name() -> None:
    data = {"extends": "github", "title": "GitHub Enterprise"}
    assert load_presets({"github": data})["github"].title == "GitHub Enterprise"


def test_a_misspelt_key_is_named() -> None:
    with pytest.raises(PresetError, match="unknown field `formt`"):
        preset_from("mine", {"title": "x", "docs": "y", "verify": {"formt": "{hex}"}}, {})


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(PresetError, match="no preset 'nobody'"):
        load_preset("nobody")


def test_an_unknown_base_is_named() -> None:
    with pytest.raises(PresetError, match="extends 'nobody'"):
        preset_from("mine", {"extends": "nobody"}, {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"verify": {"format": "sha256="}}, "holds none of"),
        ({"verify": {"alg": "rot13"}}, "no algorithm 'rot13'"),
        ({"verify": {"sign": "{bdy}"}}, "is not {body}"),
        ({"verify": {"from": "somewhere"}}, "is not header:NAME"),
        ({"verify": {"ts": "header:X-Time"}}, "does not end in"),
        ({"event": {"title": "jsn:title"}}, "is not json, item, header or query"),
        ({"event": {"title": "json:title|shout"}}, "no filter 'shout'"),
        ({"event": {"title": "{json:title"}}, "a brace without a place"),
        ({"handshake": "high_five"}, "no handshake 'high_five'"),
        ({"ack": {"status": 404}}, r"<= 299 - at `\$.ack.status`"),
        ({"ack": {"duplicate_status": 100}}, r">= 200 - at `\$.ack.duplicate_status`"),
        ({"retry_window_seconds": 10**15}, r"<= 3153600000 - at `\$.retry_window_seconds`"),
        ({"ack": {"refused_status": 200}}, r">= 400 - at `\$.ack.refused_status`"),
    ],
)
def test_a_mistake_in_a_record_is_explained(change: dict[str, Any], said: str) -> None:
    with pytest.raises(PresetError, match=said):
        compile_reader(customised(load_preset("github"), change), ["secret"])


def test_an_unsigned_preset_with_a_secret_wants_it_as_the_last_path_segment() -> None:
    here = scene("rollbar")
    request = here.send()
    assert request.url.endswith(here.keys.receiver)
    assert here.reader.verify(request, NOW).secret_index == 0
    stranger = Request("POST", URL, request.headers, request.body)
    with pytest.raises(Refused):
        here.reader.verify(stranger, NOW)


def test_an_unsigned_preset_without_a_secret_proves_nothing() -> None:
    reader = compile_reader(load_preset("rollbar"), [])
    assert reader.verify(Request("POST", URL, [], b"{}"), NOW).secret_index == -1


@pytest.mark.parametrize(
    ("way", "headers", "url"),
    [
        ("bearer", [("authorization", "bearer s3cret")], URL),
        ("basic", [("authorization", "Basic czNjcmV0")], URL),
        ("header:X-Token", [("x-token", "s3cret")], URL),
        ("query:key", [], f"{URL}?key=s3cret"),
        ("path", [], f"{URL}/s3cret"),
    ],
)
def test_other_ways_to_prove_a_sender_can_be_chosen(
    way: str, headers: list[tuple[str, str]], url: str
) -> None:
    reader = compile_reader(with_authentication(load_preset("pingdom"), way), ["s3cret"])
    request = Request("POST", url, headers, b"{}")
    assert reader.verify(request, NOW).secret_index == 0
    kept = reader.conceal(request, b"key")
    assert "s3cret" not in f"{kept.url}{kept.headers}"
    assert kept.changed


@pytest.mark.parametrize(
    ("place", "headers", "url", "body"),
    [
        ("header:X-Api-Key", [("x-api-key", "s3cret")], URL, b"{}"),
        ("query:key", [], f"{URL}?key=s3cret", b"{}"),
        ("json:parts[].0.key", [], URL, b'{"parts":[[{"key":"s3cret"}]]}'),
        (r"json:auth\.key", [], URL, b'{"auth.key":"s3cret"}'),
        ("header:X-Old|header:X-New", [("x-new", "s3cret")], URL, b"{}"),
    ],
)
def test_a_secret_is_not_stored_wherever_a_users_preset_finds_it(
    place: str, headers: list[tuple[str, str]], url: str, body: bytes
) -> None:
    verify = {"from": place, "format": "{raw}", "alg": "token"}
    preset = preset_from("mine", {"extends": "bearer", "verify": verify}, {})
    reader = compile_reader(preset, ["s3cret"])
    request = Request("POST", url, headers, body)
    request.payload = reader.parse(request)
    assert reader.verify(request, NOW).secret_index == 0
    kept = reader.conceal(request, b"key")
    assert "s3cret" not in f"{kept.url}{kept.headers}{kept.body!r}"
    assert kept.changed


def test_a_token_that_proves_nothing_of_the_body_is_not_stored() -> None:
    jwt = {"from": "header:X-Token", "algs": ["HS256"]}
    preset = preset_from("mine", {"title": "Mine", "docs": "https://a.example", "jwt": jwt}, {})
    kept = compile_reader(preset, ["s"]).conceal(
        Request("POST", URL, [("x-token", "a.b.c")], b"{}"), b"key"
    )
    assert "a.b.c" not in str(kept.headers)


@pytest.mark.parametrize("name", ["datadog", "opsgenie", "honeybadger", "freshdesk"])
@pytest.mark.parametrize("way", ["basic", "bearer", "header:X-Other"])
def test_a_credential_of_the_preset_is_concealed_whatever_proves_the_sender(
    name: str, way: str
) -> None:
    usual = load_preset(name)
    reader = compile_reader(with_authentication(usual, way), ["s3cret"])
    request = Request("POST", URL, [(usual.credential_headers[0], "s3cret")], b"{}")
    assert "s3cret" not in str(reader.conceal(request, b"key").headers)


def test_a_password_of_the_url_is_not_stored_and_what_is_signed_can_still_be_verified() -> None:
    here = scene("github")
    sent = here.send()
    request = Request("POST", URL, [*sent.headers, ("authorization", "Basic czNjcmV0")], sent.body)
    kept = here.reader.conceal(request, b"key")
    assert "czNjcmV0" not in str(kept.headers)
    assert not kept.changed


def test_a_signature_in_the_authorization_header_is_kept() -> None:
    verify = {"from": "header:Authorization", "format": "HMAC {b64}"}
    preset = preset_from("mine", {"extends": "hmac", "verify": verify}, {})
    headers = [("authorization", "HMAC c2lnbmVk")]
    kept = compile_reader(preset, ["s"]).conceal(Request("POST", URL, headers, b"{}"), b"key")
    assert kept.headers is headers


def test_a_preset_that_extends_another_forgets_how_that_one_proved_the_sender() -> None:
    presets = load_presets({"ours": {"extends": "bearer"}, "mine": {"extends": "ours"}})
    mine = with_authentication(presets["mine"], "header:X-Key")
    assert mine.verify.format == "{raw}"


def test_an_unknown_way_to_prove_a_sender_is_named() -> None:
    with pytest.raises(PresetError, match="no authentication 'handshake'"):
        with_authentication(load_preset("pingdom"), "handshake")


def test_client_state_in_a_body_is_stored_as_a_digest() -> None:
    here = scene("msgraph")
    request = here.send()
    here.reader.parse(request)
    kept = here.reader.conceal(request, b"key")
    assert here.keys.receiver.encode() in request.body
    assert here.keys.receiver.encode() not in kept.body
    assert kept.changed


def test_a_signed_delivery_is_kept_as_it_is() -> None:
    here = scene("github")
    request = here.send()
    kept = here.reader.conceal(request, b"key")
    assert kept.body is request.body
    assert not kept.changed


def test_a_signed_body_whose_time_cannot_be_read_is_unparsable() -> None:
    here, body = scene("linear"), b"no json"
    signature = hmac.digest(here.keys.sender.encode(), body, "sha256").hex()
    request = Request("POST", URL, [("linear-signature", signature)], body)
    with pytest.raises(Unparsable):
        here.reader.verify(request, NOW)


@pytest.mark.parametrize(("name", "last_retry_minutes"), [("freshdesk", 95), ("meta", 7 * 24 * 60)])
def test_a_delivery_without_an_id_is_known_again_at_its_last_retry(
    name: str, last_retry_minutes: int
) -> None:
    assert load_preset(name).repeat_window_seconds >= last_retry_minutes * 60


def test_a_credential_that_the_preset_names_and_verifies_is_one_digest() -> None:
    here = scene("msgraph")
    request = here.send()
    here.reader.parse(request)
    kept = here.reader.conceal(request, b"key")
    assert digest(here.keys.receiver, b"key").encode() in kept.body
