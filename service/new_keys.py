"""Fresh secrets and key pairs in the form that each preset uses."""

import base64
import secrets
from typing import NamedTuple

from service.preset import Preset
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
    if record.alg == "ed25519":
        return _ed25519_keys(record.key)
    if record.alg == "ecdsa-sha256":
        private, public = _elliptic_pair()
        return Keys(base64.b64encode(public).decode(), private)
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
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public
