"""Whatever a stranger sends: verified, refused or unparsable, and never anything else."""

from functools import cache

import pytest
from deliveries import NOW, Scene, scene
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.preset import PresetError, load_preset, preset_names
from service.receiving.request import IntakeError, Payload, Request

NAMES = list(preset_names())
SIGNED = [name for name in NAMES if load_preset(name).signed]
IN_BODY = ("aws_sns", "mailgun", "msgraph")  # there the proof is in the body, not in a header
scene_of = cache(scene)

header_text = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=200)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def read(here: Scene, request: Request) -> str:
    """Everything that is done with a request; the outcome's name."""
    reader = here.reader
    try:
        if reader.handshakes.unsigned(request) is not None:
            return "handshake"
        verified = reader.verify(request, NOW)
        payload = reader.parse(request)
        reader.handshakes.signed(request, payload, verified.secret_index)
        key = reader.delivery_key(request, payload)
        items = reader.events(request, payload)
        reader.conceal(request, b"key")
    except IntakeError as error:
        return error.reason
    assert items
    for text in [key or "", *(item.title + item.text + item.event_type for item in items)]:
        assert "\0" not in text
        text.encode()
    return "accepted"


@quick
@given(
    name=st.sampled_from(SIGNED),
    method=st.sampled_from(["POST", "GET", "HEAD", "OPTIONS", "é"]),
    url=st.text(max_size=60),
    values=st.lists(header_text, max_size=8),
    body=st.binary(max_size=300),
)
def test_a_strangers_request_is_never_accepted_and_never_an_error(
    name: str, method: str, url: str, values: list[str], body: bytes
) -> None:
    here = scene_of(name)
    names = [key.lower() for key, _ in here.outgoing().headers]
    headers = [(names[index % len(names)], value) for index, value in enumerate(values)]
    assert read(here, Request(method, url, headers, body)) != "accepted"


@quick
@given(name=st.sampled_from(NAMES), body=st.binary(max_size=300))
def test_a_signed_body_of_any_bytes_is_read_or_has_a_reason(name: str, body: bytes) -> None:
    here = scene_of(name)
    try:
        outgoing = here.outgoing(body)
    except PresetError:
        return  # the sender's signature is a field of the body, which must be JSON then
    headers = [(key.lower(), value) for key, value in outgoing.headers]
    read(here, Request(outgoing.method, outgoing.url, headers, outgoing.body))


@quick
@given(name=st.sampled_from(NAMES), body=json_values)
def test_extraction_takes_any_json(name: str, body: object) -> None:
    here = scene_of(name)
    request = Request("POST", "https://h.example/x", [], b"")
    payload = Payload(body, "json")
    here.reader.delivery_key(request, payload)
    for item in here.reader.events(request, payload):
        assert "\0" not in item.title + item.text
    here.reader.handshakes.signed(request, payload, 0)


@quick
@given(data=st.data(), name=st.sampled_from(SIGNED))
def test_a_header_changed_anywhere_is_refused_or_says_the_same(
    name: str, data: st.DataObject
) -> None:
    here = scene_of(name)
    request = here.send()
    index = data.draw(st.integers(0, max(len(request.headers) - 1, 0)))
    if not request.headers:
        return
    changed = list(request.headers)
    changed[index] = (changed[index][0], data.draw(header_text))
    read(here, Request(request.method, request.url, changed, request.body))


@pytest.mark.parametrize("name", [name for name in SIGNED if name not in IN_BODY])
def test_a_header_of_a_megabyte_is_refused(name: str) -> None:
    here = scene_of(name)
    request = here.send()
    huge = [(key, "A" * 1_000_000) for key, _ in request.headers]
    url = "https://h.example/" + "a" * 100_000
    assert read(here, Request("POST", url, huge, request.body)) != "accepted"
