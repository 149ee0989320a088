"""TLS and client certificates, with real ones."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from certificates import Authority, Pair
from servers.process import Process
from servers.receiver import RunningReceiver, Source, receiving

from service.errors import SettingsError
from service.receiving.serving import make_server
from service.settings import ReceiveSettings
from service.store import open_store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def ours(folder: Path) -> Authority:
    return Authority(folder, "ours")


@pytest.fixture(scope="module")
def here(folder: Path, ours: Authority) -> Iterator[RunningReceiver]:
    """A receiver over TLS that wants client certificates of our authority."""
    store, pair = open_store(f"sqlite:///{folder / 'store.sqlite'}"), ours.issue("server")
    files = {"tls_cert": str(pair.cert), "tls_key": str(pair.key), "client_ca": str(ours.cert)}
    with receiving(store, {"gh": Source("github")}, **files) as running:
        yield running
    store.close()


def send(here: RunningReceiver, trusted: ssl.SSLContext) -> httpx.Response:
    outgoing = here.sources["gh"].delivery()
    with httpx.Client(base_url=here.url, verify=trusted) as client:
        return client.post("/v1/webhooks/gh", headers=outgoing.headers, content=outgoing.body)


@pytest.fixture(scope="module")
def client(ours: Authority) -> Pair:
    return ours.issue("client")


def test_a_delivery_with_a_client_certificate_is_accepted(
    here: RunningReceiver, ours: Authority, client: Pair
) -> None:
    assert send(here, ours.trusted(client)).status_code == 202


def test_without_a_client_certificate_the_connection_is_refused(
    here: RunningReceiver, ours: Authority
) -> None:
    with pytest.raises((httpx.TransportError, ssl.SSLError)):
        send(here, ours.trusted())


def test_a_client_certificate_of_another_authority_is_refused(
    here: RunningReceiver, ours: Authority, folder: Path
) -> None:
    stranger = Authority(folder, "theirs").issue("stranger")
    with pytest.raises((httpx.TransportError, ssl.SSLError)):
        send(here, ours.trusted(stranger))


def test_plain_http_gets_no_answer_where_tls_is_spoken(here: RunningReceiver) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(here.url.replace("https", "http") + "/healthz")


def test_the_printed_address_says_https(here: RunningReceiver) -> None:
    assert here.url.startswith("https://127.0.0.1:")


def test_tls_without_client_certificates_takes_everybody(folder: Path, ours: Authority) -> None:
    store, pair = open_store(f"sqlite:///{folder / 'open.sqlite'}"), ours.issue("open")
    files = {"tls_cert": str(pair.cert), "tls_key": str(pair.key)}
    with receiving(store, {"gh": Source("github")}, **files) as running:
        assert send(running, ours.trusted()).status_code == 202
    store.close()


def test_serve_takes_the_files_on_the_command_line(
    tmp_path: Path, ours: Authority, client: Pair
) -> None:
    pair, config = ours.issue("command"), tmp_path / "hooksift.toml"
    config.write_text(f'data = "{tmp_path / "data"}"\n[receive]\nport = 0\n')
    options = ("--tls-cert", pair.cert, "--tls-key", pair.key, "--client-ca", ours.cert)
    process = Process(config, tmp_path / "log", "serve", *map(str, options))
    try:
        with httpx.Client(verify=ours.trusted(client)) as known:
            assert known.get(process.url + "/healthz").status_code == 200
        with httpx.Client(verify=ours.trusted()) as unknown, pytest.raises(httpx.TransportError):
            unknown.get(process.url + "/healthz")
    finally:
        process.end()


def test_files_that_do_not_fit_together_are_an_error_of_the_settings(
    here: RunningReceiver, ours: Authority
) -> None:
    one, other = ours.issue("one"), ours.issue("other")
    settings = ReceiveSettings(tls_cert=str(one.cert), tls_key=str(other.key))
    with pytest.raises(SettingsError, match="PEM files that fit together"):
        make_server(here.app, settings)


def test_a_missing_certificate_is_an_error_of_the_settings(here: RunningReceiver) -> None:
    with pytest.raises(SettingsError, match="nowhere"):
        make_server(here.app, ReceiveSettings(tls_cert="nowhere.pem", tls_key="nowhere.key"))
