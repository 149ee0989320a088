"""What single words say, looked into once: most say nothing, and come back in the next text.

Looking a word up costs a hundredth of looking into it. Words are what stands between spaces.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Set
from itertools import islice
from typing import Generic, TypeVar

Said = TypeVar("Said", bound=Hashable)
MOST_WORDS = 50_000  # then all are forgotten and learned again: some 5 MB
LONGEST_WORD = 40  # characters; longer ones hardly come back
LEARNED_AT_ONCE = 16  # words of a text: looking into each costs more than into all of them


def words_of(text: str) -> set[str]:
    """The words of a text, each once, in lower case."""
    return set(text.lower().split())


class Lexicon(Generic[Said]):
    """Remembers what `look` finds in words; what it finds may not lie across two of them."""

    def __init__(self, look: Callable[[str], Collection[Said]]) -> None:
        self._look = look
        self._silent: set[str] = set()
        self._telling: dict[str, Collection[Said]] = {}

    def said_by(self, words: Set[str]) -> set[Said]:
        """Everything that `look` finds in any of the words."""
        said: set[Said] = set()
        new: list[str] = []
        for word in words - self._silent:
            known = self._telling.get(word)
            if known is None:
                new.append(word)
            else:
                said.update(known)
        if new:
            found = self._look(" ".join(new))
            said.update(found)
            self._learn(new, is_silent=not found)
        return said

    def _learn(self, new: Iterable[str], *, is_silent: bool) -> None:
        if len(self._silent) + len(self._telling) > MOST_WORDS:
            self._silent, self._telling = set(), {}
        short = (word for word in new if len(word) <= LONGEST_WORD)
        if is_silent:
            self._silent.update(short)
            return
        for word in islice(short, LEARNED_AT_ONCE):
            found = self._look(word)
            if found:
                self._telling[word] = found
            else:
                self._silent.add(word)
