"""A taxonomy's words as the stub looks for them, and how much a text speaks of each category."""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

from enrich.lexicon import LONGEST_WORD, MOST_WORDS
from enrich.taxonomy import Taxonomy, content_hash

RULES_VERSION = 1  # raise when the same event would be answered differently
NOISE_WEIGHT = 1.5
WORD = re.compile(r"[^\W_][\w'/-]*")

plain: set[str] = set()  # what stands between spaces and was found to be a word as it is


def words_in(written: set[str]) -> set[str]:
    """The words of a text, without what stands around them in what is written between spaces."""
    words = written & plain
    rest = written - words
    found = set(WORD.findall(" ".join(rest)))
    if len(plain) > MOST_WORDS:
        plain.clear()
    plain.update(word for word in rest & found if len(word) <= LONGEST_WORD)
    return words | found


class Weight(NamedTuple):
    """What a word adds to a category or tag where its phrase occurs; the empty one always does."""

    phrase: str
    name: str
    value: float


Weighed = tuple[str, tuple[Weight, ...]]
"""A word and what it adds."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A taxonomy's words, arranged for one pass over a text's words."""

    words: Mapping[str, Sequence[Weight]]
    stems: Mapping[str, Sequence[tuple[str, Weight]]]
    version: str

    def look(self, text: str) -> list[Weighed]:
        """What the words, between spaces, weigh."""
        found = ((word, self._weights(word)) for word in text.split())
        return [(word, weights) for word, weights in found if weights]

    def _weights(self, word: str) -> tuple[Weight, ...]:
        stems = self.stems.get(word[:4], ())
        endings = [weight for stem, weight in stems if word.startswith(stem)]
        return (*self.words.get(word, ()), *endings)


def build_vocabulary(taxonomy: Taxonomy) -> Vocabulary:
    """Arrange words of categories (by name) and tags (by `#name`) by their first word."""
    words: dict[str, list[Weight]] = {}
    stems: dict[str, list[tuple[str, Weight]]] = {}
    entries = [(c.name, c.words or _own_words(c.name, c.description)) for c in taxonomy.categories]
    entries += [(f"#{t.name}", t.words or _own_words(t.name, "")) for t in taxonomy.tags]
    for name, listed in entries:
        # They stand beside words of what they are no longer about.
        raised = NOISE_WEIGHT if name in taxonomy.noise_names else 1.0
        for entry in listed:
            word = entry.lower().strip()
            first = WORD.search(word)
            if first is None:
                continue
            if " " in word:
                phrase = word.rstrip("*")
                key = first[0] if not phrase.endswith(first[0]) else phrase.split(" ")[0]
                words.setdefault(key, []).append(Weight(phrase, name, 2.0 * raised))
            elif word.endswith("*"):
                stem = (word[:-1], Weight("", name, raised))
                stems.setdefault(word[:4].rstrip("*"), []).append(stem)
            else:
                words.setdefault(word, []).append(Weight("", name, raised))
    shown = [RULES_VERSION, taxonomy.version, entries]
    return Vocabulary(
        {word: _shared_out(weights) for word, weights in words.items()},
        stems,
        f"stub-{content_hash(shown)}",
    )


def _shared_out(weights: list[Weight]) -> list[Weight]:
    """A word of many categories tells little: each gets its share."""
    alone = [w for w in weights if not w.phrase and not w.name.startswith("#")]
    if len(alone) <= 2:
        return weights
    return [w._replace(value=w.value / len(alone)) if w in alone else w for w in weights]


def _own_words(name: str, description: str) -> tuple[str, ...]:
    """Words for a category whose settings list none: its name and the longer words about it."""
    spoken = name.replace("_", " ").replace("-", " ")
    longer = [w for w in WORD.findall(description.lower()) if len(w) > 4]
    return tuple(dict.fromkeys([spoken, *spoken.split(), *longer]))


def weigh(weighed: Set[Weighed], text: str, weight: float) -> dict[str, float]:
    """How much each category and tag is spoken of. Each listed word counts once."""
    scores: dict[str, float] = {}
    for _, weights in weighed:
        for phrase, name, value in weights:
            if phrase in text:
                scores[name] = scores.get(name, 0.0) + value * weight
    return scores
