"""Whatever a stranger sends over HTTP to any preset's endpoint, the answer is never a 500."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from servers.receiver import RunningReceiver, Source, receiving, status_of

from service.preset import PresetError, load_preset, preset_names
from service.signing.sign import Outgoing
from service.store import open_store

pytestmark = pytest.mark.heavy

EXAMPLES = 3_000
NAMES = [n for n in preset_names() if not load_preset(n).jwt and not load_preset(n).verify.special]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningReceiver]:
    """A source of every preset that needs no key of somebody else's."""
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('endpoint') / 'store.sqlite'}")
    sources = {name: Source(name) for name in NAMES}
    with receiving(store, sources, unverified_per_minute=10**9) as running:
        yield running
    store.close()


def as_raw(path: bytes, method: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    lines = [method + b" " + path + b" HTTP/1.1", b"host: x", b"content-length: %d" % len(body)]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"connection: close", b"", body])


def no_server_error(here: RunningReceiver, sent: bytes) -> None:
    status = status_of(here.raw(sent))
    assert status < 500 or status == 503, status


visible = st.binary(max_size=60).map(lambda raw: bytes(b for b in raw if b not in b"\r\n\0"))
tokens = st.sampled_from(
    [
        b"x-hub-signature-256",
        b"webhook-signature",
        b"webhook-timestamp",
        b"authorization",
        b"stripe-signature",
        b"content-type",
        b"content-encoding",
        b"x-hook-secret",
        b"x-slack-signature",
        b"x-slack-request-timestamp",
        b"x-forwarded-for",
        b"ce-id",
    ]
)
methods = st.sampled_from([b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"BREW"])
queries = st.binary(max_size=40).map(
    lambda raw: b"".join(b"%%%02X" % b if b < 128 else b"%c" % (b % 26 + 97) for b in raw)
)
bodies = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([b"", b"{}", b"[]", b"null", b'{"a":{}}', b'"\\ud800"', b"a=1&b", b"<a/>"]),
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(NAMES),
    method=methods,
    query=queries,
    headers=st.lists(st.tuples(tokens, visible), max_size=5),
    body=bodies,
)
def test_arbitrary_requests_get_no_server_error(
    here: RunningReceiver,
    name: str,
    method: bytes,
    query: bytes,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
) -> None:
    path = f"/v1/webhooks/{name}?".encode() + query
    no_server_error(here, as_raw(path, method, headers, body))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
SIGNED_BY_BODY = [n for n in NAMES if "header:" in load_preset(n).verify.source]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(SIGNED_BY_BODY), body=json_values)
def test_well_signed_bodies_of_any_shape_get_no_server_error(
    here: RunningReceiver, name: str, body: object
) -> None:
    """The sender is genuine, and sends what no documentation foresees."""
    try:
        made: Outgoing = here.sources[name].delivery(body)
    except PresetError:
        reject()  # this provider cannot sign such a body
    answer = here.send(name, made)
    assert answer.status_code < 500, (name, body, answer.text)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.binary(max_size=60).map(lambda b: b.translate(None, b"\r\n \0")))
def test_arbitrary_paths_get_no_server_error(here: RunningReceiver, path: bytes) -> None:
    no_server_error(here, as_raw(b"/" + path, b"POST", [], b"{}"))
