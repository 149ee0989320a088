"""What `hooksift check` finds in rules: values that no event can ever have."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from enrich.actions.settings import Conditions, RuleSettings
from enrich.sanitise import LANGUAGE
from enrich.taxonomy import SENTIMENTS, UNDETERMINED, Taxonomy
from service.checking import Problem
from service.nearest import nearest


def problems(
    rules: Iterable[RuleSettings], sources: Collection[str], taxonomies: Mapping[str, Taxonomy]
) -> Iterator[Problem]:
    """Unknown words in `when` and `unless`. `taxonomies`: of each source whose taxonomy exists."""
    for rule in rules:
        for part, conditions in (("when", rule.when), ("unless", rule.unless)):
            if conditions is not None:
                where = f"rules.{rule.name}.{part}"
                yield from _unknown(f"{where}.source", conditions.source or (), sources)
                yield from _in_conditions(where, conditions, sources, taxonomies)


def _in_conditions(
    where: str,
    conditions: Conditions,
    sources: Collection[str],
    taxonomies: Mapping[str, Taxonomy],
) -> Iterator[Problem]:
    meant = [source for source in conditions.source or () if source in sources] or sources
    asked = [taxonomies[source] for source in meant if source in taxonomies]
    known: dict[str, Sequence[str]] = {
        "category": [name for taxonomy in asked for name in taxonomy.category_names],
        "severity": [name for taxonomy in asked for name in taxonomy.severity_names],
        "tags": [name for taxonomy in asked for name in taxonomy.tag_names],
        "sentiment": SENTIMENTS,
    }
    for key, words in known.items():
        yield from _unknown(f"{where}.{key}", getattr(conditions, key) or (), words)
    for code in conditions.language or ():
        if code != UNDETERMINED and not LANGUAGE.fullmatch(code):
            yield _never(f"{where}.language", code, "write two letters of ISO 639-1, e.g. en")


def _unknown(where: str, wanted: Sequence[str], known: Collection[str]) -> Iterator[Problem]:
    """None where nothing is known: that there is no source, or no taxonomy, is told already."""
    for word in wanted:
        if known and word not in known:
            others = f"there are {', '.join(dict.fromkeys(known))}"
            yield _never(where, word, nearest(word, known) or others)


def _never(where: str, word: str, remedy: str) -> Problem:
    return Problem("error", where, f"no event has {word!r} there: this never holds", remedy)
