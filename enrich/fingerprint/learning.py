"""What earlier lines teach about later ones: which words of a masked line are values.

A *context* is a masked line with one word taken out. When enough different words have stood in
one context, the place is a value: the context becomes a *pattern*, and later lines that fit it
share the print of the first line that did. Lines seen before keep the print they had, so a print
never changes and any prefix of a log gives the same prints.

How many words are enough depends on what they look like (see `words`): 5 identifiers, 6 names
after a word or sign that announces one, 12 plain words. Fewer (3 or 4) when every one of them is
known as a value from other patterns. Measured on public system logs: at 4 for all, states such as
"started" and "paused" were merged; at these figures, nothing was that should not be.
"""

from base64 import b32encode
from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from enrich.fingerprint.words import Candidate, candidates, is_identifier

STATE_VERSION: Final = 1
VALUE: Final = "<*>"

_LONGEST_LINE: Final = 1024
_DEEPEST: Final = 3
_ENOUGH_IDENTIFIERS: Final = 5
_ENOUGH_NAMES: Final = 6
_ENOUGH_WORDS: Final = 12
_ENOUGH_KNOWN_NAMES: Final = 3
_ENOUGH_KNOWN_WORDS: Final = 4
_VALUES_KEPT: Final = 64


class Limits(NamedTuple):
    """Most entries of each kind; the one unused longest goes first."""

    lines: int = 8192
    contexts: int = 16384
    patterns: int = 1024


@dataclass(slots=True)
class Context:
    """A place not yet known to vary: the print of its first line, and the words seen there."""

    print: str
    words: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class Pattern:
    """A place known to vary: the text with `<*>` in it, the print its lines share, some values."""

    print: str
    text: str
    values: dict[str, None]


class Learned(NamedTuple):
    """What a line turned out to be: its print, and its text with every known value taken out."""

    print: str
    text: str


class Learner:
    """The learned state of one source. Not thread-safe; bounded by `Limits`."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        # A line's entry is None where it stands for itself, which is most of them.
        self._lines: OrderedDict[str, Learned | None] = OrderedDict()
        self._contexts: OrderedDict[str, Context] = OrderedDict()
        self._patterns: OrderedDict[str, Pattern] = OrderedDict()
        self._known: Counter[str] = Counter()

    def learn(self, masked: str) -> Learned:
        """The print and text of a masked line; learns from it when it is the first of its kind."""
        own = print_of(masked)
        return self._resolve(own, Learned(own, masked), 0)

    def patterns(self) -> list[Pattern]:
        """Everything known to vary, the longest unused first."""
        return list(self._patterns.values())

    def forget(self, print_: str) -> int:
        """Drops whatever leads to this print and returns how many entries that were."""
        lines = [
            key for key, line in self._lines.items() if (line.print if line else key) == print_
        ]
        contexts = [key for key, context in self._contexts.items() if context.print == print_]
        patterns = [key for key, pattern in self._patterns.items() if pattern.print == print_]
        for key in lines:
            del self._lines[key]
        for key in contexts:
            del self._contexts[key]
        for key in patterns:
            self._drop_pattern(key)
        return len(lines) + len(contexts) + len(patterns)

    def _resolve(self, key: str, line: Learned, depth: int) -> Learned:
        if key in self._lines:
            self._lines.move_to_end(key)
            return self._lines[key] or line
        result = self._first_sight(line, depth)
        self._lines[key] = None if result == line and line.print == key else result
        if len(self._lines) > self._limits.lines:
            self._lines.popitem(last=False)
        return result

    def _first_sight(self, line: Learned, depth: int) -> Learned:
        if len(line.text) > _LONGEST_LINE or depth > _DEEPEST:
            return line
        places = [(_context_key(line.text, place), place) for place in candidates(line.text)]
        for key, place in places:
            pattern = self._patterns.get(key)
            if pattern is not None:
                self._patterns.move_to_end(key)
                self._keep_value(pattern, place.word)
                return self._general(pattern, depth)
        for key, place in places:
            context = self._add_word(key, place, line.print)
            if self._is_value(context.words, place):
                return self._general(self._add_pattern(key, context, line.text, place), depth)
        return line

    def _general(self, pattern: Pattern, depth: int) -> Learned:
        """A pattern's text is a line in its turn, so that a second value in it can be learned."""
        line = Learned(pattern.print, pattern.text)
        return self._resolve(print_of(pattern.text), line, depth + 1)

    def _add_word(self, key: str, place: Candidate, print_: str) -> Context:
        context = self._contexts.get(key)
        if context is None:
            context = self._contexts[key] = Context(print_)
            if len(self._contexts) > self._limits.contexts:
                self._contexts.popitem(last=False)
        else:
            self._contexts.move_to_end(key)
        context.words[place.word] = None
        return context

    def _is_value(self, words: Collection[str], place: Candidate) -> bool:
        if all(word in self._known for word in words) and len(words) >= (
            _ENOUGH_KNOWN_NAMES if place.introduced else _ENOUGH_KNOWN_WORDS
        ):
            return True
        if all(is_identifier(word) for word in words):
            return len(words) >= _ENOUGH_IDENTIFIERS
        return len(words) >= (_ENOUGH_NAMES if place.introduced else _ENOUGH_WORDS)

    def _add_pattern(self, key: str, context: Context, text: str, place: Candidate) -> Pattern:
        del self._contexts[key]
        general = text[: place.start] + VALUE + text[place.end :]
        pattern = self._patterns[key] = Pattern(context.print, general, dict(context.words))
        self._known.update(tuple(pattern.values))
        if len(self._patterns) > self._limits.patterns:
            self._drop_pattern(next(iter(self._patterns)))
        return pattern

    def _keep_value(self, pattern: Pattern, word: str) -> None:
        if word not in pattern.values and len(pattern.values) < _VALUES_KEPT:
            pattern.values[word] = None
            self._known[word] += 1

    def _drop_pattern(self, key: str) -> None:
        self._known.subtract(tuple(self._patterns.pop(key).values))
        self._known = +self._known

    def to_state(self) -> dict[str, Any]:
        """Everything learned as plain JSON values, at most a few megabytes."""
        return {
            "version": STATE_VERSION,
            "lines": [[key, *(line or ())] for key, line in self._lines.items()],
            "contexts": [[key, c.print, *c.words] for key, c in self._contexts.items()],
            "patterns": [[key, p.print, p.text, *p.values] for key, p in self._patterns.items()],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], limits: Limits | None = None) -> "Learner":
        """The learner that `to_state` described.

        Raises:
            FingerprintStateError: the state is of another version or not of this form.
        """
        learner = cls(limits)
        if state.get("version") != STATE_VERSION:
            raise FingerprintStateError(
                f"fingerprint state has version {state.get('version')!r}; "
                f"this program reads {STATE_VERSION}: forget it and learn anew"
            )
        try:
            learner._load(state)
        except (KeyError, TypeError, ValueError) as error:
            raise FingerprintStateError(
                "fingerprint state is damaged: forget it and learn anew"
            ) from error
        return learner

    def _load(self, state: Mapping[str, Any]) -> None:
        for key, *line in state["lines"]:
            self._lines[key] = Learned(*line) if line else None
        for key, print_, *words in state["contexts"]:
            self._contexts[key] = Context(print_, dict.fromkeys(words))
        for key, print_, text, *values in state["patterns"]:
            self._patterns[key] = Pattern(print_, text, dict.fromkeys(values))
            self._known.update(tuple(self._patterns[key].values))


class FingerprintStateError(ValueError):
    """A stored state that cannot be read; the way out is an empty one."""


def print_of(masked: str) -> str:
    """80 bits of BLAKE2b over the masked text, as 16 lower-case base32 characters."""
    digest = blake2b(masked.encode("utf-8", "surrogatepass"), digest_size=10).digest()
    return b32encode(digest).decode("ascii").lower()


def _context_key(text: str, place: Candidate) -> str:
    around = f"{text[: place.start]}\0{text[place.end :]}"
    digest = blake2b(around.encode("utf-8", "surrogatepass"), digest_size=10)
    return b32encode(digest.digest()).decode("ascii").lower()
