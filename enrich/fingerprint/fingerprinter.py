"""From a message to its fingerprint."""

from base64 import b32encode
from dataclasses import dataclass
from hashlib import blake2b

from enrich.fingerprint.masking import mask


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`print` is 16 lower-case base32 characters; `masked` is the message without its values."""

    print: str
    masked: str


class Fingerprinter:
    """Gives every message of one source its fingerprint, from what it has seen before."""

    def fingerprint(self, message: str) -> Fingerprint:
        """The fingerprint of one message."""
        masked = mask(message)
        return Fingerprint(print_of(masked), masked)


def print_of(masked: str) -> str:
    """80 bits of BLAKE2b over the masked text, in lower-case base32."""
    digest = blake2b(masked.encode("utf-8", "surrogatepass"), digest_size=10).digest()
    return b32encode(digest).decode("ascii").lower()
