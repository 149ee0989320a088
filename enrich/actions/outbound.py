"""The one way out: HTTP calls that cannot be led astray.

- The origin stands in the configuration; callers give path segments, which are percent-encoded.
- A host name is resolved once, every address is checked, and the connection goes to a checked
  address: what DNS answers later does not matter. TLS still verifies the name.
- No redirect is followed: a credential never reaches another address.
- A time limit over everything, a limit on the answer's size, no compression, no proxy or
  credentials from the environment, no cookies.
- Errors name the host and the status; never the path, a header or a body.
"""

import asyncio
import json
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpcore

from enrich.actions.addresses import Network
from enrich.actions.connections import CheckedBackend, Resolver, system_resolver
from enrich.actions.errors import (
    ConflictError,
    DoubtError,
    PermanentError,
    TransientError,
)
from service.errors import SettingsError

MAX_RESPONSE_BYTES = 1024 * 1024
MAX_RETRY_AFTER_SECONDS = 86_400.0
USER_AGENT = "hooksift"
_HOST = re.compile(r"[a-zA-Z0-9._-]+|[0-9a-fA-F:.]+")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]")
_PRINTABLE = re.compile(r"[!-~]+")
_HEADER_VALUE = re.compile(r"[ -~\xa0-\xff]*")

# Whether the request can have had its effect decides what a failure is called.
_NOT_SENT = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout)
_SENDING = "http11.send_request_headers.started"  # what httpcore calls the step
_IN_DOUBT = (
    httpcore.ReadError,
    httpcore.ReadTimeout,
    httpcore.WriteError,
    httpcore.WriteTimeout,
    httpcore.RemoteProtocolError,
    httpcore.ConnectionNotAvailable,
)
_OUR_FAULT = (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol, httpcore.ProxyError)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read whole. Its body never shows in a repr."""

    host: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON. Raises TransientError: a proxy's error page is not the provider."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise TransientError(
                f"{self.host} answered {self.status} with a body that is not JSON",
                kind="bad_answer",
            ) from error


@dataclass(frozen=True, slots=True)
class Origin:
    """A configured base URL: where calls go, and the path before every other."""

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)
    query: str = field(repr=False)


def parse_origin(url: str, *, allow_http: bool) -> Origin:
    """The parts of a configured URL. Raises SettingsError, without showing more than its host."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError as error:  # UnicodeError is one
        raise SettingsError("the target's url is not a URL") from error
    is_plain = _PRINTABLE.fullmatch(f"/{parts.path}{parts.query}") and _HOST.fullmatch(host)
    if not is_plain or _BLANK.search(url) or parts.username or parts.password or parts.fragment:
        raise SettingsError(
            "the target's url must be https://HOST[:PORT][/PATH] without user, fragment, blank,"
            " or a letter that is not percent-encoded"
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and allow_http):
        raise SettingsError(
            f"the target's url on {host} is not https;"
            " plain http is for networks named in its allow_addresses"
        )
    fallback = 443 if parts.scheme == "https" else 80
    return Origin(parts.scheme, host, port or fallback, parts.path.rstrip("/"), parts.query)


class Outbound:
    """Calls to one configured origin."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        allowed: Sequence[Network] = (),
        timeout_seconds: float = 10.0,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        keep_alive: bool = True,
        resolver: Resolver = system_resolver,
        ssl_context: ssl.SSLContext | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.origin = parse_origin(url, allow_http=bool(allowed))
        self._headers = {"user-agent": USER_AGENT, "accept-encoding": "identity"}
        self._headers |= {name.lower(): value for name, value in (headers or {}).items()}
        _check_headers(self._headers)
        self._timeout_seconds = timeout_seconds
        self._max_response_bytes = max_response_bytes
        self._now = now
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=16,
            max_keepalive_connections=4 if keep_alive else 0,
            keepalive_expiry=30.0,
            network_backend=CheckedBackend(allowed, resolver),
        )

    @property
    def host(self) -> str:
        """The configured host."""
        return self.origin.host

    async def call(
        self,
        method: str,
        *segments: str | int,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        slash: bool = False,
    ) -> Reply:
        """The answer to one request, whatever its status except a redirect.

        `body` is sent as JSON, `content` as it is; `slash` ends the path in one. Raises
        TransientError when nothing was sent, DoubtError when nobody knows, PermanentError for what
        no retry mends.
        """
        sent = {**self._headers, **{k.lower(): v for k, v in (headers or {}).items()}}
        if body is not None:
            content = json.dumps(body, ensure_ascii=True).encode()
            sent.setdefault("content-type", "application/json")
        request = httpcore.Request(
            method,
            httpcore.URL(
                scheme=self.origin.scheme,
                host=self.origin.host,
                port=self.origin.port,
                target=self._target(segments, query, slash),
            ),
            headers=[(b"host", self._host_header()), *_encoded(sent, content)],
            content=content or b"",
            # Half the time for an address, so that the next is tried; else the whole is limited.
            extensions={"timeout": {"connect": self._timeout_seconds / 2}},
        )
        reply = await self._send(request)
        if 300 <= reply.status < 400:
            raise PermanentError(
                f"{self.host} answered {reply.status}, a redirect; none is followed:"
                " write the final address into the target's url",
                kind="redirect",
            )
        return reply

    async def expect(self, method: str, *segments: str | int, **options: Any) -> Reply:
        """The answer to one request that must succeed. Raises what its status stands for."""
        reply = await self.call(method, *segments, **options)
        if reply.status >= 400:
            raise self.error_of(reply)
        return reply

    def error_of(self, reply: Reply) -> TransientError | PermanentError:
        """What a status of 400 or more stands for."""
        status, said = reply.status, f"{self.host} answered {reply.status}"
        if status == 429:
            wait = retry_after_seconds(reply.headers, self._now())
            return TransientError(said, kind="rate_limited", retry_after_seconds=wait)
        if status in (409, 412):
            return ConflictError(said)
        if status in (408, 425, 503):
            wait = retry_after_seconds(reply.headers, self._now())
            return TransientError(said, retry_after_seconds=wait)
        if status >= 500:
            return DoubtError(said, kind="server_error")
        kinds = {401: "unauthorized", 403: "forbidden", 404: "not_found", 410: "not_found"}
        return PermanentError(said, kind=kinds.get(status, "rejected"))

    async def close(self) -> None:
        """Close idle connections."""
        await self._pool.aclose()

    def _target(
        self, segments: Sequence[str | int], query: Mapping[str, str] | None, slash: bool
    ) -> str:
        path = self.origin.path + "".join(f"/{encoded_segment(str(s))}" for s in segments)
        path += "/" if slash else ""
        pairs = "&".join(part for part in (self.origin.query, urlencode(query or {})) if part)
        return (path or "/") + (f"?{pairs}" if pairs else "")

    def _host_header(self) -> bytes:
        origin = self.origin
        name = f"[{origin.host}]" if ":" in origin.host else origin.host
        usual = {"https": 443, "http": 80}[origin.scheme]
        return (name if origin.port == usual else f"{name}:{origin.port}").encode("ascii")

    async def _send(self, request: httpcore.Request) -> Reply:
        begun: set[str] = set()
        away = f"{self.host} cannot be reached"

        async def note(step: str, _info: Any) -> None:
            begun.add(step)

        request.extensions["trace"] = note
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await self._pool.handle_async_request(request)
                try:
                    body = await self._read(response, is_needed=request.method == b"GET")
                finally:
                    await response.aclose()
        except TimeoutError as error:
            if _SENDING not in begun:
                raise TransientError(away, kind="unreachable") from error
            raise DoubtError(
                f"{self.host} did not answer within {self._timeout_seconds:g} s", kind="timeout"
            ) from error
        except _NOT_SENT as error:
            raise TransientError(away, kind="unreachable") from error
        except _IN_DOUBT as error:
            raise DoubtError(f"{self.host} closed the connection without an answer") from error
        except _OUR_FAULT as error:
            raise PermanentError(f"the request to {self.host} is malformed") from error
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in response.headers}
        return Reply(self.host, response.status, headers, body)

    async def _read(self, response: httpcore.Response, *, is_needed: bool) -> bytes:
        """The body; nothing of one that is too large, where the status alone says enough."""
        parts, size = [], 0
        async for part in response.aiter_stream():
            size += len(part)
            if size > self._max_response_bytes:
                if not is_needed or response.status >= 400:
                    return b""
                raise PermanentError(
                    f"{self.host} answered {response.status} with over"
                    f" {self._max_response_bytes} bytes",
                    kind="answer_too_large",
                )
            parts.append(part)
        return b"".join(parts)


def encoded_segment(segment: str) -> str:
    """One path segment, everything but letters, digits and `_.-~` percent-encoded.

    Raises PermanentError for what a server would read as another path: empty, `.` or `..`.
    """
    if segment in ("", ".", ".."):
        raise PermanentError(f"{segment!r} is no path segment")
    return quote(segment, safe="")


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """When to come back, in seconds, at most a day; None where the headers say nothing.

    From Retry-After, else RateLimit-Reset (PagerDuty: seconds; GitLab: a Unix time).
    """
    value = headers.get("retry-after", "").strip()
    if not value and (reset := headers.get("ratelimit-reset", "").strip()).isdecimal():
        seconds = float(reset)
        value = str(seconds - now.timestamp() if seconds > MAX_RETRY_AFTER_SECONDS else seconds)
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - now).total_seconds()
        except (ValueError, TypeError):
            return None
    if seconds != seconds:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _check_headers(headers: Mapping[str, str]) -> None:
    """Raises SettingsError, without the value, for what no header may hold."""
    for name, value in headers.items():
        if not _HEADER_VALUE.fullmatch(value) or not _PRINTABLE.fullmatch(name) or ":" in name:
            raise SettingsError(
                f"the {name!r} header, or the secret in it, holds a line break or a character"
                " that no header may have; look at the end of the file or variable it comes from"
            )


def _encoded(headers: Mapping[str, str], content: bytes | None) -> list[tuple[bytes, bytes]]:
    pairs = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
    if content is not None:
        pairs.append((b"content-length", str(len(content)).encode()))
    return pairs
