"""Certificates that sign deliveries: where they may come from and how they check."""

import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from service.receiving.request import Refused
from service.verification.fetching import KeyCache
from service.verification.keys import SecretError
from service.verification.known import KnownKeys

ONLY = "certificate"
MAX_URL_CHARACTERS = 1_000


class Certificates:
    """Public keys of certificates at addresses on allowed hosts."""

    def __init__(self, hosts: str, known: KnownKeys, owner: str = "") -> None:
        self._hosts = re.compile(hosts)
        self._given = public_key_of(known.certificate_pem) if known.certificate_pem else None
        self._cache = KeyCache(lambda content: {ONLY: _fetched_key(content, owner)}, known.fetch)

    def key(self, url: str) -> Any:
        """The public key. Raises `Refused("cert_url_not_allowed")`, or `KeyMissing`."""
        if not self.allows(url):
            raise Refused(
                "cert_url_not_allowed", f"certificate address {url[:100]!r} is not allowed"
            )
        return self._given or self._cache.key(url, ONLY)

    def allows(self, url: str) -> bool:
        """Whether a short address is https on an allowed host, without port, user or fragment."""
        if len(url) > MAX_URL_CHARACTERS:
            return False
        try:
            parts = urlsplit(url)
            bare = parts.netloc == (parts.hostname or "") and not parts.fragment
        except ValueError:
            return False
        clean = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
        return (
            clean
            and bare
            and parts.scheme == "https"
            and self._hosts.fullmatch(parts.netloc) is not None
        )


def public_key_of(pem: str) -> Any:
    """The RSA public key of a PEM certificate. Raises `SecretError`."""
    try:
        return _rsa_key(pem.encode(), "")
    except ValueError:
        raise SecretError("the certificate is not PEM with an RSA key") from None


def _fetched_key(content: bytes, owner: str) -> Any:
    return _rsa_key(content, owner)


def _rsa_key(pem: bytes, owner: str) -> Any:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.x509.oid import NameOID

    certificate = x509.load_pem_x509_certificates(pem)[0]
    names = [
        str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    ]
    if owner and not any(name == owner or name.endswith(f".{owner}") for name in names):
        raise ValueError(f"certificate is not {owner}'s")
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        raise ValueError("certificate holds no RSA key")  # noqa: TRY004 - a bad certificate
    return key


def check_rsa(key: Any, signature: str, content: bytes, hash_name: str) -> None:
    """Raises `Refused` unless the base64 signature is PKCS#1 v1.5 over the content."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    kinds: Mapping[str, Any] = {"sha1": hashes.SHA1, "sha256": hashes.SHA256}
    try:
        decoded = b64decode(signature, validate=True)
    except ValueError:
        raise Refused("malformed_signature", "signature is not base64") from None
    try:
        key.verify(decoded, content, PKCS1v15(), kinds[hash_name]())
    except (InvalidSignature, ValueError):
        raise Refused("signature_mismatch", "signature does not match the certificate") from None
