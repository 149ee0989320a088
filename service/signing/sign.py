"""Sign a delivery as its provider does: for `hooksift send`, the demo and the tests.

The sender's side of the same records that verification reads, so a preset that a user defines can
be sent at once. Secrets are those of the provider: for public-key presets the private key.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from service.extraction.paths import keys_of
from service.preset import PLACE, Preset, PresetError
from service.receiving.request import IntakeError, Request
from service.signing.outgoing import Draft, Outgoing
from service.signing.special_signing import SIGNERS, sign_token
from service.verification.content import compile_content
from service.verification.keys import HMAC_HASHES, secret_bytes


def sign(
    preset: Preset,
    secret: str,
    body: bytes,
    *,
    url: str = "http://127.0.0.1/",
    method: str = "POST",
    now: float,
    event_type: str = "",
    delivery_id: str = "",
    headers: Mapping[str, str] | None = None,
) -> Outgoing:
    """The delivery with its id, type and signature where the provider puts them.

    `headers` are added as they are. Headers of the result have the provider's spelling. Raises
    `PresetError` for a body that has no place for what the provider signs.
    """
    named = {"Content-Type": preset.sample.content_type, **preset.sample.headers}
    named.update(_identity_headers(preset, event_type, delivery_id, body))
    named.update(preset.verify.require)
    named.update(headers or {})
    try:
        return _signed(preset, secret, Draft(body, url, method, now, named))
    except (IntakeError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise PresetError(f"preset {preset.name}: this body cannot be signed: {error}") from error


def _signed(preset: Preset, secret: str, draft: Draft) -> Outgoing:
    record = preset.verify
    if preset.jwt is not None:
        return sign_token(preset.jwt, secret, draft)
    if record.special in SIGNERS:
        return SIGNERS[record.special](secret, draft)
    if record.alg == "none":
        url = _with_segment(draft.url, secret) if secret else draft.url
        return draft._replace(url=url).with_headers()
    return _sign_by_record(preset, secret, draft)


def _with_segment(url: str, secret: str) -> str:
    """The URL with the secret as the last segment of its path."""
    path, mark, query = url.partition("?")
    return f"{path.rstrip('/')}/{quote(secret, safe='')}{mark}{query}"


def _sign_by_record(preset: Preset, secret: str, draft: Draft) -> Outgoing:
    record, headers = preset.verify, dict(draft.headers)
    body = draft.body
    kind, name, unit = _time_place(record.ts)
    ts = written_time(draft.now, unit) if kind else ""
    if kind == "header":
        headers[name.split("|")[0]] = ts
    elif kind == "json":
        body = with_field(body, name, int(ts) if ts.isdigit() and unit != "s" else ts)
    request = Request(draft.method, draft.url, [(k.lower(), v) for k, v in headers.items()], body)
    assemble = compile_content(record.sign, secret if record.alg == "sha256" else "")
    signature = make_signature(preset, secret, assemble(request, ts))
    written = _written_signature(record.format, signature)
    if kind == "item":
        written = f"{name}={ts}{record.split}{written}"
    return _placed(
        record.source, written, Outgoing(draft.method, draft.url, [*headers.items()], body)
    )


def make_signature(preset: Preset, secret: str, content: bytes) -> bytes:
    """The signature's bytes over some content."""
    alg, key = preset.verify.alg, preset.verify.key
    if alg in HMAC_HASHES:
        return hmac.digest(secret_bytes(key, secret), content, HMAC_HASHES[alg])
    if alg == "sha256":
        return hashlib.sha256(content).digest()
    if alg in ("token", "basic"):
        return secret.encode()
    if alg == "ed25519":
        return bytes(_ed25519_key(secret).sign(content))
    if alg == "rsa-sha1":
        return _rsa_signature(secret, content)
    if alg == "ecdsa-sha256":
        return _ecdsa_signature(secret, content)
    raise PresetError(f"preset {preset.name}: cannot sign with {alg!r}")


def _ed25519_key(secret: str) -> Any:
    """A private key from its 32-byte seed in hex, or base64 with `whsk_`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    kind = "base64:whsk_" if secret.startswith("whsk_") else "hex"
    return Ed25519PrivateKey.from_private_bytes(secret_bytes(kind, secret)[:32])


def _ecdsa_signature(secret: str, content: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(secret.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PresetError("the private key is not an elliptic curve key")
    return bytes(key.sign(content, ec.ECDSA(SHA256())))


def _rsa_signature(secret: str, content: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(secret.encode(), None)
    if not isinstance(key, RSAPrivateKey):
        raise PresetError("the private key is not an RSA key")
    return bytes(key.sign(content, PKCS1v15(), SHA1()))  # noqa: S303 - the provider's choice


def _time_place(ts: str) -> tuple[str, str, str]:
    kind, _, rest = ts.partition(":")
    name, _, unit = rest.rpartition(":")
    return kind, name, unit


def written_time(now: float, unit: str) -> str:
    """A moment as providers write it: s, ms, us or iso."""
    if unit == "iso":
        return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(int(now * {"s": 1, "ms": 1_000, "us": 1_000_000, "auto": 1_000}[unit]))


def _written_signature(written: str, signature: bytes) -> str:
    if "Basic {raw}" in written:
        return written.replace("{raw}", base64.b64encode(signature).decode())
    for mark, text in (
        ("{hex}", signature.hex()),
        ("{b64}", base64.b64encode(signature).decode()),
    ):
        written = written.replace(mark, text)
    return written.replace("{raw}", signature.decode("latin-1") if "{raw}" in written else "")


def _placed(source: str, written: str, outgoing: Outgoing) -> Outgoing:
    kind, _, name = source.split("|")[0].partition(":")
    if kind == "header":
        header = f"{name[:-1]}1" if name.endswith("*") else name
        return outgoing._replace(headers=[*outgoing.headers, (header, written)])
    if kind == "json":
        return outgoing._replace(body=with_field(outgoing.body, name, written))
    if kind == "query":
        mark = "&" if "?" in outgoing.url else "?"
        return outgoing._replace(url=f"{outgoing.url}{mark}{name}={quote(written, safe='')}")
    return outgoing._replace(url=_with_segment(outgoing.url, written))


def with_field(body: bytes, path: str, value: Any) -> bytes:
    """A JSON body with one field set, objects made on the way; `a[].b` sets it in every element."""
    root = msgspec.json.decode(body) if body.strip() else {}
    if not isinstance(root, dict):
        raise PresetError(f"the body must be a JSON object to hold {path}")
    _set_field(root, keys_of(path), value)
    return msgspec.json.encode(root)


def _set_field(inner: Any, keys: Sequence[str], value: Any) -> None:
    key = keys[0]
    if not isinstance(inner, dict):
        raise PresetError(f"the body has something else where {key} belongs")
    if key.endswith("[]"):
        elements = inner.setdefault(key[:-2], [{}])
        for element in elements if isinstance(elements, list) else []:
            _set_field(element, keys[1:], value)
    elif len(keys) > 1:
        _set_field(inner.setdefault(key, {}), keys[1:], value)
    else:
        inner[key] = value


def _identity_headers(
    preset: Preset, event_type: str, delivery_id: str, body: bytes
) -> dict[str, str]:
    """Headers that carry the delivery's id and type, as far as the preset reads such headers.

    A type that the preset joins from header and body (`issues.opened`) leaves the body's part out.
    """
    headers: dict[str, str] = {}
    identity = [preset.event.id] if isinstance(preset.event.id, str) else preset.event.id
    signed = [part[1:-1] for part in _signed_headers(preset.verify.sign)]
    for place in [*identity, *signed]:
        if place.startswith("header:") and delivery_id:
            headers.setdefault(place.removeprefix("header:").split("|")[0], delivery_id)
            break
    types = [preset.event.type] if isinstance(preset.event.type, str) else preset.event.type
    for expression in types:
        place = expression.split("|")[0]
        joined = PLACE.findall(expression) if "{" in expression else [place]
        if joined and joined[0].startswith("header:") and event_type:
            value = event_type.partition(".")[0] if len(joined) > 1 else event_type
            headers.setdefault(joined[0].removeprefix("header:").split("|")[0], value)
            break
    return headers


def _signed_headers(template: str) -> Sequence[str]:
    return [f"{{{place}}}" for place in PLACE.findall(template) if place.startswith("header:")]
