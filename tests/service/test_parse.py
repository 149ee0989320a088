"""Bodies become values or a reason, whatever is in them."""

import gzip
import zlib
from typing import Any

import pytest

from service.extraction.parse import MAX_DEPTH, MAX_FORM_FIELDS, is_deeper_than, parse
from service.receiving.request import Request, Unparsable

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
ALL = ["json", "form", "xml", "text"]


def parsed(body: bytes, kind: str = JSON, formats: list[str] | None = None, **headers: str) -> Any:
    given = [("content-type", kind), *((k.replace("_", "-"), v) for k, v in headers.items())]
    return parse(formats or ["json"], Request("POST", "https://h.example/", given, body))


def reason(body: bytes, kind: str = JSON, formats: list[str] | None = None, **headers: str) -> str:
    with pytest.raises(Unparsable) as caught:
        parsed(body, kind, formats, **headers)
    return caught.value.reason


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "empty_body"),
        (b"{", "malformed_json"),
        (b"NaN", "malformed_json"),
        (b"[Infinity]", "malformed_json"),
        (b"[1e999]", "malformed_json"),
        (b'"\\ud800"', "malformed_json"),
        (b'"\\ud800\\u0041"', "malformed_json"),
        (b"\xef\xbb\xbf{}", "malformed_json"),
        (b"{} {}", "malformed_json"),
        (b"'single'", "malformed_json"),
        (b'"\xff"', "not_utf8"),
        (b"[" * 100_000 + b"]" * 100_000, "nested_too_deep"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "nested_too_deep"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested_too_deep"),
        (b"9" * 5_000, "malformed_json"),
    ],
)
def test_bad_json_has_its_reason(body: bytes, word: str) -> None:
    assert reason(body) == word


def test_json_may_nest_to_the_limit() -> None:
    assert parsed(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH).format == "json"


def test_depth_is_measured_without_recursion() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    assert is_deeper_than(value, MAX_DEPTH)


def test_a_body_is_parsed_once() -> None:
    request = Request("POST", "https://h.example/", [], b'{"a": 1}')
    assert parse(["json"], request) is parse(["json"], request)


def test_a_form_becomes_its_fields_and_a_repeated_one_a_list() -> None:
    assert parsed(b"a=1&b=2&a=3&c=", FORM, ALL).value == {"a": ["1", "3"], "b": "2", "c": ""}


def test_a_form_field_that_holds_json_is_the_payload() -> None:
    body = b"payload=%7B%22a%22%3A1%7D&x=1"
    assert parsed(body, FORM, ["json", "form:payload"]).value == {"a": 1}


def test_a_form_without_that_field_is_its_fields() -> None:
    assert parsed(b"command=%2Fbug", FORM, ["json", "form:payload"]).value == {"command": "/bug"}


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"&".join([b"a=1"] * (MAX_FORM_FIELDS + 1)), "malformed_form"),
        (b"a=%ff", "not_utf8"),
        (b"a=\xff", "not_utf8"),
        (b"a=%ed%a0%80", "not_utf8"),
    ],
)
def test_a_bad_form_has_its_reason(body: bytes, word: str) -> None:
    assert reason(body, FORM, ALL[:3]) == word


def test_xml_becomes_dicts_with_attributes_and_text() -> None:
    body = b'<?xml version="1.0"?><ticket id="4"><title>Hi</title><tag>a</tag><tag>b</tag></ticket>'
    value = parsed(body, "application/xml", ALL).value
    assert value == {"ticket": {"@id": "4", "title": "Hi", "tag": ["a", "b"]}}


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"<a>", "malformed_xml"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "malformed_xml"),
        (b'<!DOCTYPE a SYSTEM "http://127.0.0.1/x"><a/>', "malformed_xml"),
        (b"<a>&undefined;</a>", "malformed_xml"),
        (b"<a>" * 100_000 + b"</a>" * 100_000, "nested_too_deep"),
        (b'<?xml version="1.0" encoding="no-such"?><a/>', "malformed_xml"),
        (b"<a>\x00</a>", "malformed_xml"),
    ],
)
def test_bad_xml_has_its_reason(body: bytes, word: str) -> None:
    assert reason(body, "application/xml", ["xml"]) == word


def test_text_takes_what_no_other_format_can_read() -> None:
    assert parsed(b"just words", JSON, ["json", "text"]).value == "just words"


def test_text_must_be_utf8() -> None:
    assert reason(b"\xff", "text/plain", ["text"]) == "not_utf8"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("gzip", gzip.compress(b'{"a": 1}', mtime=0)),
        ("x-gzip", gzip.compress(b'{"a": 1}', mtime=0)),
        ("GZIP ", gzip.compress(b'{"a": 1}', mtime=0)),
        ("deflate", zlib.compress(b'{"a": 1}')),
        ("deflate", zlib.compress(b'{"a": 1}', wbits=-15)),
        ("identity", b'{"a": 1}'),
    ],
)
def test_packed_bodies_are_unpacked(name: str, body: bytes) -> None:
    assert parsed(body, content_encoding=name).value == {"a": 1}


def test_a_packed_body_is_bounded_when_unpacked() -> None:
    bomb = gzip.compress(b"0" * 50_000_000, mtime=0)
    assert reason(bomb, content_encoding="gzip") == "unpacked_too_large"


@pytest.mark.parametrize(
    ("name", "body", "word"),
    [
        ("br", b"x", "unsupported_encoding"),
        ("gzip, gzip", b"x", "unsupported_encoding"),
        ("gzip", b"not gzip", "malformed_encoding"),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-4], "malformed_encoding"),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"more", "malformed_encoding"),
    ],
)
def test_bad_packing_has_its_reason(name: str, body: bytes, word: str) -> None:
    assert reason(body, content_encoding=name) == word


def test_a_get_request_is_its_query() -> None:
    request = Request("GET", "https://h.example/x?a=1&b=%C3%A9&a=2", [], b"")
    assert parse(["json"], request).value == {"a": "1", "b": "é"}


def test_line_separated_json_is_a_list() -> None:
    assert parsed(b'{"a":1}\n{"a":2}\n', JSON, ["lines"]).value == [{"a": 1}, {"a": 2}]
