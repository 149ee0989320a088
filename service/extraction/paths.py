"""Dotted paths into parsed bodies: `a.b`, `a.0.b`, `a.-1`, `a[].b` for every element, `a.*.b`.

A dot that belongs to a key is written `\\.`.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

DOT = re.compile(r"(?<!\\)\.")


def keys_of(path: str) -> list[str]:
    """The keys along a path."""
    return [key.replace("\\.", ".") for key in DOT.split(path)]


def compile_path(path: str) -> Callable[[Any], Any]:
    """A function that walks a parsed body; None where the path leads nowhere."""
    if not path:
        return lambda value: value
    head, brackets, rest = path.partition("[]")
    if brackets:
        return _over_each(head, rest.removeprefix("."))
    written = DOT.split(path)
    if "*" in written:
        return _through_first(written)
    keys = keys_of(path)
    if len(keys) == 1 and not _is_index(path):
        (only,) = keys
        return lambda value: value.get(only) if type(value) is dict else None
    if len(keys) == 2 and not any(map(_is_index, keys)):
        return _through_two(*keys)
    steps = [(key, int(key) if _is_index(key) else None) for key in keys]

    def walk(value: Any) -> Any:
        for key, index in steps:
            if type(value) is dict:
                value = value.get(key)
            elif index is not None and type(value) is list and -len(value) <= index < len(value):
                value = value[index]
            else:
                return None
        return value

    return walk


def _is_index(key: str) -> bool:
    return key.removeprefix("-").isdecimal() and len(key) < 8


def _through_two(first: str, second: str) -> Callable[[Any], Any]:
    """`a.b`, the commonest path, without a loop."""

    def walk(value: Any) -> Any:
        inner = value.get(first) if type(value) is dict else None
        return inner.get(second) if type(inner) is dict else None

    return walk


def _through_first(written: Sequence[str]) -> Callable[[Any], Any]:
    """`a.*.b`: through the first object in a, whatever its name."""
    place = written.index("*")
    to_object, rest = (
        compile_path(".".join(written[:place])),
        compile_path(".".join(written[place + 1 :])),
    )

    def walk(value: Any) -> Any:
        found = to_object(value)
        if type(found) is not dict:
            return None
        return rest(next((inner for inner in found.values() if type(inner) is dict), None))

    return walk


def _over_each(head: str, rest: str) -> Callable[[Any], Any]:
    to_list, to_value = compile_path(head), compile_path(rest)

    def collect(value: Any) -> Any:
        found = to_list(value)
        if type(found) is not list:
            return None
        values = [to_value(element) for element in found]
        return [value for value in values if value is not None] or None

    return collect
