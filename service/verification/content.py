"""The signed content of a request, from a template such as `v0:{ts}:{body}`."""

import re
from collections.abc import Callable, Sequence
from urllib.parse import parse_qsl

from service.extraction.expressions import ExpressionError
from service.extraction.filters import scalar_text
from service.extraction.parse import MAX_FORM_FIELDS
from service.extraction.paths import compile_path
from service.receiving.request import Refused, Request, octets
from service.verification.candidates import body_before_proof

PLACE = re.compile(r"\{([^{}]+)\}")

Piece = Callable[[Request, str], bytes]
Assemble = Callable[[Request, str], bytes]


def compile_content(template: str, secret: str = "") -> Assemble:
    """A function of the request and its timestamp's text that gives the signed bytes."""
    if template == "{body}":
        return lambda request, _: request.body
    parts = PLACE.split(template)
    pattern = b"%b".join(literal.encode().replace(b"%", b"%%") for literal in parts[::2])
    pieces = [_compile_piece(place, secret) for place in parts[1::2]]
    return lambda request, ts: pattern % tuple([piece(request, ts) for piece in pieces])


def _compile_piece(place: str, secret: str) -> Piece:
    if place == "secret" and secret:
        fixed = secret.encode()
        return lambda _request, _ts: fixed
    simple = SIMPLE.get(place)
    if simple is not None:
        return simple
    kind, _, name = place.partition(":")
    if kind == "header" and name:
        return _header_piece([alternative.lower() for alternative in name.split("|")])
    if kind == "json" and name:
        return _json_piece(name)
    if kind == "form" and name:
        return _form_piece(name)
    raise ExpressionError(
        f"{{{place}}} is not {', '.join(f'{{{known}}}' for known in SIMPLE)}, {{header:NAME}} "
        "{json:PATH} or {form:FIELD}"
    )


def _header_piece(names: Sequence[str]) -> Piece:
    def piece(request: Request, _: str) -> bytes:
        for name in names:
            value = request.sole_header(name)
            if value is not None:
                return octets(value)
        raise Refused("missing_header", f"header {names[0]}, which is signed, is missing")

    return piece


def _json_piece(path: str) -> Piece:
    walk = compile_path(path)

    def piece(request: Request, _: str) -> bytes:
        text = scalar_text(walk(body_before_proof(request)))
        if text is None:
            raise Refused("missing_field", f"body field {path}, which is signed, is missing")
        return text.encode()

    return piece


def _form_piece(field: str) -> Piece:
    def piece(request: Request, _: str) -> bytes:
        try:
            pairs = parse_qsl(request.body, keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS)
        except ValueError:
            pairs = []
        values = [value for name, value in pairs if name == field.encode()]
        if len(values) != 1:
            raise Refused(
                "missing_field", f"form field {field}, which is signed, is not there once"
            )
        return values[0]

    return piece


SIMPLE: dict[str, Piece] = {
    "body": lambda request, _: request.body,
    "ts": lambda _, ts: octets(ts),
    "url": lambda request, _: request.url.encode("utf-8", "surrogatepass"),
    "method": lambda request, _: octets(request.method),
}
