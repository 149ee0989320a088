"""In-band secrets count only while a person has opened the source, and verify once confirmed."""

import asyncio
import hashlib
import hmac
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from servers.receiver import rows, until

from service.lifecycle.backup import back_up
from service.receiving.assembly import build_endpoint, digest_key, known_presets
from service.receiving.endpoint import Endpoint
from service.receiving.pairing import (
    OPEN_FOR,
    Offer,
    PairingError,
    confirm_pairing,
    digest_of_secret,
    keep_secret,
    open_pairing,
    pairing_of,
    read_secret,
    secret_file,
    take_offers,
    waiting_file,
)
from service.receiving.pairing_watch import PairingWatch
from service.settings import ReceiveSettings, SourceSettings
from service.store import Store, open_store
from service.store.tables import to_microseconds
from tests.servers.process import Process

NOW = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
FIRST, SECOND = "first-secret-of-asana", "second-secret-of-somebody"


def offer(secret: str = FIRST, at: datetime = NOW, source: str = "asana") -> Offer:
    return Offer(source, digest_of_secret(secret), "192.0.2.1", to_microseconds(at))


def taken(store: Store, made: Offer) -> bool:
    result: bool = store.write_now(take_offers, made)
    return result


def test_a_source_that_nobody_opened_takes_no_secret(store: Store) -> None:
    assert not taken(store, offer())


def test_an_open_source_takes_a_secret(store: Store) -> None:
    open_pairing(store, "asana", NOW)
    assert taken(store, offer())


def test_another_source_s_opening_does_not_count(store: Store) -> None:
    open_pairing(store, "notion", NOW)
    assert not taken(store, offer())


def test_only_the_first_secret_is_taken(store: Store) -> None:
    open_pairing(store, "asana", NOW)
    assert [taken(store, offer(FIRST)), taken(store, offer(SECOND))] == [True, False]


def test_the_same_secret_sent_again_is_taken_again(store: Store) -> None:
    """A provider that got no answer sends its first request again."""
    open_pairing(store, "asana", NOW)
    assert [taken(store, offer()), taken(store, offer())] == [True, True]


@pytest.mark.parametrize(("ahead", "expected"), [(-1, True), (0, False), (1, False)])
def test_ten_minutes_are_ten_minutes(store: Store, ahead: float, expected: bool) -> None:
    open_pairing(store, "asana", NOW)
    assert taken(store, offer(at=NOW + OPEN_FOR + timedelta(seconds=ahead))) is expected


def test_the_state_tells_the_address_and_the_digest_and_not_the_secret(store: Store) -> None:
    open_pairing(store, "asana", NOW)
    taken(store, offer())
    (row,) = rows(store, "pairings", "source")
    assert (row.address, row.secret_digest) == ("192.0.2.1", digest_of_secret(FIRST))
    assert FIRST not in str(row)


def test_the_secret_s_file_is_its_owner_s_alone(tmp_path: Path) -> None:
    keep_secret(tmp_path, "asana", FIRST)
    assert stat.S_IMODE(waiting_file(tmp_path, "asana").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file and folder that is brought to the disk, in order; and it is."""
    found: list[Path] = []
    really = os.fsync

    def fsync(number: int) -> None:
        found.append(Path(f"/proc/self/fd/{number}").readlink())
        really(number)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def test_a_secret_is_on_disk_by_its_name(tmp_path: Path, synced: list[Path]) -> None:
    """A file that was synced is gone after a power failure, if its folder was not."""
    keep_secret(tmp_path, "asana", FIRST)
    assert synced[-1] == tmp_path / "secrets"


def test_a_new_folder_of_secrets_is_on_disk(tmp_path: Path, synced: list[Path]) -> None:
    keep_secret(tmp_path, "asana", FIRST)
    assert synced[0] == tmp_path


def test_a_confirmed_secret_is_on_disk_by_its_name(
    store: Store, tmp_path: Path, synced: list[Path]
) -> None:
    paired(store, tmp_path)
    synced.clear()
    confirm_pairing(store, tmp_path, "asana", digest_of_secret(FIRST))
    assert synced == [tmp_path / "secrets"]


def test_an_unconfirmed_secret_is_none(tmp_path: Path) -> None:
    keep_secret(tmp_path, "asana", FIRST)
    assert read_secret(tmp_path, "asana") is None


def paired(store: Store, folder: Path) -> None:
    open_pairing(store, "asana", NOW)
    assert taken(store, offer())
    keep_secret(folder, "asana", FIRST)


def test_a_confirmed_secret_is_the_source_s(store: Store, tmp_path: Path) -> None:
    paired(store, tmp_path)
    confirm_pairing(store, tmp_path, "asana", digest_of_secret(FIRST))
    assert read_secret(tmp_path, "asana") == FIRST


def test_the_confirmed_file_is_its_owner_s_alone(store: Store, tmp_path: Path) -> None:
    paired(store, tmp_path)
    file = confirm_pairing(store, tmp_path, "asana", digest_of_secret(FIRST))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_another_digest_confirms_nothing(store: Store, tmp_path: Path) -> None:
    paired(store, tmp_path)
    with pytest.raises(PairingError, match="is not the digest"):
        confirm_pairing(store, tmp_path, "asana", digest_of_secret(SECOND))
    assert read_secret(tmp_path, "asana") is None


def test_nothing_is_confirmed_before_a_secret_came(store: Store, tmp_path: Path) -> None:
    open_pairing(store, "asana", NOW)
    with pytest.raises(PairingError, match="no secret has come"):
        confirm_pairing(store, tmp_path, "asana", digest_of_secret(FIRST))


def test_a_file_with_another_secret_is_not_confirmed(store: Store, tmp_path: Path) -> None:
    paired(store, tmp_path)
    keep_secret(tmp_path, "asana", SECOND)
    with pytest.raises(PairingError, match="is not in"):
        confirm_pairing(store, tmp_path, "asana", digest_of_secret(FIRST))


def test_confirming_twice_does_no_harm(store: Store, tmp_path: Path) -> None:
    paired(store, tmp_path)
    for _ in range(2):
        confirm_pairing(store, tmp_path, "asana", digest_of_secret(FIRST))
    assert read_secret(tmp_path, "asana") == FIRST


def test_no_secret_is_taken_after_the_confirmation(store: Store, tmp_path: Path) -> None:
    paired(store, tmp_path)
    confirm_pairing(store, tmp_path, "asana", digest_of_secret(FIRST))
    assert not taken(store, offer())


def test_opening_again_forgets_what_nobody_confirmed(store: Store, tmp_path: Path) -> None:
    paired(store, tmp_path)
    open_pairing(store, "asana", NOW)
    found = pairing_of(store, "asana")
    assert found is not None
    assert found.secret_digest is None


def test_a_backup_holds_no_secret(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    paired(store, tmp_path)
    store.close()
    copy = tmp_path / "copy"
    back_up(f"sqlite:///{tmp_path / 'store.sqlite'}", copy)
    assert FIRST.encode() not in copy.read_bytes()


@pytest.mark.parametrize("name", ["../asana", ".hidden", "a/b", ""])
def test_a_name_that_would_leave_the_folder_has_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(Exception, match="fit for a file"):
        secret_file(tmp_path, name)


def two_receivers(store: Store, folder: Path) -> list[tuple[PairingWatch, dict[str, Endpoint]]]:
    """What two receivers on the same store know."""
    sources = {"asana": SourceSettings(preset="asana")}
    settings: Any = SimpleNamespace(
        data=folder, receive=ReceiveSettings(), sources=sources, presets={}
    )
    presets, key = known_presets(settings), digest_key(store)

    def rebuild(name: str) -> Endpoint:
        return build_endpoint(settings, name, presets, key)

    return [
        (PairingWatch(store, folder, frozenset(sources), rebuild), {"asana": rebuild("asana")})
        for _ in range(2)
    ]


def test_all_receivers_share_one_secret(store: Store, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    open_pairing(store, "asana", now)
    receivers = two_receivers(store, tmp_path)

    async def offered() -> list[bool]:
        return [
            await watch.take("asana", secret, "192.0.2.1")
            for (watch, _), secret in zip(receivers, (FIRST, SECOND), strict=True)
        ]

    assert asyncio.run(offered()) == [True, False]


def test_all_receivers_verify_with_it_once_it_is_confirmed(store: Store, tmp_path: Path) -> None:
    paired(store, tmp_path)
    receivers = two_receivers(store, tmp_path)
    before = [endpoints["asana"] for _, endpoints in receivers]
    confirm_pairing(store, tmp_path, "asana", digest_of_secret(FIRST))

    async def look() -> None:
        for watch, endpoints in receivers:
            await watch.look(endpoints, NOW)

    asyncio.run(look())
    after = [endpoints["asana"] for _, endpoints in receivers]
    assert all(new is not old for new, old in zip(after, before, strict=True))


CONFIG = """
data = "{data}"
[receive]
port = 0
[sources.asana]
preset = "asana"
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    config = tmp_path / "hooksift.toml"
    config.write_text(CONFIG.format(data=tmp_path / "data"))
    running = Process(config, tmp_path / "log", "receive")
    yield running
    running.end()


def test_a_person_pairs_a_running_receiver(process: Process, tmp_path: Path) -> None:
    """Refused before; echoed while open; events refused until confirmed; taken afterwards."""
    url = process.url.partition("/v1/")[0] + "/v1/webhooks/asana"
    body = b'{"events":[{"action":"added","resource":{"gid":"1"}}]}'
    signature = hmac.new(FIRST.encode(), body, hashlib.sha256).hexdigest()
    store = open_store(f"sqlite:///{tmp_path / 'data' / 'store.sqlite'}")

    def hello(secret: str = FIRST) -> httpx.Response:
        return httpx.post(url, headers={"X-Hook-Secret": secret})

    def event() -> int:
        return httpx.post(url, content=body, headers={"X-Hook-Signature": signature}).status_code

    assert hello().status_code == 401
    open_pairing(store, "asana", datetime.now(UTC))
    answer = until(lambda: (a := hello()).status_code == 200 and a)
    assert answer.headers["x-hook-secret"] == FIRST
    assert (hello(SECOND).status_code, event()) == (401, 401)
    confirm_pairing(store, tmp_path / "data", "asana", digest_of_secret(FIRST))
    store.close()
    until(lambda: event() == 200)
