"""Sending signed deliveries over real HTTP, and what came of them: for `hooksift send`."""

import asyncio
import json
import secrets
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from service.errors import SettingsError
from service.extraction.paths import keys_of
from service.preset import PLACE, Preset
from service.signing.outgoing import Outgoing
from service.signing.sign import sign

if TYPE_CHECKING:
    import httpx

UNTRUSTED = "certificate not trusted"
MAX_UNDER_WAY = 16  # more would time our own event loop, not the receiver


class Sent(NamedTuple):
    """One delivery's answer. Status 0: there was none, and `word` says why."""

    status: int
    word: str
    ack_ms: float


@dataclass(frozen=True, slots=True)
class Sender:
    """Signs deliveries of one source as its provider does.

    `target` is where they really go, `public_url` the URL that the provider would call and sign.
    """

    preset: Preset
    secret: str
    target: str
    public_url: str
    body: bytes | None = None
    event_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def make(self, now: float) -> Outgoing:
        """A delivery with an id of its own, signed at `now`. Raises SettingsError."""
        sample, delivery_id = self.preset.sample, str(uuid.uuid4())
        given = self.body is not None
        body = self.body if self.body is not None else sample.body.encode()
        try:
            if not given:
                body = distinct(with_own_id(self.preset, body, delivery_id))
            outgoing = sign(
                self.preset,
                self.secret,
                body,
                url=self.public_url,
                method=sample.method,
                now=now,
                event_type=self.event_type or sample.type,
                delivery_id=delivery_id,
                headers=self.headers,
            )
        except (ValueError, TypeError) as error:  # foreign key formats end in either
            raise SettingsError(
                f"cannot sign as {self.preset.name} with this secret ({type(error).__name__});"
                " where the provider signs with a private key, give that: --secret file:PATH"
            ) from error
        return outgoing._replace(url=self.target + outgoing.url[len(self.public_url) :])


def with_own_id(preset: Preset, body: bytes, delivery_id: str) -> bytes:
    """The sample with an id of its own where the provider writes the id into a JSON body.

    Of an id that is put together from several fields, one that is an id by its name is renewed,
    else the last.
    """
    places = [preset.event.id] if isinstance(preset.event.id, str) else preset.event.id
    if not places or not body.lstrip().startswith(b"{"):
        return body
    root = msgspec.json.decode(body)
    fields = PLACE.findall(places[0])[::-1] or [places[0]]
    for place in sorted(fields, key=lambda place: not place.lower().endswith("id")):
        kind, _, path = place.partition("|")[0].partition(":")
        if kind == "json" and renew(root, keys_of(path), delivery_id):
            return msgspec.json.encode(root)
    return body


def renew(value: Any, path: Sequence[str], new: str) -> bool:
    """Put something new where the path leads; False where there is neither text nor number."""
    for key in path[:-1]:
        value = step(value, key)
    old = step(value, path[-1])
    if not isinstance(old, str | int) or isinstance(old, bool):
        return False
    index = path[-1] if isinstance(value, dict) else int(path[-1])
    value[index] = new if isinstance(old, str) else secrets.randbelow(1 << 50)
    return True


def step(value: Any, key: str) -> Any:
    """One key or index further; None where there is no such place."""
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, list) and key.lstrip("-").isdecimal() and len(value) > abs(int(key)):
        return value[int(key)]
    return None


def distinct(body: bytes) -> bytes:
    """A JSON body that differs from all others in white space at its end only.

    Where the id is not signed, the same bytes under another id look like a replay.
    """
    if not body.rstrip().endswith(b"}"):
        return body
    return body + bytes(32 if bit == "0" else 10 for bit in f"{secrets.randbits(32):032b}")


async def send_all(
    client: "httpx.AsyncClient",
    make: Callable[[], Outgoing],
    count: int,
    per_second: float | None,
    done: Callable[[], None] = lambda: None,
) -> list[Sent]:
    """Send `count` deliveries, up to 16 at once, no faster than `per_second`.

    Each is made when its turn comes, so that its timestamp is of now. The rate holds whether or not
    answers come in time, as a provider's would.
    """
    loop = asyncio.get_running_loop()
    start, room = loop.time(), asyncio.Semaphore(MAX_UNDER_WAY)
    under_way: list[asyncio.Task[Sent]] = []

    async def one() -> Sent:
        try:
            return await send_one(client, make())
        finally:
            room.release()
            done()

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            if per_second:
                await asyncio.sleep(max(0.0, start + number / per_second - loop.time()))
            await room.acquire()
            under_way.append(group.create_task(one()))
    return [task.result() for task in under_way]


async def send_one(client: "httpx.AsyncClient", outgoing: Outgoing) -> Sent:
    """Send one delivery and time the answer."""
    import httpx

    started = perf_counter()
    try:
        response = await client.request(
            outgoing.method,
            outgoing.url,
            headers=[(n.encode(), v.encode("utf-8")) for n, v in outgoing.headers],
            content=outgoing.body,
        )
    except httpx.TransportError as error:
        return Sent(0, word_of_failure(error), 0.0)
    elapsed_ms = (perf_counter() - started) * 1000
    return Sent(response.status_code, word_of(response.content), elapsed_ms)


def word_of_failure(error: BaseException) -> str:
    """Why there was no answer: what is wrong with the server's certificate, or the error's kind."""
    import ssl

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"{UNTRUSTED}: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    return f"no answer: {type(error).__name__}"


def word_of(body: bytes) -> str:
    """What an answer says in a word: the reason of a refusal, or the status."""
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(answer, dict):
        return ""
    return str(answer.get("reason") or answer.get("status") or "")[:60]


class Report(NamedTuple):
    """What became of many deliveries; the percentiles are of those that were answered with 2xx."""

    outcomes: list[tuple[int, str, int]]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    all_taken: bool


def report_of(sent: Sequence[Sent]) -> Report:
    """Counts by status and word, and percentiles of the acknowledgement time."""
    counts = Counter((s.status, s.word) for s in sent)
    outcomes = [(status, word, count) for (status, word), count in sorted(counts.items())]
    times = sorted(s.ack_ms for s in sent if 200 <= s.status < 300)
    p50, p95, p99 = (percentile(times, share) for share in (0.50, 0.95, 0.99))
    return Report(outcomes, p50, p95, p99, len(times) == len(sent))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share does not exceed; nan of nothing."""
    if not ordered:
        return float("nan")
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]
