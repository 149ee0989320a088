"""Which word of a masked line may turn out to be a value, and how much proof that takes.

English and the habits of log writers, not the vocabulary of any one system:

- closed classes (and, not, on, failed, true), upper-case constants (LOOKING, E_FAIL) and names
  of errors (TimeoutError) tell errors apart: they are never a value;
- what stands after `reason=` or `status:` tells them apart as well;
- what follows `user`, `=` or a quote is a name more often than a plain word of prose is;
- identifiers (dots, digits, underscores) are values more often than dictionary words are.
"""

import re
from enum import Enum
from typing import Final, NamedTuple

LONGEST_WORD: Final = 100
VALUE: Final = "<*>"
"""What stands in a text for a value that was learned."""
_MOST_WORDS: Final = 40
_LEAST_CONTEXT: Final = 3
_LEAST_CONTEXT_OF_FIRST: Final = 5  # a line's first word mostly says what the line is

_QUOTED = r"""(?<![A-Za-z0-9])(?:"[^"]{1,98}"|'[^']{1,98}'|`[^`']{1,97}['`])(?![A-Za-z0-9])"""
_TOKEN = re.compile(rf"{_QUOTED}|(?:[^\s\"'()\[\]{{}}<>,;=|:]|<[a-z*]{{1,5}}>)+")
_PLACEHOLDER = re.compile(r"<(?:n|host|path|url|email|\*)>")
_PROGRAM = re.compile(r"[\w.<>+-]{1,60}\.(?:exe|bin|jar|app)", re.IGNORECASE)
_LETTERS = re.compile(r"[A-Za-z]{2}")
_ERROR_NAME = re.compile(
    r"(?:error|exception|failure|fault|timeout|warning|signal|interrupt|panic|abort)s?$",
    re.IGNORECASE,
)

_PEOPLE: Final = frozenset(("user", "username", "login", "account", "owner", "customer"))
_INTRODUCER_TEXT = """
users logname group role name named called host hostname server node domain client tenant
device service module package program process daemon driver table database topic queue bucket key
"""
_CLOSED_TEXT = """
a an the and or nor but not no yes of in on off to from by at for with without into onto over
under up down out as if is are was were be been being do does did done has have had can
could cannot may might must shall should will would than then that this these those its it
we you he she they i all any some none null nil undefined unknown true false ok okay
enable enabled enabling disable disabled disabling open opened opening close closed closing
start started starting starts stop stopped stopping stops begin began end ended ending ends
create created creating delete deleted deleting add added adding remove removed removing
enter entered entering exit exited exiting pause paused pausing resume resumed resuming
suspend suspended active inactive running idle ready pending waiting blocked normal warning
critical fatal error errors fail failed failing failure fails succeed succeeded success
successful successfully complete completed accept accepted reject rejected refuse refused
deny denied allow allowed permit permitted lost found missing valid invalid read write
send sent receive received connect connected disconnect disconnected first last before
after left right local remote primary secondary master slave leader follower online
offline available unavailable reachable unreachable full empty high low new old
"""
_TELLING_TEXT = """
code status state reason cause error type kind level severity phase result outcome action event
operation op method errno mode condition exception
"""
_INTRODUCERS: Final = frozenset(_INTRODUCER_TEXT.split())
_CLOSED: Final = frozenset(_CLOSED_TEXT.split())
_TELLING: Final = frozenset(_TELLING_TEXT.split())


class Kind(Enum):
    """What speaks for a place being a value, the strongest first."""

    NUMBER = "a placeholder stands there: it can fill a known place, and proves nothing"
    PERSON = "announced as a person: `user alice`"
    NAME = "announced by another noun, by `=` or by quotes"
    PLAIN = "a word among words"


class Candidate(NamedTuple):
    """A word that may be a value: where it stands, what speaks for it, and how many more of the
    words around it may be values too.
    """

    start: int
    end: int
    word: str
    kind: Kind
    spare: int


def candidates(masked: str) -> list[Candidate]:
    """The words of a masked line that may be values; none where too little surrounds them."""
    spans = [match.span() for match in _TOKEN.finditer(masked)]
    if len(spans) > _MOST_WORDS:
        return []
    words = [masked[start:end] for start, end in spans]
    lettered = [_LETTERS.search(_PLACEHOLDER.sub("", word)) is not None for word in words]
    around = sum(lettered) - 1
    found = []
    for index, (start, end) in enumerate(spans):
        word = words[index]
        here = around + (not lettered[index])
        leads = not index and not _PROGRAM.fullmatch(words[index])
        spare = here - (_LEAST_CONTEXT_OF_FIRST if leads else _LEAST_CONTEXT)
        if spare < 0:
            continue
        if not lettered[index]:
            if _PLACEHOLDER.match(word) and word != VALUE:
                found.append(Candidate(start, end, word, Kind.NUMBER, spare))
        elif may_vary(word) and (index or is_identifier(word)):
            before = words[index - 1] if index else ""
            if before.lower() in _TELLING and _says_what(masked[spans[index - 1][1] : start]):
                continue
            kind = _kind(masked, start, before)
            found.append(Candidate(start, end, word, kind, spare))
    return found


def _says_what(gap: str) -> bool:
    """Whether what stands between two words makes the second the first one's value."""
    return "=" in gap or ":" in gap


def may_vary(word: str) -> bool:
    """False for words that tell errors apart."""
    if len(word) > LONGEST_WORD:
        return False
    bare = _PLACEHOLDER.sub("", word).strip("\"'`.!?-_*")
    return not (bare.isupper() or bare.lower() in _CLOSED or _ERROR_NAME.search(bare))


def is_identifier(word: str) -> bool:
    """True for words with digits, dots or underscores in them; quoted text is none."""
    return word[0] not in "\"'`" and not word.replace("-", "").rstrip(".!?").isalpha()


def _kind(masked: str, start: int, before: str) -> Kind:
    if masked[start] in "\"'`" or (start and masked[start - 1] in "\"'`=@"):
        return Kind.NAME
    noun = before.lower()
    if noun in _PEOPLE and masked[start - 1] == " ":
        return Kind.PERSON
    return Kind.NAME if noun in _INTRODUCERS or noun in _PEOPLE else Kind.PLAIN
