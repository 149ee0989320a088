"""Turn a body into a value: JSON, form, XML or text, bounded in size, depth and number of parts.

What a parsed body never holds: NaN or infinity, lone surrogates, more than `MAX_DEPTH` levels, XML
entities. JSON parsers that let these through hand the trouble to whoever stores or prints them.
"""

import zlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl
from xml.parsers import expat

import msgspec

from service.receiving.request import Payload, Request, Unparsable

MAX_DEPTH = 128
MAX_FORM_FIELDS = 1_000
MAX_UNPACKED_BYTES = 10 * 1024 * 1024
MAX_XML_ELEMENTS = 100_000

_decode_json = msgspec.json.Decoder().decode


def parse(
    formats: Sequence[str],
    request: Request,
    *,
    empty_body: bool = False,
    max_unpacked_bytes: int = MAX_UNPACKED_BYTES,
) -> Payload:
    """The parsed body, kept in `request.payload` so that it is parsed once.

    Raises `Unparsable` with the reason: empty_body, malformed_json, nested_too_deep, not_utf8,
    malformed_form, malformed_xml, unsupported_encoding, malformed_encoding, unpacked_too_large.
    """
    if request.payload is None:
        request.payload = _parse(formats, request, empty_body, max_unpacked_bytes)
    return request.payload


def _parse(
    formats: Sequence[str], request: Request, empty_body: bool, max_unpacked_bytes: int
) -> Payload:
    body = request.body
    encoding = request.header("content-encoding")
    if encoding is not None and body:
        body = unpacked(body, encoding, max_unpacked_bytes)
    if not body:
        return _parse_nothing(request, empty_body)
    chosen = formats[0]
    if len(formats) > 1:
        chosen = _chosen_format(formats, request.header("content-type"))
    try:
        return _parse_as(chosen, body)
    except Unparsable:
        if "text" in formats and chosen != "text":
            return Payload(_as_text(body), "text")
        raise


def _parse_nothing(request: Request, empty_body: bool) -> Payload:
    if request.method in ("GET", "DELETE", "HEAD"):
        return Payload(dict(request.query), "query") if request.query else Payload(None, "empty")
    if empty_body:
        return Payload(None, "empty")
    raise Unparsable("empty_body", "body is 0 bytes long; this preset expects content")


def _chosen_format(formats: Sequence[str], content_type: str | None) -> str:
    """The format that the Content-Type names, where the preset takes it; else its first."""
    if content_type is None:
        return formats[0]
    kind = content_type.partition(";")[0].lower()
    for mark, names in (("json", "json"), ("form-urlencoded", "form"), ("xml", "xml")):
        if mark in kind:
            return next((name for name in formats if name.startswith(names)), formats[0])
    if kind.startswith("text/") and "text" in formats and "json" not in formats:
        return "text"
    return formats[0]


def _parse_as(chosen: str, body: bytes) -> Payload:
    if chosen == "json":
        return Payload(parse_json(body), "json")
    kind, _, field = chosen.partition(":")
    if kind == "form":
        return _parse_form(body, field)
    if kind == "xml":
        return Payload(parse_xml(body), "xml")
    if kind == "lines":
        return Payload(_parse_lines(body), "json")
    return Payload(_as_text(body), "text")


def parse_json(body: bytes | str) -> Any:
    """The value of JSON text. Raises `Unparsable`."""
    try:
        value = _decode_json(body)
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError as error:
        raise Unparsable("not_utf8", f"body is not UTF-8: {error.reason}") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise Unparsable("malformed_json", f"body is not JSON: {error}") from None
    if _brackets(body) > MAX_DEPTH and is_deeper_than(value, MAX_DEPTH):
        raise _too_deep()
    return value


def _brackets(body: bytes | str) -> int:
    """How many open in it. Python takes characters out in a fifth of the time of counting them."""
    if isinstance(body, str):
        return 2 * len(body) - len(body.replace("{", "")) - len(body.replace("[", ""))
    return 2 * len(body) - len(body.replace(b"{", b"")) - len(body.replace(b"[", b""))


def _too_deep() -> Unparsable:
    return Unparsable("nested_too_deep", f"body nests deeper than the limit of {MAX_DEPTH} levels")


def is_deeper_than(value: Any, limit: int) -> bool:
    """Whether a value nests deeper, found level by level without recursion."""
    level = [value] if type(value) in (dict, list) else []
    for _ in range(limit):
        if not level:
            return False
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
    return bool(level)


def _parse_lines(body: bytes) -> Any:
    """A JSON array, a JSON value, or one JSON value a line."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    if len(lines) == 1 or body.lstrip()[:1] == b"[":
        return parse_json(body)
    try:
        return [parse_json(line) for line in lines]
    except Unparsable:
        return parse_json(body)


def _parse_form(body: bytes, field: str) -> Payload:
    """A form's fields (a repeated one as a list), or the JSON that one of its fields holds."""
    try:
        text = body.decode("ascii") if body.isascii() else body.decode("utf-8")
        pairs = parse_qsl(
            text, keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS, errors="strict"
        )
    except UnicodeDecodeError as error:
        raise Unparsable("not_utf8", f"form is not UTF-8: {error.reason}") from None
    except ValueError as error:
        raise Unparsable(
            "malformed_form", f"form cannot be read; limit is {MAX_FORM_FIELDS} fields: {error}"
        ) from None
    fields = _grouped(pairs)
    if field and type(fields.get(field)) is str:
        return Payload(parse_json(fields[field]), "json")
    return Payload(fields, "form")


def _grouped(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name not in fields:
            fields[name] = value
        elif type(fields[name]) is list:
            fields[name].append(value)
        else:
            fields[name] = [fields[name], value]
    return fields


def _as_text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unparsable("not_utf8", f"body is not UTF-8: {error.reason}") from None


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its gzip or deflate packing. Never makes more than `limit` bytes."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in ("gzip", "x-gzip", "deflate"):
        raise Unparsable(
            "unsupported_encoding", f"content-encoding is {name[:40]!r}; gzip and deflate are read"
        )
    unpacker = zlib.decompressobj(wbits=31 if name.endswith("gzip") else _deflate_bits(body))
    try:
        plain = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise Unparsable("malformed_encoding", f"body is not {name}: {error}") from None
    if len(plain) > limit:
        raise Unparsable("unpacked_too_large", f"body unpacks to more than {limit} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise Unparsable("malformed_encoding", f"{name} body is cut off or has bytes after its end")
    return plain


def _deflate_bits(body: bytes) -> int:
    """Deflate comes with a zlib wrapper, as the RFC says, or bare, as some senders do."""
    wrapped = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] * 256 + body[1]) % 31 == 0
    return 15 if wrapped else -15


class _XmlBuilder:
    """Elements become dicts: attributes under '@name', text under '#text', repeats in lists."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self.open: list[dict[str, Any]] = [self.root]
        self.words: list[list[str]] = [[]]
        self.count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.count += 1
        if len(self.open) > MAX_DEPTH:
            raise _too_deep()
        if self.count > MAX_XML_ELEMENTS:
            raise Unparsable("malformed_xml", f"XML has more than {MAX_XML_ELEMENTS} elements")
        self.open.append({f"@{key}": value for key, value in attributes.items()})
        self.words.append([])

    def text(self, data: str) -> None:
        self.words[-1].append(data)

    def end(self, name: str) -> None:
        element, text = self.open.pop(), "".join(self.words.pop()).strip()
        value: Any = element or text
        if element and text:
            element["#text"] = text
        parent, local = self.open[-1], name.rpartition(":")[2]
        if local not in parent:
            parent[local] = value
        elif type(parent[local]) is list:
            parent[local].append(value)
        else:
            parent[local] = [parent[local], value]


def parse_xml(body: bytes) -> Any:
    """The value of an XML document without DTD. Raises `Unparsable`."""
    builder, parser = _XmlBuilder(), expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.buffer_text = True  # else one call for each line and each entity
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise Unparsable("malformed_xml", f"body is not XML: {error}") from None
    return builder.root


def _refuse_doctype(*_: object) -> None:
    raise Unparsable("malformed_xml", "XML has a document type; entities are not read")
