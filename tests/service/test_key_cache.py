"""Public keys that are fetched: once, bounded, remembered."""

import asyncio
import json
from typing import Any

import pytest

from service.receiving.request import KeyMissing, Refused
from service.verification.fetching import MAX_ADDRESSES, MAX_UNDER_WAY, KeyCache, fetch_https

URL = "https://keys.example/jwks"


class Endpoint:
    """A key endpoint with a clock: answers what it holds, fails while it is down."""

    def __init__(self, keys: dict[str, str]) -> None:
        self.keys = keys
        self.down = False
        self.asked = 0
        self.now = 0.0

    async def fetch(self, url: str, body: bytes | None = None) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        if self.down:
            raise OSError("answered 500")
        return json.dumps(self.keys).encode()

    def cache(self) -> KeyCache:
        return KeyCache(json.loads, self.fetch, clock=lambda: self.now)


async def get(cache: KeyCache, key_id: str) -> Any:
    try:
        return cache.key(URL, key_id)
    except KeyMissing as missing:
        await missing.load()
        return cache.key(URL, key_id)


def refusal(cache: KeyCache, key_id: str) -> str:
    with pytest.raises(Refused) as caught:
        asyncio.run(get(cache, key_id))
    return caught.value.reason


def test_a_key_is_fetched_once_and_kept() -> None:
    endpoint = Endpoint({"a": "key"})
    cache = endpoint.cache()
    assert [asyncio.run(get(cache, "a")) for _ in range(3)] == ["key"] * 3
    assert endpoint.asked == 1


def test_callers_at_the_same_time_share_one_fetch() -> None:
    endpoint = Endpoint({"a": "key"})
    cache = endpoint.cache()

    async def many() -> list[Any]:
        return await asyncio.gather(*(get(cache, "a") for _ in range(50)))

    assert asyncio.run(many()) == ["key"] * 50
    assert endpoint.asked == 1


def test_an_unknown_key_leads_to_one_fetch_a_minute() -> None:
    endpoint = Endpoint({"a": "key"})
    cache = endpoint.cache()
    for number in range(20):
        assert refusal(cache, f"forged-{number}") == "unknown_key"
    assert endpoint.asked == 1


def test_a_rotated_key_is_found_after_a_minute() -> None:
    endpoint = Endpoint({"a": "old"})
    cache = endpoint.cache()
    asyncio.run(get(cache, "a"))
    endpoint.keys, endpoint.now = {"b": "new"}, 61.0
    assert asyncio.run(get(cache, "b")) == "new"


def test_an_endpoint_that_is_down_is_asked_once_and_then_left_alone() -> None:
    endpoint = Endpoint({})
    endpoint.down = True
    cache = endpoint.cache()
    assert [refusal(cache, "a") for _ in range(5)] == ["key_unavailable"] * 5
    assert endpoint.asked == 1


def test_an_endpoint_that_is_up_again_is_asked_again() -> None:
    endpoint = Endpoint({"a": "key"})
    endpoint.down = True
    cache = endpoint.cache()
    refusal(cache, "a")
    endpoint.down, endpoint.now = False, 31.0
    assert asyncio.run(get(cache, "a")) == "key"


def test_an_older_key_stands_in_while_the_endpoint_is_down() -> None:
    endpoint = Endpoint({"a": "key"})
    cache = endpoint.cache()
    asyncio.run(get(cache, "a"))
    endpoint.down, endpoint.now = True, 3_700.0
    assert asyncio.run(get(cache, "a")) == "key"


def test_content_that_is_no_key_counts_as_down() -> None:
    async def fetch(url: str, body: bytes | None = None) -> bytes:
        return b"<html>"

    assert refusal(KeyCache(json.loads, fetch), "a") == "key_unavailable"


def load(cache: KeyCache, url: str, body: bytes | None = None) -> None:
    with pytest.raises(KeyMissing) as missing:
        cache.key(url, "a", body)
    with pytest.raises(Refused, match="could not be fetched"):
        asyncio.run(missing.value.load())


def test_failures_of_so_many_addresses_are_remembered_and_then_the_oldest_forgotten() -> None:
    endpoint = Endpoint({})
    endpoint.down = True
    cache = endpoint.cache()
    for number in range(MAX_ADDRESSES + 1):
        load(cache, f"{URL}/{number}")
    load(cache, f"{URL}/0")
    assert refused_at_once(cache, f"{URL}/{MAX_ADDRESSES}") == "key_unavailable"


def refused_at_once(cache: KeyCache, url: str, body: bytes | None = None) -> str:
    with pytest.raises(Refused) as caught:
        cache.key(url, "a", body)
    return caught.value.reason


def test_only_so_many_fetches_are_under_way_at_once() -> None:
    endpoint = Endpoint({"a": "key"})
    cache = endpoint.cache()

    async def many() -> list[Any]:
        loads = (cache.load(f"{URL}/{number}") for number in range(3 * MAX_UNDER_WAY))
        return await asyncio.gather(*loads, return_exceptions=True)

    answers = asyncio.run(many())
    assert endpoint.asked == MAX_UNDER_WAY
    assert [type(answer) for answer in answers].count(Refused) == 2 * MAX_UNDER_WAY


def test_a_key_that_cannot_be_had_keeps_the_other_unknown_ones_of_its_address_waiting() -> None:
    endpoint = Endpoint({})
    endpoint.down = True
    cache = endpoint.cache()
    load(cache, URL, b"forged-1")
    assert refused_at_once(cache, URL, b"forged-2") == "key_unavailable"


def test_a_key_that_cannot_be_had_does_not_stop_a_known_one() -> None:
    endpoint = Endpoint({"a": "key"})
    cache = endpoint.cache()
    asyncio.run(cache.load(URL, b"a"))
    endpoint.down, endpoint.now = True, 3_700.0
    load(cache, URL, b"forged")
    endpoint.down = False
    asyncio.run(cache.load(URL, b"a"))
    assert cache.key(URL, "a", b"a") == "key"


@pytest.mark.parametrize("url", ["http://keys.example/", "file:///etc/passwd", "ftp://x/", ""])
def test_only_https_is_fetched(url: str) -> None:
    with pytest.raises(OSError, match="only https"):
        asyncio.run(fetch_https(url))
