"""Configured secrets and public keys, made ready once: one `check` function per secret.

A check takes the signed content and the decoded signatures of a request and returns the digest
that identifies the signed content, or None when no signature is right.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from hmac import compare_digest

from service.receiving.request import octets

NONE_IS_SET = 'a secret is needed; set secret = "env:NAME"'
Check = Callable[[bytes, Sequence[bytes]], bytes | None]

HMAC_HASHES = {
    "hmac-sha256": "sha256",
    "hmac-sha1": "sha1",
    "hmac-sha512": "sha512",
    "hmac-md5": "md5",
}
DIGEST_BYTES = 16


class SecretError(ValueError):
    """A configured secret cannot be used. The message never holds the secret."""


def compile_check(alg: str, key: str, secret: str) -> Check:
    """The check for one configured secret. Raises `SecretError`."""
    if not secret:
        raise SecretError("secret is empty; anybody could sign with it")
    if alg in HMAC_HASHES:
        return _hmac_check(secret_bytes(key, secret), HMAC_HASHES[alg])
    if alg in ("token", "basic"):
        return _equality_check(secret.encode())
    if alg == "sha256":
        return _plain_hash_check
    if alg == "ed25519":
        return _ed25519_check(secret_bytes(key, secret))
    if alg == "ecdsa-sha256":
        return _ecdsa_check(secret)
    if alg == "rsa-sha1":
        return _rsa_check(secret)
    raise SecretError(
        f"no algorithm {alg!r}; use {', '.join(HMAC_HASHES)}, sha256, ed25519, ecdsa-sha256, "
        "rsa-sha1, token, basic or none"
    )


def secret_bytes(key: str, secret: str) -> bytes:
    """The key's bytes: 'utf8', 'hex', or 'base64:PREFIX' (prefix optional, padding optional)."""
    kind, _, prefix = key.partition(":")
    if kind == "utf8":
        return secret.encode()
    text = secret.removeprefix(prefix).strip()
    try:
        decoded = bytes.fromhex(text) if kind == "hex" else _from_base64(text)
    except ValueError:
        raise SecretError(f"secret is not {kind}; copy it again from the provider") from None
    if not decoded:
        raise SecretError("secret is empty; anybody could sign with it")
    return decoded


def _from_base64(text: str) -> bytes:
    text = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _hmac_check(key: bytes, name: str) -> Check:
    keyed = hmac.new(key, digestmod=name)

    def check(content: bytes, signatures: Sequence[bytes]) -> bytes | None:
        mac = keyed.copy()
        mac.update(content)
        digest = mac.digest()
        for signature in signatures:
            if compare_digest(digest, signature):
                return digest[:DIGEST_BYTES]
        return None

    return check


def _plain_hash_check(content: bytes, signatures: Sequence[bytes]) -> bytes | None:
    """A bare SHA-256 whose content holds the secret itself (HubSpot's first two versions)."""
    digest = hashlib.sha256(content).digest()
    right = any([compare_digest(digest, signature) for signature in signatures])  # noqa: C419 - constant time
    return digest[:DIGEST_BYTES] if right else None


def _equality_check(secret: bytes) -> Check:
    def check(_: bytes, signatures: Sequence[bytes]) -> bytes | None:
        right = any([compare_digest(secret, given) for given in signatures])  # noqa: C419 - constant time
        return b"" if right else None

    return check


def _ed25519_check(public_key: bytes) -> Check:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
    except ValueError:
        raise SecretError(
            f"Ed25519 public key is {len(public_key)} bytes long; it must be 32"
        ) from None

    def check(content: bytes, signatures: Sequence[bytes]) -> bytes | None:
        for signature in signatures:
            try:
                key.verify(signature, content)
            except (InvalidSignature, ValueError):
                continue
            return content_digest(content)
        return None

    return check


def _ecdsa_check(public_key: str) -> Check:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import (
        load_der_public_key,
        load_pem_public_key,
    )

    try:
        if "BEGIN" in public_key:
            key = load_pem_public_key(public_key.encode())
        else:
            key = load_der_public_key(base64.b64decode(public_key, validate=True))
    except (ValueError, binascii.Error):
        raise SecretError("public key is not base64 SPKI or PEM; copy it again") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise SecretError("public key is not an elliptic curve key")
    elliptic, scheme = key, ec.ECDSA(SHA256())

    def check(content: bytes, signatures: Sequence[bytes]) -> bytes | None:
        for signature in signatures:
            try:
                elliptic.verify(signature, content, scheme)
            except (InvalidSignature, ValueError):
                continue
            return content_digest(content)
        return None

    return check


def _rsa_check(public_key: str) -> Check:
    """PKCS#1 v1.5 over SHA-1, which Travis CI still signs with."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(public_key.encode())
    except ValueError:
        raise SecretError("public key is not PEM; copy it again") from None
    if not isinstance(key, RSAPublicKey):
        raise SecretError("public key is not an RSA key")
    rsa, padding, sha1 = key, PKCS1v15(), SHA1()  # noqa: S303 - the provider's choice

    def check(content: bytes, signatures: Sequence[bytes]) -> bytes | None:
        for signature in signatures:
            try:
                rsa.verify(signature, content, padding, sha1)
            except (InvalidSignature, ValueError):
                continue
            return content_digest(content)
        return None

    return check


def content_digest(content: bytes) -> bytes:
    """What identifies signed content where no MAC does."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def same_text(left: str, right: str) -> bool:
    """Whether a header value equals a configured text, in constant time."""
    return compare_digest(octets(left), right.encode())
