"""What a source's events may be called: categories, tags, severities, and what counts as noise.

Two are built in (`support`, `errors`), as data in `enrich/taxonomies/`. A taxonomy in the settings
stands alone or extends one of them. `version` is the hash of everything that a model is shown, so
that a change of words is a change of version.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any, TypeVar

from service.errors import SettingsError

BUILT_IN = ("support", "errors")
SENTIMENTS = ("negative", "neutral", "positive")
UNDETERMINED = "und"  # ISO 639-2 for "no language can be named"


@dataclass(frozen=True, slots=True)
class Category:
    """What an event is about. Exactly one belongs to each event."""

    name: str
    description: str
    examples: tuple[str, ...] = ()
    noise: bool = False
    words: tuple[str, ...] = ()
    """Words and phrases the stub looks for; `*` at the end stands for any ending."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A property an event may have besides its category."""

    name: str
    description: str
    examples: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


Named = TypeVar("Named", Category, Tag)


@dataclass(frozen=True, slots=True)
class Severity:
    """How bad it is. A taxonomy lists them from mildest to worst."""

    name: str
    description: str


@dataclass(frozen=True)
class Taxonomy:
    """Everything an enrichment may say about an event, and nothing else."""

    name: str
    title: str
    categories: tuple[Category, ...]
    tags: tuple[Tag, ...]
    severities: tuple[Severity, ...]
    max_tags: int = 5

    @cached_property
    def category_names(self) -> tuple[str, ...]:
        return tuple(category.name for category in self.categories)

    @cached_property
    def tag_names(self) -> tuple[str, ...]:
        return tuple(tag.name for tag in self.tags)

    @cached_property
    def severity_names(self) -> tuple[str, ...]:
        return tuple(severity.name for severity in self.severities)

    @cached_property
    def noise_names(self) -> frozenset[str]:
        """Categories that need nobody's attention."""
        return frozenset(category.name for category in self.categories if category.noise)

    @cached_property
    def other(self) -> str:
        """What an event is when nothing fits: the category named so, else the last one."""
        return "other" if "other" in self.category_names else self.category_names[-1]

    @cached_property
    def version(self) -> str:
        """Twelve hex digits over all that a model is shown. The stub's words are not part of it."""
        shown = [
            self.title,
            [[c.name, c.description, c.examples, c.noise] for c in self.categories],
            [[t.name, t.description, t.examples] for t in self.tags],
            [[s.name, s.description] for s in self.severities],
            self.max_tags,
        ]
        return content_hash(shown)


def content_hash(value: object) -> str:
    """Twelve hex digits that change with the content and with nothing else."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def built_in_taxonomy(name: str) -> Taxonomy:
    """Read one of the built-in taxonomies from its data file."""
    if name not in BUILT_IN:
        raise SettingsError(f"no built-in taxonomy {name!r}; there are {', '.join(BUILT_IN)}")
    text = (files("enrich") / "taxonomies" / f"{name}.toml").read_text(encoding="utf-8")
    return taxonomy_from(name, tomllib.loads(text))


def taxonomy_from(name: str, data: Mapping[str, Any], base: Taxonomy | None = None) -> Taxonomy:
    """Build a taxonomy from plain data; with `base`, same-named entries replace the base's."""
    start = base or Taxonomy(name, "", (), (), ())
    return Taxonomy(
        name=name,
        title=data.get("title") or start.title or f"events of kind {name}",
        categories=_merge(start.categories, (_category(c) for c in data.get("categories", ()))),
        tags=_merge(start.tags, (_tag(t) for t in data.get("tags", ()))),
        severities=tuple(
            Severity(s["name"], s.get("description", "")) for s in data.get("severities", ())
        )
        or start.severities,
        max_tags=data.get("max_tags") or start.max_tags,
    )


def taxonomy_of_labels(name: str, labels: Iterable[str]) -> Taxonomy:
    """A taxonomy of bare category names, for labelled files with categories of their own."""
    support = built_in_taxonomy("support")
    return Taxonomy(
        name=name,
        title=f"texts labelled in {name}",
        categories=tuple(Category(label, label.replace("_", " ")) for label in sorted(set(labels))),
        tags=(),
        severities=support.severities,
    )


def _merge(old: tuple[Named, ...], new: Iterable[Named]) -> tuple[Named, ...]:
    merged = {item.name: item for item in old}
    added = list(new)
    for item in added:
        merged[item.name] = item
    if "other" in merged and added:  # stays last: ties and the unknown end there
        merged["other"] = merged.pop("other")
    return tuple(merged.values())


def _category(data: Mapping[str, Any]) -> Category:
    return Category(
        data["name"],
        data.get("description", ""),
        tuple(data.get("examples", ())),
        bool(data.get("noise", False)),
        tuple(data.get("words", ())),
    )


def _tag(data: Mapping[str, Any]) -> Tag:
    return Tag(
        data["name"],
        data.get("description", ""),
        tuple(data.get("examples", ())),
        tuple(data.get("words", ())),
    )
