"""Find the signatures that a request carries: where they are and how they are written."""

import binascii
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

import msgspec

from service.extraction.expressions import ExpressionError
from service.extraction.parse import parse_json
from service.extraction.paths import compile_path
from service.receiving.request import Refused, Request, Unparsable, octets, path_of

MAX_SIGNATURE_CHARACTERS = 16_384
MAX_CANDIDATES = 32

Find = Callable[[Request], list[str]]


class Candidates(msgspec.Struct, frozen=True):
    """The decoded signatures, and the k=v items written beside them."""

    signatures: list[bytes]
    items: dict[str, str]


def compile_find(source: str) -> Find:
    """A function that gives the raw texts in which signatures are; raises missing_signature."""
    places = [_compile_place(place.strip()) for place in source.split("|")]

    def find(request: Request) -> list[str]:
        texts: list[str] = []
        for place in places:
            for text in place(request):
                if len(text) > MAX_SIGNATURE_CHARACTERS:
                    raise Refused(
                        "malformed_signature",
                        f"signature is {len(text)} characters long; limit is"
                        f" {MAX_SIGNATURE_CHARACTERS}",
                    )
                if text:
                    texts.append(text)
        if not texts:
            raise Refused("missing_signature", f"no signature in {source}")
        return texts

    return find


def _compile_place(place: str) -> Find:
    kind, _, name = place.partition(":")
    if kind == "header" and name.endswith("*"):
        prefix = name[:-1].lower()
        return lambda request: [v for k, v in request.headers if k.startswith(prefix)]
    if kind == "header":
        return _sole_header(name.lower())
    if kind == "query":
        return lambda request: [request.query.get(name, "")]
    if place == "path":
        return lambda request: [unquote(path_of(request.url).rpartition("/")[2])]
    if kind == "json":
        walk = compile_path(name)
        return lambda request: _texts(walk(body_before_proof(request)))
    raise ExpressionError(f"{place!r} is not header:NAME, query:NAME, json:PATH or path")


def _texts(value: Any) -> list[str]:
    if type(value) is list:
        return [text for text in value if type(text) is str]
    return [value] if type(value) is str else []


def _sole_header(name: str) -> Find:
    def find(request: Request) -> list[str]:
        value = request.sole_header(name)
        return [] if value is None else [value]

    return find


def body_before_proof(request: Request) -> Any:
    """The JSON body of a request that is not proven yet: a bounded parse, kept for later."""
    if request.payload is not None:
        return request.payload.value
    try:
        return parse_json(request.body)
    except Unparsable as error:
        raise Refused(
            "missing_signature", f"the signature is in the body, and the {error.message}"
        ) from None


def compile_read(written: str, split: str, alg: str) -> Callable[[Sequence[str]], Candidates]:
    """A function that decodes the signatures of the given texts.

    It raises no_supported_signature when none is written as the format says (another version or
    method), malformed_signature when those that are cannot be decoded.
    """
    prefix, kind, suffix = _format_parts(written)
    size = len(prefix)
    decode = _basic_bytes if alg == "basic" else DECODERS[kind]
    loose = alg in ("token", "basic")  # schemes such as "Basic" may be written in any case
    lowered = prefix.lower()

    def read(texts: Sequence[str]) -> Candidates:
        items: dict[str, str] = {}
        signatures: list[bytes] = []
        matching = 0
        for part in _parts(texts, split, items):
            if not part.startswith(prefix) and not (loose and part[:size].lower() == lowered):
                continue
            if suffix and not part.endswith(suffix):
                continue
            matching += 1
            decoded = decode(part[size : len(part) - len(suffix)])
            if decoded:
                signatures.append(decoded)
        if not matching:
            raise Refused("no_supported_signature", f"no signature is written as {written}")
        if not signatures:
            raise Refused("malformed_signature", f"signature is not {written}")
        return Candidates(signatures, items)

    return read


def _parts(texts: Sequence[str], split: str, items: dict[str, str]) -> list[str]:
    if not split:
        return list(texts)
    parts = [part.strip() for text in texts for part in text.split(split)]
    if len(parts) > MAX_CANDIDATES:
        raise Refused(
            "malformed_signature",
            f"signature header holds {len(parts)} parts; limit is {MAX_CANDIDATES}",
        )
    for part in parts:
        key, mark, value = part.partition("=")
        if mark:
            items.setdefault(key, value)
    return parts


def _format_parts(written: str) -> tuple[str, str, str]:
    for kind in DECODERS:
        prefix, mark, suffix = written.partition("{" + kind + "}")
        if mark:
            return prefix, kind, suffix
    raise ExpressionError(f"format {written!r} holds none of {{hex}}, {{b64}}, {{raw}}")


def _hex_bytes(text: str) -> bytes | None:
    """Bytes of hex digits. `bytes.fromhex` alone would skip blanks."""
    try:
        return binascii.unhexlify(text)
    except ValueError:
        return None


def _base64_bytes(text: str) -> bytes | None:
    """Bytes of canonical base64: another spelling of the same bytes is not what was sent."""
    try:
        decoded = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None
    written = binascii.b2a_base64(decoded, newline=False)
    return decoded if written == text.encode() else None


def _basic_bytes(text: str) -> bytes | None:
    return _base64_bytes(text.strip())


DECODERS: dict[str, Callable[[str], bytes | None]] = {
    "hex": _hex_bytes,
    "b64": _base64_bytes,
    "raw": octets,
}
