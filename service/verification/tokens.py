"""Verify a request by a signed token (JWT) that it carries."""

import hashlib
import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping, Sequence
from hmac import compare_digest
from typing import Any, NamedTuple

import jwt
import msgspec

from service.preset import JwtVerification, Preset
from service.receiving.request import Refused, Request
from service.verification.candidates import compile_find
from service.verification.fetching import KeyCache
from service.verification.keys import NONE_IS_SET, SecretError
from service.verification.known import KnownKeys
from service.verification.signatures import Verified
from service.verification.timestamps import check_window

MAX_PARTS_CHARACTERS = 8_192


class Token(NamedTuple):
    """A token taken apart; nothing in it is believed yet."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


KeysFor = Callable[[Token], Sequence[Any]]


class TokenVerifier:
    """One preset's token record with its secrets, compiled."""

    __slots__ = ("_audience", "_find", "_hash", "_keys_for", "_record", "_secrets")

    def __init__(self, preset: Preset, secrets: Sequence[str], known: KnownKeys) -> None:
        assert preset.jwt is not None
        self._record = preset.jwt
        self._secrets = secrets
        self._find = compile_find(self._record.source)
        self._audience = known.audience
        self._hash = _compile_hash(self._record.body_hash)
        self._keys_for = compile_keys(self._record, secrets, known)

    def verify(self, request: Request, now: float) -> Verified:
        """Which secret signed the token. Raises `Refused`."""
        token = read_token(self._find(request)[0], self._record.prefix)
        algorithm = token.header.get("alg")
        if algorithm not in self._record.algs:
            raise Refused(
                "unsupported_algorithm",
                f"token says alg {str(algorithm)[:20]!r}; only {', '.join(self._record.algs)}",
            )
        index = self._match(token, str(algorithm))
        signed_at = check_times(self._record, token.claims, now)
        named = self._check_claims(token.claims, request)
        if self._hash is not None:
            self._hash(token.claims, request.body)
        return Verified(index if named is None else named, None, signed_at)

    def _match(self, token: Token, algorithm: str) -> int:
        scheme = jwt.get_algorithm_by_name(algorithm)
        for index, key in enumerate(self._keys_for(token)):
            try:
                if scheme.verify(token.signed, scheme.prepare_key(key), token.signature):
                    return index
            except (jwt.InvalidKeyError, ValueError, TypeError):
                continue
        raise Refused("signature_mismatch", "token is not signed by a known key")

    def _check_claims(self, claims: Mapping[str, Any], request: Request) -> int | None:
        """Which secret a claim names, where one must be named. Raises `Refused`."""
        record = self._record
        named: int | None = None
        for name in record.require_claims:
            if name not in claims:
                raise Refused("missing_claim", f"token has no claim {name}")
        if record.issuer and claims.get("iss") not in record.issuer:
            raise Refused("claim_mismatch", f"token's iss is not {' or '.join(record.issuer)}")
        if record.audience:
            wanted = self._audience or record.audience.replace("{url}", request.url)
            given = claims.get("aud")
            if wanted not in (given if isinstance(given, list) else [given]):
                raise Refused("claim_mismatch", f"token's aud is not {wanted[:200]}")
        for name, value in record.claims.items():
            accepted = self._secrets if value == "{secret}" else [value]
            if claims.get(name) not in accepted:
                raise Refused("claim_mismatch", f"token's {name} is not the configured one")
            if value == "{secret}":
                named = self._secrets.index(claims[name])
        return named


def read_token(text: str, prefix: str) -> Token:
    """The parts of a compact token after one of the prefixes `A|B`. Raises `Refused`."""
    for start in sorted(prefix.split("|"), key=len, reverse=True):
        if text[: len(start)].lower() == start.lower():
            text = text[len(start) :].strip()
            break
    else:
        wanted = prefix.replace("|", "or ").strip()
        raise Refused("no_supported_signature", f"header does not start with {wanted}")
    parts = text.split(".")
    if len(parts) != 3 or len(text) > MAX_PARTS_CHARACTERS:
        raise Refused("malformed_signature", "token does not have three parts")
    try:
        header, claims = (msgspec.json.decode(_from_base64url(part)) for part in parts[:2])
        signature = _from_base64url(parts[2])
    except (ValueError, RecursionError):
        raise Refused("malformed_signature", "token's parts are not base64url JSON") from None
    if not isinstance(header, dict) or not isinstance(claims, dict) or "crit" in header:
        raise Refused("malformed_signature", "token's parts are not JSON objects we understand")
    return Token(header, claims, ".".join(parts[:2]).encode("ascii", "replace"), signature)


def _from_base64url(text: str) -> bytes:
    """Strict base64url without padding."""
    if not text.isascii() or any(mark in text for mark in "+/=\r\n \t"):
        raise ValueError("not base64url")
    decoded = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if jwt.utils.base64url_encode(decoded).decode() != text:
        raise ValueError("not canonical base64url")
    return decoded


def check_times(record: JwtVerification, claims: Mapping[str, Any], now: float) -> float | None:
    """When the token was issued. Raises `Refused` for one that is expired, early or too old."""
    leeway = record.leeway_seconds
    expires, issued, early = (_number(claims, name) for name in ("exp", "iat", "nbf"))
    if expires is not None and now > expires + leeway:
        raise Refused(
            "timestamp_out_of_tolerance",
            f"token expired {now - expires:.0f} s ago; leeway is {leeway} s",
        )
    start = max((moment for moment in (issued, early) if moment is not None), default=None)
    if start is not None and start > now + leeway:
        raise Refused(
            "timestamp_out_of_tolerance",
            f"token starts in {start - now:.0f} s; leeway is {leeway} s",
        )
    if record.max_age_seconds is not None:
        if issued is None:
            raise Refused("missing_timestamp", "token has no claim iat")
        check_window(issued, now, record.max_age_seconds)
    return issued


def _number(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not abs(value) < 1e12:
        raise Refused("malformed_timestamp", f"token's {name} is not a time")
    return float(value)


def _compile_hash(form: str) -> Callable[[Mapping[str, Any], bytes], None] | None:
    if not form:
        return None
    claim = form.partition(":")[0]

    def check(claims: Mapping[str, Any], body: bytes) -> None:
        given = claims.get(claim)
        digest = hashlib.sha256(body).hexdigest()
        if not isinstance(given, str) or not compare_digest(digest.encode(), given.encode()):
            raise Refused("body_hash_mismatch", f"body's SHA-256 is not the token's {claim}")

    return check


def compile_keys(record: JwtVerification, secrets: Sequence[str], known: KnownKeys) -> KeysFor:
    """Where keys come from. The token chooses among them by its key id, never their address."""
    kind, _, url = record.key.partition(":")
    if known.jwk is not None and kind != "secret":
        return _given_key(known.jwk)
    if not secrets or not all(secrets):
        raise SecretError(NONE_IS_SET)
    if kind == "secret":
        keys = [secret.encode() for secret in secrets]
        return lambda _: keys
    if kind == "jwks":
        cache = KeyCache(parse_jwks, known.fetch)
        return lambda token: [cache.key(url, _key_id(token))]
    if kind == "plaid":
        return _plaid_keys(url, secrets, KeyCache(parse_plaid_key, known.fetch))
    raise SecretError(f"jwt.key {record.key!r} is not secret, jwks:URL or plaid:URL")


def _key_id(token: Token) -> str:
    key_id = token.header.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= 200:
        raise Refused("malformed_signature", "token names no key id")
    return key_id


def _given_key(jwk: Mapping[str, Any]) -> KeysFor:
    key = _public_key(jwk)

    def keys_for(token: Token) -> Sequence[Any]:
        if "kid" in jwk and _key_id(token) != jwk["kid"]:
            raise Refused("unknown_key", "the sender's keys do not hold the token's key id")
        return [key]

    return keys_for


def _plaid_keys(url: str, secrets: Sequence[str], cache: KeyCache) -> KeysFor:
    """Plaid tells one key at a time, to whoever has API credentials."""
    client_id, colon, secret = secrets[0].partition(":")
    if not colon:
        raise SecretError("the secret must be 'client_id:secret'")

    def keys_for(token: Token) -> Sequence[Any]:
        key_id = _key_id(token)
        asked = {"client_id": client_id, "secret": secret, "key_id": key_id}
        return [cache.key(url, key_id, json.dumps(asked).encode())]

    return keys_for


def parse_jwks(content: bytes) -> dict[str, Any]:
    """Public keys by id of a JWKS document; keys of kinds we do not know are left out."""
    document = msgspec.json.decode(content)
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("not a JWKS document")  # noqa: TRY004 - bad content
    keys: dict[str, Any] = {}
    for jwk in document["keys"]:
        if isinstance(jwk, dict) and isinstance(jwk.get("kid"), str):
            try:
                keys[jwk["kid"]] = _public_key(jwk)
            except SecretError:
                continue
    return keys


def parse_plaid_key(content: bytes) -> dict[str, Any]:
    """The one key of Plaid's answer; none when it has expired."""
    document = msgspec.json.decode(content)
    jwk = document.get("key") if isinstance(document, dict) else None
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str):
        raise ValueError("not a key of Plaid's")  # noqa: TRY004 - bad content
    return {} if jwk.get("expired_at") else {jwk["kid"]: _public_key(jwk)}


def _public_key(jwk: Mapping[str, Any]) -> Any:
    try:
        return jwt.PyJWK(dict(jwk)).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise SecretError("the key is not a JWK that can be read") from None
