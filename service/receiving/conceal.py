"""Keep credentials out of the store: replace the fields a preset names by keyed digests."""

import hashlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from service.extraction.paths import keys_of
from service.preset import Preset
from service.receiving.request import Payload, Request

ALWAYS = frozenset({"authorization", "cookie", "proxy-authorization"})
DIGEST_PREFIX = "digest:"


class Kept(msgspec.Struct, frozen=True):
    """A request fit to be stored. `changed` says that it cannot be verified again.

    `payload` is the parsed body where credentials were taken out of it.
    """

    headers: Sequence[tuple[str, str]]
    url: str
    body: bytes
    payload: Payload | None
    changed: bool


class Concealer:
    """What one preset's requests must not leave in the store."""

    __slots__ = ("_body", "_headers", "_in_path", "_proof", "_query")

    def __init__(self, preset: Preset, *, has_secrets: bool) -> None:
        places = _places_of(preset.jwt.source if preset.jwt else preset.verify.source)
        headers = {name.lower() for kind, name in places if kind == "header"}
        self._proof = frozenset(name.lower() for name in preset.credential_headers)
        self._query = frozenset(preset.credential_query)
        self._body = [keys_of(path) for path in preset.credential_body]
        if _is_shared(preset):
            self._proof |= headers
            self._query |= {name for kind, name in places if kind == "query"}
            found = [_keys_without_indexes(name) for kind, name in places if kind == "json"]
            self._body += [keys for keys in found if keys not in self._body]
        self._headers = self._proof | (ALWAYS - headers)
        self._in_path = ("path", "") in places or (has_secrets and not preset.signed)

    @property
    def needs_payload(self) -> bool:
        """Whether a body must have been parsed, so that its credentials are found."""
        return bool(self._body)

    def conceal(self, request: Request, key: bytes) -> Kept:
        """The request without its credentials; the same objects where it has none."""
        headers, url = request.headers, request.url
        names = self._headers
        changed = False
        if not request.has_none_of(names):
            changed = not request.has_none_of(self._proof)
            headers = [(n, digest(v, key) if n in names else v) for n, v in headers]
        if self._in_path:
            url = _without_last_segment(url, key)
        if self._query:
            url = _without_query(url, self._query, key)
        payload = _without_fields(request, self._body, key) if self._body else None
        body = request.body if payload is None else msgspec.json.encode(payload.value)
        changed = changed or url != request.url or payload is not None
        return Kept(headers, url.replace("\0", ""), body, payload, changed)


def digest(text: str, key: bytes) -> str:
    """A keyed digest: equal credentials are recognised, none can be read back."""
    value = text.encode("utf-8", "surrogatepass")
    return DIGEST_PREFIX + hashlib.blake2b(value, key=key[:64], digest_size=16).hexdigest()


def _is_shared(preset: Preset) -> bool:
    """Whether the proof is a secret that whoever reads it can send again, with another body."""
    if preset.jwt is not None:
        return not preset.jwt.body_hash
    return preset.verify.alg in ("token", "basic")


def _places_of(source: str) -> list[tuple[str, str]]:
    """The kind and the name of each place of a source such as `header:A|query:b`."""
    parts = [place.strip().partition(":") for place in source.split("|")]
    return [(kind, name) for kind, _, name in parts]


def _keys_without_indexes(path: str) -> list[str]:
    """The keys of a path; which element of a list it means is left out: all are concealed."""
    return [key for key in keys_of(path.replace("[]", "")) if key and not key.isdecimal()]


def _without_last_segment(url: str, key: bytes) -> str:
    path, mark, query = url.partition("?")
    head, slash, secret = path.rpartition("/")
    return f"{head}{slash}{digest(secret, key)}{mark}{query}"


def _without_query(url: str, names: frozenset[str], key: bytes) -> str:
    path, mark, query = url.partition("?")
    if not mark:
        return url
    pairs = [
        (name, digest(value, key) if name in names else value)
        for name, value in parse_qsl(query, keep_blank_values=True)
    ]
    return f"{path}?{urlencode(pairs)}"


def _without_fields(request: Request, paths: Sequence[Sequence[str]], key: bytes) -> Payload | None:
    payload = request.payload
    if payload is None or type(payload.value) not in (dict, list):
        return None
    value = msgspec.json.decode(msgspec.json.encode(payload.value))
    changed = [_conceal_at(value, path, key) for path in paths]
    return Payload(value, payload.format) if any(changed) else None


def _conceal_at(value: Any, path: Sequence[str], key: bytes) -> bool:
    if type(value) is list:
        return any([_conceal_at(element, path, key) for element in value])  # noqa: C419 - all of them
    if type(value) is not dict or path[0] not in value:
        return False
    if len(path) > 1:
        return _conceal_at(value[path[0]], path[1:], key)
    if type(value[path[0]]) is not str:
        return False
    value[path[0]] = digest(value[path[0]], key)
    return True
