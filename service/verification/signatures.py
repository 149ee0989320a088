"""Verify a request by a preset's declarative record."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from service.extraction.expressions import ExpressionError
from service.extraction.parse import parse_json
from service.extraction.paths import compile_path
from service.preset import Preset, Verification
from service.receiving.request import Refused, Request
from service.verification.candidates import body_before_proof, compile_find, compile_read
from service.verification.content import compile_content
from service.verification.keys import NONE_IS_SET, SecretError, compile_check
from service.verification.timestamps import UNITS, check_window, seconds_of, seconds_of_value


class Verified(msgspec.Struct, frozen=True):
    """A request that proves its sender.

    `secret_index` says which of the configured secrets matched, -1 where there is none to match.
    `signed_digest` is set only where the preset names an id that the signature does not cover: the
    same digest under another id is a suspected replay.
    `signed_at` is the signed timestamp in seconds since 1970.
    """

    secret_index: int
    signed_digest: bytes | None
    signed_at: float | None


class SignatureVerifier:
    """One preset's record with its secrets, compiled."""

    __slots__ = (
        "_assemble",
        "_checks",
        "_digest_wanted",
        "_find",
        "_read",
        "_require",
        "_time_after",
        "_time_before",
        "_tolerance",
    )

    def __init__(self, preset: Preset, secrets: Sequence[str], tolerance_seconds: float) -> None:
        if not secrets:
            raise SecretError(NONE_IS_SET)
        record = preset.verify
        self._find = compile_find(record.source)
        self._read = compile_read(record.format, record.split, record.alg)
        self._require = [(name.lower(), value) for name, value in record.require.items()]
        self._tolerance = tolerance_seconds
        self._time_before, self._time_after = _compile_times(record)
        plain_hash = record.alg == "sha256"
        self._checks = [
            (
                compile_content(record.sign, secret) if plain_hash else None,
                compile_check(record.alg, record.key, secret),
            )
            for secret in secrets
        ]
        self._assemble = None if plain_hash else compile_content(record.sign)
        self._digest_wanted = bool(preset.event.id) and "id" not in preset.covers

    def verify(self, request: Request, now: float) -> Verified:
        """Which secret signed the request. Raises `Refused`; `Unparsable` for a signed body."""
        for name, value in self._require:
            _check_required(request, name, value)
        candidates = self._read(self._find(request))
        ts, moment = "", None
        if self._time_before is not None:
            ts, moment = self._time_before(request, candidates.items)
            check_window(moment, now, self._tolerance)
        index, digest = self._match(request, ts, candidates.signatures)
        if self._time_after is not None:
            moment = self._time_after(request)
            check_window(moment, now, self._tolerance)
        return Verified(index, (digest or None) if self._digest_wanted else None, moment)

    def _match(
        self, request: Request, ts: str, signatures: Sequence[bytes]
    ) -> tuple[int, bytes | None]:
        content = self._assemble(request, ts) if self._assemble is not None else b""
        for index, (assemble, check) in enumerate(self._checks):
            if assemble is not None:
                content = assemble(request, ts)
            digest = check(content, signatures)
            if digest is not None:
                return index, digest
        count = len(self._checks)
        raise Refused(
            "signature_mismatch",
            f"signature does not match the request under any of {count} configured secrets",
        )


def _check_required(request: Request, name: str, value: str) -> None:
    given = request.sole_header(name)
    if given == value:
        return
    if given is None:
        raise Refused("missing_header", f"header {name} is missing; it must be {value!r}")
    what = "unsupported_algorithm" if "algorithm" in name else "unsupported_version"
    raise Refused(what, f"header {name} is {given[:40]!r}; only {value!r} is supported")


TimeBefore = Callable[[Request, dict[str, str]], tuple[str, float]]
TimeAfter = Callable[[Request], float]


def _compile_times(record: Verification) -> tuple[TimeBefore | None, TimeAfter | None]:
    """How to find the time: before the signature is checked, or in the body that it covers."""
    if not record.ts:
        return None, None
    kind, _, rest = record.ts.partition(":")
    name, _, unit = rest.rpartition(":")
    if unit not in UNITS and unit != "iso":
        raise ExpressionError(f"ts {record.ts!r} does not end in :s, :ms, :us or :iso")
    if kind == "header":
        return _header_time([n.lower() for n in name.split("|")], unit), None
    if kind == "item":
        return _item_time(name, unit), None
    if kind == "json" and "{body}" in record.sign:
        return None, _signed_body_time(name, unit)
    if kind == "json":
        return _body_time(name, unit), None
    raise ExpressionError(
        f"ts {record.ts!r} is not header:NAME:UNIT, item:KEY:UNIT or json:PATH:UNIT"
    )


def _header_time(names: Sequence[str], unit: str) -> TimeBefore:
    def time(request: Request, _: dict[str, str]) -> tuple[str, float]:
        for name in names:
            text = request.sole_header(name)
            if text is not None:
                return text, seconds_of(text, unit)
        raise Refused("missing_timestamp", f"header {names[0]} is missing")

    return time


def _item_time(key: str, unit: str) -> TimeBefore:
    def time(_: Request, items: dict[str, str]) -> tuple[str, float]:
        text = items.get(key)
        if text is None:
            raise Refused("missing_timestamp", f"the signature header has no item {key}=")
        return text, seconds_of(text, unit)

    return time


def _body_time(path: str, unit: str) -> TimeBefore:
    walk = compile_path(path)

    def time(request: Request, _: dict[str, str]) -> tuple[str, float]:
        value = walk(body_before_proof(request))
        return str(value), _present(value, path, unit)

    return time


def _signed_body_time(path: str, unit: str) -> TimeAfter:
    walk = compile_path(path)

    def time(request: Request) -> float:
        payload = request.payload
        body = parse_json(request.body) if payload is None else payload.value
        return _present(walk(body), path, unit)

    return time


def _present(value: Any, path: str, unit: str) -> float:
    if value is None:
        raise Refused("missing_timestamp", f"body field {path} is missing")
    return seconds_of_value(value, unit)
