"""What a text may say besides its plain reading: decoded, unescaped, in plain letters.

Each reading is tried only where the text shows a sign of it; most texts have none.
"""

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Iterator, Set
from urllib.parse import unquote_plus

from enrich.lexicon import Lexicon, words_of

FOREIGN = re.compile(r"[^\x00-\x7f]+")
INVISIBLE = re.compile(
    "[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff\u00ad\U000e0000-\U000e007f]"
)
IN_TAGS = re.compile("[\U000e0020-\U000e007e]{4,}")  # letters that no screen shows
BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{24,4000}={0,2}(?![A-Za-z0-9+/=_-])")
WRAPPED = re.compile(r"(?<=[A-Za-z0-9+/]{16})\r?\n(?=[A-Za-z0-9+/]{2,}={0,2}(?:\s|$))")
HEX = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{2}){12,2000}(?![0-9A-Za-z])")
ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
SPACED = re.compile(r"\b(?:\w[ .\-_*]){4,}\w\b")
LETTERS_ALONE = 3  # different ones: `a` and `I` stand in many texts, an instruction has more
LEETED = re.compile("[A-Za-z][013457@$][A-Za-z]")  # `1gn0re`, not `v2` or `404`
LEET = str.maketrans("013457@$", "oieastas")
HOMOGLYPHS = str.maketrans(
    "аеорсухіѕјԁɡᴏοαεικυνΑΒΕΗΙΚΜΝΟΡΤΧАВЕКМНОРСТХ",
    "aeopcyxisjdgooaeikuvABEHIKMNOPTXABEKMHOPCTX",
)
TELLING = ("instruct", "prompt", "ignor", "system", "rules")
WITHIN = {  # what may hide within one word in lower case
    "leeted": re.compile("[a-z][013457@$][a-z]"),
    "encoded": re.compile("[a-z0-9+/_-]{16}"),
    "rotated": re.compile("|".join(codecs.encode(word, "rot13") for word in TELLING)),
    "reversed": re.compile("|".join(word[::-1] for word in TELLING)),
    "entity": re.compile("&#|&lt;"),
    "quoted": re.compile("[%+]"),
    "escaped": re.compile(r"\\[ux]"),
}
LETTER_ALONE = re.compile(r"(?<![^\s.\-_*])\w(?![^\s.\-_*])")


def _hidden_in(lowered: str) -> list[str]:
    """Names of WITHIN, and each letter that stands alone."""
    names = [name for name, pattern in WITHIN.items() if pattern.search(lowered)]
    return names + LETTER_ALONE.findall(lowered)


lexicon = Lexicon(_hidden_in)


def other_readings(text: str, words: Set[str]) -> Iterator[str]:
    """The text as a model may read it where it is disguised. `words`: its words_of."""
    plain = text
    if not text.isascii():
        for match in IN_TAGS.finditer(text):
            yield "".join(chr(ord(char) - 0xE0000) for char in match[0])
        plain = unicodedata.normalize("NFKC", INVISIBLE.sub("", text))
        plain = FOREIGN.sub(lambda run: run[0].translate(HOMOGLYPHS), plain)
        if plain != text:
            words = words_of(plain)
            yield plain
        bare = FOREIGN.sub(_without_marks, unicodedata.normalize("NFKD", plain))
        if bare != plain:
            yield bare
    hidden = lexicon.said_by(words)
    if "encoded" in hidden:
        yield from _decoded(plain)
    yield from _unescaped(plain, hidden)
    if "leeted" in hidden and LEETED.search(plain):
        yield plain.translate(LEET)
    if sum(len(name) == 1 for name in hidden) >= LETTERS_ALONE and SPACED.search(plain):
        yield SPACED.sub(lambda m: re.sub(r"[ .\-_*]", "", m[0]) + " ", plain)
    if "rotated" in hidden:
        yield codecs.decode(plain, "rot13")
    if "reversed" in hidden:
        yield plain[::-1]


def _without_marks(run: re.Match[str]) -> str:
    return "".join(char for char in run[0] if not unicodedata.combining(char))


def _unescaped(text: str, hidden: Set[str]) -> Iterator[str]:
    if "entity" in hidden:
        yield html.unescape(text)
    if "quoted" in hidden and (text.count("%") > 2 or text.count("+") > 2):
        yield unquote_plus(text)
    if "escaped" in hidden:
        yield ESCAPED.sub(lambda m: chr(int(m[1] or m[2], 16)), text)


def _decoded(text: str, depth: int = 2) -> Iterator[str]:
    """Texts in base64, also in base64 themselves, and in hex."""
    for match in BASE64.finditer(WRAPPED.sub("", text)):
        run = match[0].rstrip("=").replace("-", "+").replace("_", "/")
        try:
            said = base64.b64decode(run + "=" * (-len(run) % 4), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            continue
        yield said
        if depth > 1:
            yield from _decoded(said, depth - 1)
    for match in HEX.finditer(text):
        try:
            yield bytes.fromhex(match[0]).decode("utf-8")
        except UnicodeDecodeError:
            continue
