"""What is wrong with hooksift.toml and the environment, named as the person wrote it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from service.nearest import nearest
from service.settings_table import settings_of

PREFIX = "HOOKSIFT_"
NO_SETTINGS = ("HOOKSIFT_CONFIG", "HOOKSIFT_HISTORY_PATH")
OF_TESTS = "HOOKSIFT_TEST_"
# A wrong value under a key of these may hold a secret: a target's URL and headers often do.
NEVER_SHOWN = ("secret", "token", "key", "password", "targets", "store", "catalog")

Location = Sequence[str | int]


def lines(
    error: ValidationError,
    kind: type[BaseModel],
    file: str,
    written: Mapping[str, Any],
    environment: Mapping[str, str],
) -> Iterator[str]:
    """A line for each: file or variable, key, what is wrong, the value where it is no secret.

    `written` is what the file says.
    """
    for detail in error.errors(include_url=False):
        location, value = detail["loc"], detail.get("input")
        key = spoken(location, written)
        # A whole table (of a missing key, say) may hold a secret anywhere.
        hidden = isinstance(value, dict | list) or any(word in key for word in NEVER_SHOWN)
        shown = "" if hidden else f" (got {str(value)[:60]!r})"
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            meant = nearest(str(location[-1]), keys_at(kind, location[:-1]))
            message, shown = f"no such key; {meant or 'see `hooksift settings`'}", ""
        elif detail["type"] == "union_tag_invalid":
            message, shown = no_such_kind(detail["ctx"]), ""
        yield f"{variable_of(location, environment) or file}: {key}: {message}{shown}"


def no_such_kind(context: Mapping[str, str]) -> str:
    """What is said of a section whose kind (a target's adapter, say) is not known."""
    key, known = (context[name].replace("'", "") for name in ("discriminator", "expected_tags"))
    meant = nearest(context["tag"], known.split(", ")) or f"known are {known}"
    return f"no such {key} {context['tag']!r}; {meant}"


def spoken(location: Location, written: Mapping[str, Any]) -> str:
    """The key, with entries of lists by their names: `rules.page.when`, not `rules.0.when`."""
    steps: list[str] = []
    at: Any = written
    for step in location:
        try:
            at = at[step]
        except (KeyError, IndexError, TypeError):
            at = None
        name = at.get("name") if isinstance(step, int) and isinstance(at, dict) else None
        steps.append(str(name or step))
    return ".".join(steps)


def variable_of(location: Location, environment: Mapping[str, str]) -> str:
    """The variable that holds the key, or a section around it; empty where none does."""
    names = {name.upper(): name for name in environment}
    for end in range(len(location), 0, -1):
        variable = PREFIX + "__".join(str(step) for step in location[:end]).upper()
        if variable in names:
            return names[variable]
    return ""


def keys_at(kind: type[BaseModel], location: Location) -> set[str]:
    """The keys that may stand in the section at that place."""
    parent = [str(step) for step in location if isinstance(step, str)]
    found = set()
    for setting in settings_of(kind):
        title, _, chosen = setting.section.partition(", ")
        steps = [step for step in title.strip("[]").split(".") if step]
        steps += [chosen.partition(" = ")[2].strip('"')] if chosen else []  # as pydantic puts it
        steps.append(setting.key)
        around = zip(steps, parent, strict=False)
        if len(steps) > len(parent) and all(step in ("NAME", given) for step, given in around):
            found.add(steps[len(parent)])
    return found


def ignored_variables(
    kind: type[BaseModel], used: str, environment: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Variables that look like settings and are none, and which was probably meant.

    `used`: the settings as JSON, which may name variables of their own as env:NAME.
    """
    fields = [field.upper() for field in kind.model_fields]
    for name in environment:
        section = name.upper().removeprefix(PREFIX).partition("__")[0]
        ours = name in NO_SETTINGS or name.startswith(OF_TESTS) or f'"env:{name}"' in used
        if name.upper().startswith(PREFIX) and section not in fields and not ours:
            yield name, nearest(section, fields) or "unset it, or see `hooksift settings`"
