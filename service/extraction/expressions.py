"""The small language in which presets say where a value is found.

    json:data.issue.title          a path into the parsed body; numbers index lists, -1 from the end
    json:fields.System\\.Title      a dot that belongs to a key
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
from typing import Any

import msgspec

from service.extraction.filters import FILTERS, scalar_text
from service.extraction.paths import compile_path, keys_of
from service.preset import PLACE
from service.receiving.request import Request


class View(msgspec.Struct, frozen=True):
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
    code = GetterCode()
    for written in alternatives:
        code.add(written, _compile_one(written))
    return code.compiled()


class GetterCode:
    """The Python text of one getter, as a person would write it for these alternatives.

    Most alternatives of a preset belong to other kinds of event: a look for their keys skips them,
    and each object on the way is looked up once. Calls of closures cost a delivery 7 % more CPU.
    """

    def __init__(self) -> None:
        self._lines = ["def first(view):", "    body, item = view.body, view.item"]
        self._names: dict[str, Any] = {"EMPTY": {}, "text_of": _text_of}
        self._objects: dict[tuple[str, ...], str] = {}

    def add(self, expression: str, getter: TextGetter) -> None:
        """One more alternative, and the getter that does all of it."""
        kind, keys, whole = _first_keys(expression)
        if not keys:
            self._lines += self._result(self._named(getter), "    ")
            return
        self._lines.append(f"    found = {self._object((kind, *keys[:-1]))}.get({keys[-1]!r})")
        self._lines.append("    if found is not None:")
        if whole:
            self._lines.append("        if type(found) is str and found: return found")
        self._lines += self._result("text_of(found)" if whole else self._named(getter), " " * 8)

    def compiled(self) -> TextGetter:
        """The function. Its text holds no more of an expression than its keys, as literals."""
        text = "\n".join([*self._lines, "    return None"])
        exec(compile(text, "<getter>", "exec"), self._names)  # noqa: S102
        made: TextGetter = self._names["first"]
        return made

    def _named(self, getter: TextGetter) -> str:
        name = f"getter{len(self._names)}"
        self._names[name] = getter
        return f"{name}(view)"

    def _result(self, call: str, indent: str) -> list[str]:
        return [f"{indent}text = {call}", f"{indent}if text: return text"]

    def _object(self, path: tuple[str, ...]) -> str:
        """The variable that holds the object at a path, an empty one where none is."""
        if path not in self._objects:
            *before, key = path
            value = f"{self._object(tuple(before))}.get({key!r})" if before else ROOTS[key]
            name = f"object{len(self._objects)}"
            self._lines.append(f"    {name} = {value}")
            self._lines.append(f"    if type({name}) is not dict: {name} = EMPTY")
            self._objects[path] = name
        return self._objects[path]


ROOTS = {"json": "body", "item": "item"}
NO_KEY = re.compile(r"\*|-?\d+")


def _first_keys(expression: str) -> tuple[str, list[str], bool]:
    """The root of a path, its first keys into JSON objects, and whether they are all of it."""
    places = PLACE.split(expression)[1::2] or [expression]
    target, mark, _ = places[0].partition("|")
    kind, _, path = target.partition(":")
    keys: list[str] = []
    if kind not in ROOTS or not path:
        return kind, keys, False
    for step in keys_of(path):
        key, brackets, _ = step.partition("[]")
        if not key or NO_KEY.fullmatch(key):
            return kind, keys, False
        keys.append(key)
        if brackets:
            return kind, keys, False
    return kind, keys, not mark and "{" not in expression


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
