"""Fingerprints: copies of one error share a short id, different errors never do.

`mask` is the stateless first layer; a `Fingerprinter` per source adds what it has learned from
earlier lines. Both are pure: no clock, no disk, no randomness.
"""

from enrich.fingerprint.fingerprinter import Fingerprint, Fingerprinter
from enrich.fingerprint.learning import FingerprintStateError, Limits, Pattern
from enrich.fingerprint.masking import mask
from enrich.fingerprint.reuse import reuse_digest

__all__ = [
    "Fingerprint",
    "FingerprintStateError",
    "Fingerprinter",
    "Limits",
    "Pattern",
    "mask",
    "reuse_digest",
]
