"""Every signed preset: its own deliveries are believed, spoiled ones are not."""

import pytest
from deliveries import NOW, Scene, flipped, names_where, request_from, scene

from service.preset import PresetError, load_preset, preset_names
from service.receiving.request import Refused, Request
from service.signing.new_keys import new_keys
from service.verification.verify import compile_verifier

SIGNED = [name for name in preset_names() if load_preset(name).signed]
BINDING_BODY = names_where(covers="body")
BINDING_TIME = [
    name
    for name in names_where(covers="time")
    if (jwt := load_preset(name).jwt) is None or jwt.max_age_seconds is not None
]
HEADER_TIME = [name for name in BINDING_TIME if load_preset(name).verify.ts.startswith("header:")]


def reason_of(here: Scene, request: Request, now: float = NOW) -> str:
    with pytest.raises(Refused) as caught:
        here.reader.verify(request, now)
    return caught.value.reason


def with_body(request: Request, body: bytes) -> Request:
    return Request(request.method, request.url, request.headers, body)


def with_header(request: Request, name: str, value: str) -> Request:
    kept = [(known, text) for known, text in request.headers if known != name]
    return Request(request.method, request.url, [*kept, (name, value)], request.body)


@pytest.mark.parametrize("name", SIGNED)
def test_a_delivery_signed_as_the_provider_signs_is_verified(name: str) -> None:
    here = scene(name)
    assert here.reader.verify(here.send(), NOW).secret_index == 0


@pytest.mark.parametrize("name", BINDING_BODY)
def test_one_changed_byte_of_the_body_is_refused(name: str) -> None:
    here = scene(name)
    request = here.send()
    for body in flipped(request.body):
        with pytest.raises(Refused):
            here.reader.verify(with_body(request, body), NOW)


@pytest.mark.parametrize("name", SIGNED)
def test_another_secret_is_refused(name: str) -> None:
    here = scene(name)
    keys = new_keys(here.preset)
    stranger = compile_verifier(here.preset, [keys.receiver], known=keys.known)
    with pytest.raises(Refused):
        stranger.verify(here.send(), NOW)


@pytest.mark.parametrize("name", SIGNED)
def test_a_request_without_any_proof_is_refused(name: str) -> None:
    here = scene(name)
    outgoing = here.outgoing()
    bare = Request("POST", "https://hooks.example.com/v1/webhooks/here", [], b"{}")
    assert outgoing.body is not None
    with pytest.raises(Refused):
        here.reader.verify(bare, NOW)


def tolerance_of(name: str) -> float:
    preset = load_preset(name)
    limit = preset.jwt.max_age_seconds if preset.jwt else preset.verify.tolerance_seconds
    return float(limit or 0)


EDGES = [(name, side) for name in BINDING_TIME for side in (-1, 1) if (name, side) != ("box", -1)]


@pytest.mark.parametrize(("name", "side"), EDGES)  # Box allows hardly any time ahead of ours
def test_a_valid_signature_at_the_edge_of_the_window_is_believed(name: str, side: int) -> None:
    here = scene(name)
    request = here.send(now=NOW - side * tolerance_of(name))
    assert here.reader.verify(request, NOW).secret_index == 0


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("name", BINDING_TIME)
def test_a_valid_signature_a_second_outside_the_window_is_refused(name: str, side: int) -> None:
    here = scene(name)
    request = here.send(now=NOW - side * (tolerance_of(name) + 1))
    assert reason_of(here, request) == "timestamp_out_of_tolerance"


@pytest.mark.parametrize("age", [-301, 301])
@pytest.mark.parametrize("name", ["stripe", "slack", "zendesk", "standard_webhooks", "svix"])
def test_three_hundred_and_one_seconds_are_too_many(name: str, age: int) -> None:
    here = scene(name)
    assert reason_of(here, here.send(now=NOW - age)) == "timestamp_out_of_tolerance"


@pytest.mark.parametrize("age", [-300, 0, 300])
@pytest.mark.parametrize("name", ["stripe", "slack", "zendesk", "standard_webhooks", "svix"])
def test_three_hundred_seconds_are_allowed_both_ways(name: str, age: int) -> None:
    here = scene(name)
    assert here.reader.verify(here.send(now=NOW - age), NOW).signed_at == NOW - age


@pytest.mark.parametrize("text", ["nan", "", "-5", "1e9", "١٧٧", "9" * 5_000, "12 34", "0x1"])
@pytest.mark.parametrize("name", HEADER_TIME)
def test_a_timestamp_that_is_none_is_refused(name: str, text: str) -> None:
    here = scene(name)
    request = here.send()
    header = here.preset.verify.ts.split(":")[1].split("|")[0].lower()
    spoiled = with_header(request, header, text)
    assert reason_of(here, spoiled) in ("malformed_timestamp", "timestamp_out_of_tolerance")


@pytest.mark.parametrize("name", HEADER_TIME)
def test_a_timestamp_moved_by_a_second_breaks_the_signature(name: str) -> None:
    here = scene(name)
    header = here.preset.verify.ts.split(":")[1].split("|")[0].lower()
    later = here.send(now=NOW + 1).header(header)
    assert later is not None
    assert reason_of(here, with_header(here.send(), header, later)) == "signature_mismatch"


ODD_SIGNATURES = [
    *("", " ", "=", "sha256=", "sha256=yo", "v1", "v1,", "v1=", "t=1", "\xff\xfe", "%", "é=" * 9),
    *("sha256=" + "0" * 63, "A" * 1_000_000, "v1," * 500, "Basic ====", "Bearer ", "a.b.c"),
]


def signature_headers(name: str) -> list[str]:
    preset = load_preset(name)
    source = preset.jwt.source if preset.jwt else preset.verify.source
    places = [place.removeprefix("header:").lower() for place in source.split("|")]
    return [place for place in places if ":" not in place and place not in ("path", "")]


@pytest.mark.parametrize("name", SIGNED)
def test_no_odd_signature_is_believed_or_breaks_anything(name: str) -> None:
    here = scene(name)
    request = here.send()
    names = signature_headers(name)
    sent = {place.replace("*", "1") for place in names}
    kept = [pair for pair in request.headers if pair[0] not in sent]
    for place in names:
        for odd in ODD_SIGNATURES:
            headers = [*kept, (place.replace("*", "1"), odd)]
            with pytest.raises(Refused):
                here.reader.verify(Request("POST", request.url, headers, request.body), NOW)


def test_a_signature_header_sent_twice_is_refused() -> None:
    here = scene("github")
    request = here.send()
    twice = [*request.headers, ("x-hub-signature-256", "sha256=" + "0" * 64)]
    doubled = Request(request.method, request.url, twice, request.body)
    assert reason_of(here, doubled) == "repeated_header"


def test_the_signature_is_compared_as_bytes_so_upper_case_hex_is_the_same() -> None:
    here = scene("github")
    request = here.send()
    value = request.header("x-hub-signature-256") or ""
    upper = "sha256=" + value.removeprefix("sha256=").upper()
    assert here.reader.verify(with_header(request, "x-hub-signature-256", upper), NOW)


def test_another_spelling_of_the_same_base64_is_refused() -> None:
    here = scene("zendesk")
    request = here.send()
    value = request.header("x-zendesk-webhook-signature") or ""
    index = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".index(value[-2])
    other = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[index ^ 1]
    spoiled = with_header(request, "x-zendesk-webhook-signature", value[:-2] + other + "=")
    assert reason_of(here, spoiled) == "malformed_signature"


def test_verified_tells_which_of_several_secrets_matched() -> None:
    here = scene("github")
    verifier = compile_verifier(here.preset, ["old", here.keys.receiver])
    assert verifier.verify(here.send(), NOW).secret_index == 1


def test_two_signatures_during_rotation_match_under_either_secret() -> None:
    preset = load_preset("stripe")
    old, new = scene("stripe"), scene("stripe")
    first = old.outgoing()
    second = dict(new.outgoing().headers)["Stripe-Signature"].partition(",")[2]
    headers = dict(first.headers)
    headers["Stripe-Signature"] += f",{second}"
    request = request_from(first._replace(headers=[*headers.items()]))
    assert compile_verifier(preset, [new.keys.receiver]).verify(request, NOW)


def test_the_tolerance_of_a_source_replaces_that_of_the_preset() -> None:
    here = scene("stripe")
    strict = compile_verifier(here.preset, [here.keys.receiver], tolerance_seconds=120)
    with pytest.raises(Refused, match="timestamp is 121 s old; limit is 120 s"):
        strict.verify(here.send(now=NOW - 121), NOW)


def test_signed_content_without_a_bound_id_has_a_digest_that_survives_another_id() -> None:
    here = scene("github")
    first = here.reader.verify(here.send(delivery_id="one"), NOW).signed_digest
    second = here.reader.verify(here.send(delivery_id="two"), NOW).signed_digest
    assert first is not None
    assert first == second


def test_a_signed_id_needs_no_digest() -> None:
    here = scene("standard_webhooks")
    assert here.reader.verify(here.send(), NOW).signed_digest is None


@pytest.mark.parametrize("name", ["github", "stripe", "standard_webhooks", "alertmanager"])
def test_an_empty_secret_is_no_secret(name: str) -> None:
    with pytest.raises(PresetError, match="secret is empty"):
        compile_verifier(load_preset(name), [""])


def test_a_secret_that_is_not_base64_is_explained_without_being_shown() -> None:
    with pytest.raises(PresetError, match="secret is not base64") as caught:
        compile_verifier(load_preset("standard_webhooks"), ["whsec_not!base64"])
    assert "not!" not in str(caught.value)


def test_a_signed_preset_without_secrets_is_an_error() -> None:
    with pytest.raises(PresetError, match="a secret is needed"):
        compile_verifier(load_preset("github"), [])


def test_a_refusal_never_holds_the_secret_or_the_body() -> None:
    here = scene("github")
    request = with_body(here.send(), b'{"card": "4111"}')
    with pytest.raises(Refused) as caught:
        here.reader.verify(request, NOW)
    assert here.keys.receiver not in caught.value.message
    assert "4111" not in caught.value.message
