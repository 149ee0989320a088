"""The table of every setting, read off the classes: for `hooksift settings` and the README."""

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined


class Setting(NamedTuple):
    """One key: where it stands in `hooksift.toml`, its default as TOML, what it means."""

    section: str
    key: str
    default: str
    meaning: str


def settings_of(settings: type[BaseModel]) -> Iterator[Setting]:
    """Every key of a settings class: plain keys first, then each section with all its keys."""
    yield from _keys(settings, "", frozenset())


def _keys(model: type[BaseModel], section: str, inside: frozenset[type]) -> Iterator[Setting]:
    nested: list[tuple[type[BaseModel], str]] = []
    for key, field in model.model_fields.items():
        name = field.alias or key
        found = _section(field.annotation, f"{_inner(section)}{name}")
        if found and found[0] not in inside:
            nested.append(found)
        else:
            yield Setting(section, name, default_of(field), meaning_of(field))
    for child, title in nested:
        yield from _keys(child, title, inside | {model})


def _inner(section: str) -> str:
    """What stands before a name inside a section: `[rules]` of a list without its brackets."""
    return f"{section.strip('[]')}." if section else ""


def _section(annotation: Any, name: str) -> tuple[type[BaseModel], str] | None:
    """The model that a field holds and how its section is headed; None for a plain value."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, f"[{name}]"
    if origin is Annotated:
        return _section(arguments[0], name)
    if origin in (Union, types.UnionType):
        found = [_section(argument, name) for argument in arguments]
        return next((one for one in found if one), None)
    if origin is dict:
        return _section(arguments[1], f"{name}.NAME")
    if origin in (list, tuple) and arguments:
        held = _section(arguments[0], name)
        return (held[0], f"[[{name}]]") if held else None
    return None


def default_of(field: FieldInfo) -> str:
    """The default as TOML writes it; empty where the key must be given or has none."""
    if field.is_required():
        return "(needed)"
    value = field.get_default(call_default_factory=True, validated_data={})
    return "" if value is PydanticUndefined or value is None else as_toml(value)


def as_toml(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | Path):
        return '""' if not str(value) else f'"{value}"'
    if isinstance(value, BaseModel):
        return ""
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(as_toml(item) for item in value)}]"
    if isinstance(value, dict):
        return (
            "{}"
            if not value
            else f"{{{', '.join(f'{k} = {as_toml(v)}' for k, v in value.items())}}}"
        )
    return f"{value:g}" if isinstance(value, float) else str(value)


def meaning_of(field: FieldInfo) -> str:
    """The description, with the values that are allowed where there are few."""
    words = field.description or ""
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        allowed = ", ".join(str(value) for value in get_args(annotation))
        words = f"{words} ({allowed})" if words else allowed
    return words


def markdown(settings: type[BaseModel]) -> str:
    """The table as Markdown, a heading row for each section."""
    lines = ["| key | default | meaning |", "|---|---|---|"]
    section = ""
    for setting in settings_of(settings):
        if setting.section != section:
            section = setting.section
            lines.append(f"| **`{section}`** | | |")
        default = f"`{setting.default}`" if setting.default else ""
        lines.append(f"| `{setting.key}` | {_cell(default)} | {_cell(setting.meaning)} |")
    return "\n".join(lines) + "\n"


def _cell(words: str) -> str:
    return words.replace("|", "\\|").replace("\n", " ")
