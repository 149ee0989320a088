"""Fetch public keys and certificates: bounded, single-flight, cached, with failures remembered.

The preset names the address, or a delivery that nothing has proven yet: then it is on one of the
provider's hosts. A stranger has that much say, so whatever is kept or under way has a limit.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple, TypeVar

import httpx

from service.receiving.request import KeyMissing, Refused
from service.verification.known import Fetch

FETCH_SECONDS = 5.0
MAX_FETCHED_BYTES = 256 * 1024
MAX_ADDRESSES = 64
MAX_UNDER_WAY = 8

T = TypeVar("T")


@cache
def usual_authorities() -> ssl.SSLContext:
    """What checks the certificates of servers, made once: that takes 20 ms."""
    return httpx.create_ssl_context(trust_env=False)


async def fetch_https(
    url: str, body: bytes | None = None, *, trusted: ssl.SSLContext | None = None
) -> bytes:
    """The content at an https address. No redirects, no proxy or credentials from the environment.

    The server's certificate is checked against the usual authorities, or those of `trusted`.

    Raises `OSError` when it does not answer 200 within five seconds, or with too much.
    """
    if not url.startswith("https://"):
        raise OSError("only https addresses are fetched")
    method, headers = (
        ("GET", {}) if body is None else ("POST", {"content-type": "application/json"})
    )
    try:
        async with (
            asyncio.timeout(FETCH_SECONDS),
            httpx.AsyncClient(
                trust_env=False, follow_redirects=False, verify=trusted or usual_authorities()
            ) as client,
            client.stream(method, url, content=body, headers=headers) as response,
        ):
            if response.status_code != 200:
                raise OSError(f"answered {response.status_code}")
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_FETCHED_BYTES:
                    raise OSError(f"answered more than {MAX_FETCHED_BYTES} bytes")
            return bytes(content)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(type(error).__name__) from error


class Held(NamedTuple):
    """Keys by their id, and when they were fetched."""

    keys: Mapping[str, Any]
    fetched_at: float


class KeyCache:
    """Keys of some addresses. `key` never waits: it raises `KeyMissing`, whose `load` fetches.

    Keys are fresh for an hour and, while their address is down, good for a day. An id that is not
    among the keys of its address leads to at most one fetch a minute, a failed fetch to none for
    half a minute. An address that tells one key at a time, to whoever posts its id, counts once
    for all ids that it has not told yet.
    """

    def __init__(
        self,
        parse: Callable[[bytes], Mapping[str, Any]],
        fetch: Fetch | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        fresh_seconds: float = 3_600,
        stale_seconds: float = 86_400,
        unknown_seconds: float = 60,
        failed_seconds: float = 30,
    ) -> None:
        self._parse = parse
        self._fetch = fetch or fetch_https
        self._clock = clock
        self._fresh_seconds = fresh_seconds
        self._stale_seconds = stale_seconds
        self._unknown_seconds = unknown_seconds
        self._failed_seconds = failed_seconds
        self._held: dict[str, Held] = {}
        self._failed: dict[str, tuple[float, str]] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def key(self, url: str, key_id: str, body: bytes | None = None) -> Any:
        """The key of that id. Raises `KeyMissing`, or `Refused` unknown_key, key_unavailable."""
        now, place = self._clock(), _place(url, body)
        held = self._held.get(place)
        failed_at, failure = self._failed.get(place if held else url, (-1e9, ""))
        failing = now - failed_at < self._failed_seconds
        if held is not None and key_id in held.keys:
            age = now - held.fetched_at
            if age < self._fresh_seconds or (failing and age < self._stale_seconds):
                return held.keys[key_id]
        elif held is not None and now - held.fetched_at < self._unknown_seconds:
            raise Refused("unknown_key", f"the sender's keys do not hold {key_id[:60]!r}")
        if failing:
            raise _unavailable(url, failure)
        raise KeyMissing(f"key {key_id[:60]!r} must be fetched", lambda: self.load(url, body))

    async def load(self, url: str, body: bytes | None = None) -> None:
        """Fetch the keys of an address; callers at the same time share one fetch.

        Raises `Refused("key_unavailable")` when that failed and nothing older may stand in, or too
        many fetches are under way.
        """
        place = _place(url, body)
        task = self._under_way.get(place)
        if task is None:
            if len(self._under_way) >= MAX_UNDER_WAY:
                raise _unavailable(url, f"{MAX_UNDER_WAY} fetches are under way")
            task = asyncio.create_task(self._load(url, body, place))
            self._under_way[place] = task
            task.add_done_callback(lambda _: self._under_way.pop(place, None))
        await asyncio.shield(task)
        if place not in self._held:
            raise _unavailable(url, self._failed.get(url, (0.0, "failed"))[1])

    async def _load(self, url: str, body: bytes | None, place: str) -> None:
        try:
            content = await (self._fetch(url) if body is None else self._fetch(url, body))
            keys = self._parse(content)
        except (OSError, ValueError) as error:
            failure = (self._clock(), str(error) or type(error).__name__)
            _keep(self._failed, place if place in self._held else url, failure)
            return
        _keep(self._held, place, Held(keys, self._clock()))
        self._failed.pop(place, None)


def _keep(kept: dict[str, T], name: str, value: T) -> None:
    """Keep a value, and forget the oldest of too many."""
    kept.pop(name, None)
    kept[name] = value
    if len(kept) > MAX_ADDRESSES:
        del kept[next(iter(kept))]


def _place(url: str, body: bytes | None) -> str:
    return url if body is None else f"{url} {body!r}"


def _unavailable(url: str, failure: str) -> Refused:
    host = url.split("/")[2] if url.count("/") > 1 else url
    return Refused("key_unavailable", f"keys of {host} could not be fetched: {failure[:120]}")
