"""Every setting, read off the classes: for `hooksift settings` and docs/settings.md."""

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

TABLE_HEAD = ["", "| key | default | meaning |", "|---|---|---|"]


class Setting(NamedTuple):
    """One key: where it stands in `hooksift.toml`, its default as TOML, what it means."""

    section: str
    key: str
    default: str
    meaning: str

    @property
    def path(self) -> str:
        """The key with its section: `sources.NAME.secret`."""
        return f"{_inner(self.section)}{self.key}"


def settings_of(settings: type[BaseModel]) -> Iterator[Setting]:
    """Every key of a settings class: plain keys first, then each section with all its keys."""
    yield from _keys(settings, "", frozenset())


def _keys(model: type[BaseModel], section: str, inside: frozenset[type]) -> Iterator[Setting]:
    nested: list[tuple[type[BaseModel], str]] = []
    for key, field in model.model_fields.items():
        name = field.alias or key
        found = _sections(field.annotation, f"{_inner(section)}{name}")
        if found and found[0][0] not in inside:
            nested += found
        else:
            yield Setting(section, name, default_of(field), meaning_of(field))
    for child, title in nested:
        yield from _keys(child, title, inside | {model})


def _inner(section: str) -> str:
    """What stands before a name inside a section: `[rules]` of a list without its brackets."""
    return f"{section.partition(',')[0].strip('[]')}." if section else ""


def _sections(annotation: Any, name: str) -> list[tuple[type[BaseModel], str]]:
    """The models that a field may hold and how each is headed; none for a plain value."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [(annotation, f"[{name}]")]
    if origin is Annotated:
        return _sections(arguments[0], name)
    if origin in (Union, types.UnionType):
        found = [one for argument in arguments for one in _sections(argument, name)]
        return (
            found if len(found) < 2 else [(kind, title + _chosen_by(kind)) for kind, title in found]
        )
    if origin is dict:
        return _sections(arguments[1], f"{name}.NAME")
    if origin in (list, tuple) and arguments:
        return [(kind, f"[{title}]") for kind, title in _sections(arguments[0], name)]
    return []


def _chosen_by(model: type[BaseModel]) -> str:
    """The key and value that choose this model among others: `, adapter = "slack"`."""
    for key, field in model.model_fields.items():
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
            return f", {key} = {as_toml(get_args(field.annotation)[0])}"
    return ""


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


INTRODUCTION = """\
# Settings

Every key of `hooksift.toml`. Each may also be an environment variable, which wins: `port` of
`[receive]` is `HOOKSIFT_RECEIVE__PORT`. Secrets are references, `env:NAME` or `file:PATH`.
`hooksift check` says what is wrong; this page is what `hooksift settings --markdown` prints.
"""


def markdown(settings: type[BaseModel]) -> str:
    """Every setting as a Markdown page, a heading and a table for each section."""
    lines = [INTRODUCTION, "## At the top", *TABLE_HEAD]
    section = ""
    for setting in settings_of(settings):
        if setting.section != section:
            section = setting.section
            lines += ["", f"## `{section}`", *TABLE_HEAD]
        lines.append(markdown_row(setting.key, setting))
    return "\n".join(lines) + "\n"


def markdown_row(key: str, setting: Setting) -> str:
    """A setting as a row of a table, under the name that is given."""
    default = f"`{setting.default}`" if setting.default else ""
    return f"| `{key}` | {_cell(default)} | {_cell(setting.meaning)} |"


def _cell(words: str) -> str:
    return words.replace("|", "\\|").replace("\n", " ")
