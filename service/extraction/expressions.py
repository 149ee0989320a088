"""The small language in which presets say where a value is found.

    json:data.issue.title          a path into the parsed body; numbers index lists, -1 from the end
    json:errors[].message          every element's message, one a line
    item:labels.alertname          the same, in one item of a split delivery
    header:X-GitHub-Event          a request header
    query:id                       a query parameter of the URL
    json:description|html          a value through a filter (see `service.extraction.filters`)
    {json:type}.{json:action}      a template: holds only when all its places hold
    [a, b, c]                      alternatives: the first that holds

Everything is compiled once into plain functions, because an intake runs a dozen of them.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from service.extraction.filters import FILTERS, scalar_text
from service.extraction.paths import compile_path
from service.preset import PLACE
from service.receiving.request import Request


class View(NamedTuple):
    """What an expression may look at: the request, the parsed body, one item of it."""

    request: Request
    body: Any
    item: Any


Getter = Callable[[View], Any]
TextGetter = Callable[[View], str | None]

FIRST_KEY = re.compile(r"^(?:[^{}]*\{)?(json|item):([^.|{}\[\]*]+)")


class ExpressionError(ValueError):
    """An expression is not in the language; the message says which and why."""


def compile_text(expression: str | Sequence[str]) -> TextGetter:
    """A function that gives the expression's text, None where nothing holds."""
    alternatives = [expression] if isinstance(expression, str) else list(expression)
    getters = [
        (*_first_key(alternative), _compile_one(alternative)) for alternative in alternatives
    ]
    if not getters:
        return lambda _: None
    if len(getters) == 1:
        return getters[0][2]

    def first(view: View) -> str | None:
        body = view.body if type(view.body) is dict else ()
        item = view.item if type(view.item) is dict else ()
        for kind, key, getter in getters:
            # Most alternatives of a preset belong to other kinds of event: one look-up skips them.
            if (kind == "json" and key not in body) or (kind == "item" and key not in item):
                continue
            text = getter(view)
            if text:
                return text
        return None

    return first


def _first_key(expression: str) -> tuple[str, str]:
    """The root and the first key of a path into a JSON object, ('', '') where it has none."""
    found = FIRST_KEY.search(expression)
    if found is None or found[2].removeprefix("-").isdecimal():
        return "", ""
    return found[1], found[2]


def compile_value(place: str) -> Getter:
    """A function that gives the value at one place, as the body holds it."""
    target, *filters = place.split("|")
    getter = _compile_place(target, place)
    for name in filters:
        getter = _through(getter, name, place)
    return getter


def _compile_one(expression: str) -> TextGetter:
    if "{" in expression:
        return _compile_template(expression)
    getter = compile_value(expression)

    def text(view: View) -> str | None:
        value = getter(view)
        return value if type(value) is str else scalar_text(value)

    return text


def _compile_template(template: str) -> TextGetter:
    pieces = PLACE.split(template)
    literals, places = pieces[::2], pieces[1::2]
    if not places or any("{" in literal or "}" in literal for literal in literals):
        raise ExpressionError(f"{template!r} has a brace without a place such as {{json:id}}")
    getters = [_compile_one(place) for place in places]

    def text(view: View) -> str | None:
        parts = [literals[0]]
        for getter, literal in zip(getters, literals[1:], strict=True):
            part = getter(view)
            if not part:
                return None
            parts += (part, literal)
        return "".join(parts)

    return text


def _compile_place(target: str, whole: str) -> Getter:
    kind, colon, path = target.partition(":")
    if not colon:
        raise ExpressionError(f"{whole!r} does not start with json:, item:, header: or query:")
    if kind == "header":
        name = path.lower()
        return lambda view: view.request.header(name)
    if kind == "query":
        return lambda view: view.request.query.get(path)
    walk = compile_path(path)
    if kind == "json":
        return lambda view: walk(view.body)
    if kind == "item":
        return lambda view: walk(view.item)
    raise ExpressionError(f"{whole!r}: {kind!r} is not json, item, header or query")


def _through(getter: Getter, name: str, place: str) -> Getter:
    head, _, argument = name.partition(":")
    make = FILTERS.get(head)
    if make is None:
        raise ExpressionError(f"{place!r}: no filter {head!r}; there are {', '.join(FILTERS)}")
    change = make(argument)

    def filtered(view: View) -> Any:
        value = getter(view)
        return None if value is None else change(value)

    return filtered
