"""What earlier lines teach about later ones: which words of a masked line are values.

A *context* is a masked line with one word taken out, or two where both look like names. When
enough different words have stood in each of its places, they are values: the context becomes a
*pattern*, and later lines that fit it share the print of the first line that did. Lines seen
before keep the print they had, so a print never changes and any prefix of a log gives the same
prints.

How many words are enough depends on what speaks for a value (see `words`): 3 people's names, 5
identifiers, 6 other names, 12 plain words; one or more fewer when every one of them is known as a
value from other patterns. Splitting one error costs one more enrichment, merging two gives one of
them a wrong one, so the figures lean far to the safe side: on sixteen public system logs nothing
was merged, while 4 for all merged states such as "started" and "paused".
"""

from base64 import b32encode, b64encode
from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, combinations
from typing import Any, Final, NamedTuple

from enrich.fingerprint.words import VALUE, Candidate, Kind, candidates, is_identifier

STATE_VERSION: Final = 1
_LONGEST_LINE: Final = 1024
_DEEPEST: Final = 3
_ENOUGH_IDENTIFIERS: Final = 5
_ENOUGH: Final = {Kind.PERSON: 3, Kind.NAME: 6, Kind.PLAIN: 12}
_ENOUGH_KNOWN: Final = {Kind.PERSON: 2, Kind.NAME: 3, Kind.PLAIN: 4}
_MOST_NEEDED: Final = max(_ENOUGH.values())
_VALUES_KEPT: Final = 64
_MOST_PAIRED: Final = 5
_GAP: Final = "\0"  # where a word was taken out of a line

Holes = tuple[Candidate, ...]


class Limits(NamedTuple):
    """Most entries of each kind; the one unused longest goes first."""

    lines: int = 8192
    contexts: int = 16384
    patterns: int = 1024


@dataclass(slots=True)
class Context:
    """Places not yet known to vary: the print of the first line, and the words seen in each."""

    print: str
    marks: list[dict[str, None]]


@dataclass(slots=True)
class Pattern:
    """Places known to vary: the print their lines share, and the text with `<*>` in them."""

    print: str
    text: str
    marks: list[dict[str, None]]

    @property
    def value_counts(self) -> list[int]:
        """Different values seen in each place, counted up to 64."""
        return [len(marks) for marks in self.marks]


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
        self._shrink()
        return result

    def _first_sight(self, line: Learned, depth: int) -> Learned:
        if len(line.text) > _LONGEST_LINE or depth > _DEEPEST or _GAP in line.text:
            return line
        found = [(_context_key(line.text, holes), holes) for holes in _holes(line.text)]
        for key, holes in found:
            pattern = self._patterns.get(key)
            if pattern is not None:
                self._patterns.move_to_end(key)
                self._keep_values(pattern, holes)
                return self._general(pattern, depth)
        for key, holes in found:
            if any(hole.kind is Kind.NUMBER for hole in holes):
                continue
            context = self._add_words(key, holes, line.print)
            if all(map(self._is_value, context.marks, holes)):
                return self._general(self._add_pattern(key, context, line.text, holes), depth)
        return line

    def _general(self, pattern: Pattern, depth: int) -> Learned:
        """A pattern's text is a line in its turn, so that a second value in it can be learned."""
        line = Learned(pattern.print, pattern.text)
        return self._resolve(print_of(pattern.text), line, depth + 1)

    def _add_words(self, key: str, holes: Holes, print_: str) -> Context:
        context = self._contexts.get(key)
        if context is None:
            context = self._contexts[key] = Context(print_, [{} for _ in holes])
            self._shrink()
        else:
            self._contexts.move_to_end(key)
        for marks, hole in zip(context.marks, holes, strict=True):
            if len(marks) < _MOST_NEEDED:
                marks[_mark(hole.word)] = None
        return context

    def _is_value(self, marks: Collection[str], hole: Candidate) -> bool:
        """Whether the words seen at one place prove that it is a value."""
        if all(mark in self._known for mark in marks):
            return len(marks) >= _ENOUGH_KNOWN[hole.kind]
        enough = _ENOUGH[hole.kind]
        if all(mark[0] == "i" for mark in marks):
            enough = min(enough, _ENOUGH_IDENTIFIERS)
        return len(marks) >= enough

    def _add_pattern(self, key: str, context: Context, text: str, holes: Holes) -> Pattern:
        del self._contexts[key]
        pattern = Pattern(context.print, VALUE.join(_around(text, holes)), context.marks)
        self._patterns[key] = pattern
        self._known.update(chain.from_iterable(pattern.marks))
        self._shrink()
        return pattern

    def _keep_values(self, pattern: Pattern, holes: Holes) -> None:
        for marks, hole in zip(pattern.marks, holes, strict=True):
            mark = _mark(hole.word)
            if hole.kind is not Kind.NUMBER and mark not in marks and len(marks) < _VALUES_KEPT:
                marks[mark] = None
                self._known[mark] += 1

    def _drop_pattern(self, key: str) -> None:
        for mark in chain.from_iterable(self._patterns.pop(key).marks):
            self._known[mark] -= 1
            if not self._known[mark]:
                del self._known[mark]

    def to_state(self) -> dict[str, Any]:
        """Everything learned as plain JSON values, usually under 100 kB, at most a few MB."""
        return {
            "version": STATE_VERSION,
            "lines": [[key, *(line or ())] for key, line in self._lines.items()],
            "contexts": [[key, c.print, *map(list, c.marks)] for key, c in self._contexts.items()],
            "patterns": [
                [key, p.print, p.text, *map(list, p.marks)] for key, p in self._patterns.items()
            ],
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

    def adopt(self, other: "Learner") -> None:
        """Learn what `other` knows. Where the two differ, the other's word counts from now on."""
        self._lines.update(other._lines)
        for key, context in other._contexts.items():
            mine = self._contexts.get(key)
            marks = _joined(context.marks, mine.marks, _MOST_NEEDED) if mine else context.marks
            self._contexts[key] = Context(context.print, marks)
        for key, pattern in other._patterns.items():
            known = self._patterns.get(key)
            marks = _joined(pattern.marks, known.marks, _VALUES_KEPT) if known else pattern.marks
            self._patterns[key] = Pattern(pattern.print, pattern.text, marks)
        for key in self._contexts.keys() & self._patterns.keys():
            del self._contexts[key]  # proved by one of the two
        self._known = Counter(mark for p in self._patterns.values() for m in p.marks for mark in m)
        self._shrink()

    def _shrink(self) -> None:
        for kept, limit in (
            (self._lines, self._limits.lines),
            (self._contexts, self._limits.contexts),
        ):
            while len(kept) > limit:
                kept.popitem(last=False)
        while len(self._patterns) > self._limits.patterns:
            self._drop_pattern(next(iter(self._patterns)))

    def _load(self, state: Mapping[str, Any]) -> None:
        for key, *line in state["lines"]:
            self._lines[key] = Learned(*line) if line else None
        for key, print_, *marks in state["contexts"]:
            self._contexts[key] = Context(print_, [dict.fromkeys(m) for m in marks])
        for key, print_, text, *marks in state["patterns"]:
            self._patterns[key] = Pattern(print_, text, [dict.fromkeys(m) for m in marks])
            self._known.update(chain.from_iterable(self._patterns[key].marks))


class FingerprintStateError(ValueError):
    """A stored state that cannot be read; the way out is an empty one."""


def print_of(masked: str) -> str:
    """80 bits of BLAKE2b over the masked text, as 16 lower-case base32 characters."""
    digest = blake2b(masked.encode("utf-8", "surrogatepass"), digest_size=10).digest()
    return b32encode(digest).decode("ascii").lower()


def _holes(text: str) -> list[Holes]:
    """What may be a value: every candidate by itself, then pairs of those that look like names."""
    singles = candidates(text)
    names = [one for one in singles if one.kind is not Kind.PLAIN or is_identifier(one.word)]
    pairs = combinations([name for name in names if name.spare][:_MOST_PAIRED], 2)
    return [*((one,) for one in singles), *pairs]


def _around(text: str, holes: Holes) -> list[str]:
    ends = [0, *(hole.end for hole in holes)]
    starts = [*(hole.start for hole in holes), len(text)]
    return [text[end:start] for end, start in zip(ends, starts, strict=True)]


def _joined(
    marks: list[dict[str, None]], more: list[dict[str, None]], limit: int
) -> list[dict[str, None]]:
    """The marks of each place in both lists, so many at most."""
    return [dict.fromkeys([*a, *b][:limit]) for a, b in zip(marks, more, strict=True)]


def _context_key(text: str, holes: Holes) -> str:
    return _short(_GAP.join(_around(text, holes)))


def _mark(word: str) -> str:
    """Stands for a word in the state, which so holds no names: its kind and 72 bits of a hash."""
    return ("i" if is_identifier(word) else "w") + _short(word)


def _short(text: str) -> str:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=9).digest()
    return b64encode(digest).decode("ascii")
