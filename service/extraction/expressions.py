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


class ExpressionError(ValueError):
    """An expression is not in the language; the message says which and why."""


def compile_text(expression: str | Sequence[str]) -> TextGetter:
    """A function that gives the expression's text, None where nothing holds."""
    alternatives = [expression] if isinstance(expression, str) else list(expression)
    if not alternatives:
        return lambda _: None
    if len(alternatives) == 1:
        return _compile_one(alternatives[0])
    steps = [_step(written) for written in alternatives]

    def first(view: View) -> str | None:
        _, body, item = view
        for kind, key, inner_key, getter in steps:
            found = None
            if key:
                root = body if kind == "json" else item
                found = root.get(key) if type(root) is dict else None
                if inner_key:
                    found = found.get(inner_key) if type(found) is dict else None
                if found is None:
                    continue
            text = _text_of(found) if getter is None else getter(view)
            if text:
                return text
        return None

    return first


def _step(expression: str) -> tuple[str, str, str, TextGetter | None]:
    """One of several alternatives: its first keys, and its getter where it is more than they.

    Most alternatives of a preset belong to other kinds of event: looking for a key skips them.
    """
    getter = _compile_one(expression)
    kind, key, inner_key = _first_keys(expression)
    path = f"{key}.{inner_key}" if inner_key else key
    return kind, key, inner_key, None if key and expression == f"{kind}:{path}" else getter


def _first_keys(expression: str) -> tuple[str, str, str]:
    """The root of a path and its first two keys into JSON objects, '' where it has none."""
    places = PLACE.split(expression)[1::2] or [expression]
    kind, _, path = places[0].partition("|")[0].partition(":")
    keys = ["", ""]
    for index, step in enumerate(path.split(".")[:2] if kind in ("json", "item") else ()):
        key, brackets, _ = step.partition("[]")
        if key == "*" or key.removeprefix("-").isdecimal():
            break
        keys[index] = key
        if brackets:
            break
    return kind, keys[0], keys[1]


def compile_value(place: str) -> Getter:
    """A function that gives the value at one place, as the body holds it."""
    target, *filters = place.split("|")
    getter = _compile_place(target, place)
    for name in filters:
        getter = _through(getter, name, place)
    return getter


def _text_of(value: Any) -> str | None:
    return value if type(value) is str else scalar_text(value)


def _compile_one(expression: str) -> TextGetter:
    if "{" in expression:
        return _compile_template(expression)
    getter = compile_value(expression)
    return lambda view: _text_of(getter(view))


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
