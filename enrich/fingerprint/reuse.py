"""The key under which one enrichment is reused for the copies of an error."""

from hashlib import blake2b


def reuse_digest(
    source: str, taxonomy_version: str, prompt_version: str, model: str, fingerprint: str
) -> bytes:
    """32 bytes of BLAKE2b over all five, each preceded by its length so that none can run over."""
    digest = blake2b(digest_size=32, person=b"hooksift-reuse")
    for part in (source, taxonomy_version, prompt_version, model, fingerprint):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.digest()
