"""Filters of the expression language: small pure functions from a value to a value."""

import base64
import html
import re
from collections.abc import Callable
from typing import Any

import msgspec

from service.extraction.paths import compile_path
from service.extraction.traces import trace_text

Filter = Callable[[Any], Any]

TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)\b[^<>]*>")
BREAKING = frozenset(
    (
        "p",
        "br",
        "div",
        "li",
        "tr",
        "td",
        "th",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "pre",
        "blockquote",
        "ul",
        "ol",
    )
)
HIDDEN = re.compile(r"<(/?)(script|style)\b", re.IGNORECASE)
MAX_HTML_CHARACTERS = 200_000
MAX_LINES = 500
MAX_DEPTH = 50
NAMES = ("name", "key", "title", "id")


def scalar_text(value: Any) -> str | None:
    """Text of a string, number or truth value; lists one a line; None for anything else."""
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int or kind is float:
        return str(value)
    if kind is list:
        lines = [text for element in value[:MAX_LINES] if (text := _flat_text(element))]
        return "\n".join(lines) or None
    return None


def _flat_text(value: Any) -> str | None:
    return None if type(value) in (dict, list) else scalar_text(value)


def _html(_: str) -> Filter:
    def strip(value: Any) -> Any:
        text = scalar_text(value)
        if text is None or ("<" not in text and "&" not in text):
            return text
        text = _without_hidden(text[:MAX_HTML_CHARACTERS])
        text = TAG.sub(lambda tag: "\n" if tag[2].lower() in BREAKING else "", text)
        lines = (line.strip() for line in html.unescape(text).split("\n"))
        return "\n".join(line for line in lines if line)

    return strip


def _without_hidden(text: str) -> str:
    """Without scripts and styles, in one pass: a search for each closing tag would be quadratic."""
    kept: list[str] = []
    start, hidden = 0, ""
    for tag in HIDDEN.finditer(text):
        closes, name = bool(tag[1]), tag[2].lower()
        if not hidden and not closes:
            kept.append(text[start : tag.start()])
            hidden = name
        elif hidden == name and closes:
            end = text.find(">", tag.end())
            start, hidden = (len(text) if end < 0 else end + 1), ""
    if not hidden:
        kept.append(text[start:])
    return "".join(kept)


def _pairs(_: str) -> Filter:
    def lines(value: Any) -> Any:
        if type(value) is list:
            return _named_pairs(value)
        if type(value) is not dict:
            return scalar_text(value)
        found = [
            f"{key}={text}"
            for key, inner in list(value.items())[:MAX_LINES]
            if (text := scalar_text(inner))
        ]
        return "\n".join(found) or None

    return lines


def _named_pairs(elements: list[Any]) -> str | None:
    """Lines of a list of {name|key|id|title: ..., value: ...}, or of [name, value]."""
    lines = []
    for element in elements[:MAX_LINES]:
        if type(element) is dict:
            name = next((element[key] for key in NAMES if key in element), "")
            value = element.get("value")
        elif type(element) is list and len(element) == 2:
            name, value = element
        else:
            name, value = "", element
        text = scalar_text(value)
        if text:
            lines.append(f"{scalar_text(name)}={text}" if name else text)
    return "\n".join(lines) or None


def _first_line(_: str) -> Filter:
    def first(value: Any) -> Any:
        text = scalar_text(value)
        return text.strip().partition("\n")[0] if text else text

    return first


def _lower(_: str) -> Filter:
    def lower(value: Any) -> Any:
        text = scalar_text(value)
        return text.lower() if text else text

    return lower


def _map(argument: str) -> Filter:
    """`map:0=ping,1=command`: names for the provider's numbers; anything else stays."""
    names = dict(pair.partition("=")[::2] for pair in argument.split(","))

    def name(value: Any) -> Any:
        text = scalar_text(value)
        return names.get(text, text) if text is not None else None

    return name


def _when(argument: str) -> Filter:
    """`when:yes=Down,no=Up` keeps only the values it names."""
    names = dict(pair.partition("=")[::2] for pair in argument.split(","))

    def name(value: Any) -> Any:
        text = scalar_text(value)
        return names.get(text) if text is not None else None

    return name


def _as(argument: str) -> Filter:
    """`as:word` says the word where there is any value."""
    return lambda _: argument


def _after(argument: str) -> Filter:
    """`after:/` keeps what follows the last such mark."""

    def last(value: Any) -> Any:
        text = scalar_text(value)
        return text.rpartition(argument)[2] if text else text

    return last


def _json(argument: str) -> Filter:
    """`json:a.b`: a string that holds JSON, and a path into it."""
    walk = compile_path(argument)

    def inner(value: Any) -> Any:
        if type(value) is not str:
            return walk(value)
        try:
            return walk(msgspec.json.decode(value))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None

    return inner


def _base64(_: str) -> Filter:
    def decode(value: Any) -> Any:
        if type(value) is not str:
            return None
        try:
            return base64.b64decode(value, validate=True).decode("utf-8")
        except ValueError:
            return None

    return decode


def _dump(_: str) -> Filter:
    """Any value as one line of JSON; strings stay as they are."""

    def dump(value: Any) -> Any:
        return value if type(value) is str else msgspec.json.encode(value).decode()

    return dump


def _count(_: str) -> Filter:
    return lambda value: len(value) if type(value) in (list, dict) else None


def _document(_: str) -> Filter:
    """The words of an Atlassian or ProseMirror document: every `text`, blocks on lines."""

    def words(value: Any) -> Any:
        if type(value) is str:
            return value
        pieces: list[str] = []
        _collect_words(value, pieces, 0)
        return re.sub(r"\n{2,}", "\n", "".join(pieces)).strip() or None

    return words


def _collect_words(node: Any, pieces: list[str], depth: int) -> None:
    if depth > MAX_DEPTH:
        return
    if type(node) is list:
        for child in node:
            _collect_words(child, pieces, depth + 1)
    elif type(node) is dict:
        if type(node.get("text")) is str:
            pieces.append(node["text"])
        elif type(node.get("content")) is list:
            _collect_words(node["content"], pieces, depth + 1)
            pieces.append("\n")
        elif node.get("type") == "hardBreak":
            pieces.append("\n")
        elif type(node.get("attrs")) is dict and type(node["attrs"].get("text")) is str:
            pieces.append(node["attrs"]["text"])


def _trace(_: str) -> Filter:
    """Stack traces in the shapes error trackers use, as the lines a developer reads."""
    return trace_text


FILTERS: dict[str, Callable[[str], Filter]] = {
    "html": _html,
    "pairs": _pairs,
    "first": _first_line,
    "lower": _lower,
    "map": _map,
    "when": _when,
    "after": _after,
    "as": _as,
    "json": _json,
    "base64": _base64,
    "dump": _dump,
    "count": _count,
    "document": _document,
    "trace": _trace,
}
