"""Fresh secrets and key pairs in the form that each preset uses."""

import base64
import secrets
import textwrap
from typing import Any, NamedTuple

from service.preset import JwtVerification, Preset
from service.verification.known import NOTHING_KNOWN, KnownKeys


class Keys(NamedTuple):
    """`receiver` is what a source configures, `sender` what `sign` takes.

    `known` holds what a receiver would otherwise fetch.
    """

    receiver: str
    sender: str
    known: KnownKeys = NOTHING_KNOWN


def new_keys(preset: Preset) -> Keys:
    """Keys for a preset that nobody has used before."""
    record = preset.verify
    if preset.jwt is not None:
        return _token_keys(preset.jwt)
    if record.special in ("aws_sns", "paypal"):
        return _certified_keys(record.special)
    if record.special == "contentful":
        return _shared(secrets.token_hex(32))  # Contentful takes exactly 64 characters
    if record.alg == "ed25519":
        return _ed25519_keys(record.key)
    if record.alg == "ecdsa-sha256":
        private, public = _elliptic_pair()
        return Keys(base64.b64encode(public).decode(), private)
    if record.alg == "rsa-sha1":
        private, public = _rsa_pair()
        return Keys(_public_pem(public), private)
    if record.alg == "basic":
        return _shared(f"hooksift:{secrets.token_urlsafe(24)}")
    if record.key.startswith("base64"):
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        return _shared(record.key.partition(":")[2] + key)
    return _shared(secrets.token_urlsafe(32))


def _shared(secret: str) -> Keys:
    return Keys(secret, secret)


def _ed25519_keys(form: str) -> Keys:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    seed = secrets.token_bytes(32)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    if form.startswith("base64"):
        prefix = form.partition(":")[2]
        receiver = prefix + base64.b64encode(public).decode()
        return Keys(receiver, "whsk_" + base64.b64encode(seed).decode())
    return Keys(public.hex(), seed.hex())


def _elliptic_pair() -> tuple[str, bytes]:
    """A P-256 key: the private one as PEM, the public one as DER."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return _written(ec.generate_private_key(ec.SECP256R1()))


def _written(key: Any) -> tuple[str, bytes]:
    from cryptography.hazmat.primitives import serialization

    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public


def _public_pem(public_der: bytes) -> str:
    body = "\n".join(textwrap.wrap(base64.b64encode(public_der).decode(), 64))
    return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"


def _token_keys(record: JwtVerification) -> Keys:
    if record.key == "secret":
        return _shared(secrets.token_urlsafe(32))
    if record.algs[0].startswith("ES"):
        private, public = _elliptic_pair()
    else:
        private, public = _rsa_pair()
    jwk = _jwk_of(public, record.algs[0])
    receiver = "push@hooksift.example" if "{secret}" in record.claims.values() else "client:secret"
    sender = f"{receiver}\n{private}" if "{secret}" in record.claims.values() else private
    return Keys(receiver, sender, KnownKeys(jwk=jwk))


def _jwk_of(public_der: bytes, algorithm: str) -> dict[str, Any]:
    import jwt
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    key: Any = load_der_public_key(public_der)
    described = jwt.get_algorithm_by_name(algorithm).to_jwk(key, as_dict=True)
    return {**described, "kid": "hooksift", "alg": algorithm}


def _rsa_pair() -> tuple[str, bytes]:
    """A 2048-bit key: the private one as PEM, the public one as DER."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return _written(rsa.generate_private_key(public_exponent=65_537, key_size=2_048))


def _certified_keys(special: str) -> Keys:
    """A private key and a certificate of its own for it."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    private, _ = _rsa_pair()
    known = KnownKeys(certificate_pem=_self_signed(load_pem_private_key(private.encode(), None)))
    if special == "aws_sns":
        return Keys("arn:aws:sns:eu-central-1:123456789012:alarms", private, known)
    webhook_id = secrets.token_hex(9).upper()
    return Keys(webhook_id, f"{webhook_id}\n{private}", known)


def _self_signed(key: Any) -> str:
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooksift.example")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2025, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2125, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
