"""What a text may say besides its plain reading: decoded, unescaped, in plain letters.

Each reading is tried only where the text shows a sign of it; most texts have none.
"""

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote_plus

INVISIBLE = re.compile(
    "[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff\u00ad\U000e0000-\U000e007f]"
)
IN_TAGS = re.compile("[\U000e0020-\U000e007e]{4,}")  # letters that no screen shows
BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{24,4000}={0,2}(?![A-Za-z0-9+/=_-])")
LONG_RUN = re.compile(r"[A-Za-z0-9+/_-]{16}")
WRAPPED = re.compile(r"(?<=[A-Za-z0-9+/]{16})\r?\n(?=[A-Za-z0-9+/]{2,}={0,2}(?:\s|$))")
HEX = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{2}){12,2000}(?![0-9A-Za-z])")
ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
SPACED = re.compile(r"\b(?:\w[ .\-_*]){4,}\w\b")
LEETED = re.compile("[A-Za-z][013457@$][A-Za-z]")  # `1gn0re`, not `v2` or `404`
LEET = str.maketrans("013457@$", "oieastas")
HOMOGLYPHS = str.maketrans(
    "аеорсухіѕјԁɡᴏοαεικυνΑΒΕΗΙΚΜΝΟΡΤΧАВЕКМНОРСТХ",
    "aeopcyxisjdgooaeikuvABEHIKMNOPTXABEKMHOPCTX",
)
TELLING = ("instruct", "prompt", "ignor", "system", "rules")
ROTATED = tuple(codecs.encode(word, "rot13") for word in TELLING)
REVERSED = tuple(word[::-1] for word in TELLING)


def other_readings(text: str) -> Iterator[str]:
    """The text as a model may read it where it is disguised."""
    plain = text
    if not text.isascii():
        for match in IN_TAGS.finditer(text):
            yield "".join(chr(ord(char) - 0xE0000) for char in match[0])
        plain = unicodedata.normalize("NFKC", INVISIBLE.sub("", text)).translate(HOMOGLYPHS)
        if plain != text:
            yield plain
        bare = unicodedata.normalize("NFKD", plain)
        bare = "".join(char for char in bare if not unicodedata.combining(char))
        if bare != plain:
            yield bare
    yield from _decoded(plain)
    yield from _unescaped(plain)
    yield from _spelt_otherwise(plain)


def _spelt_otherwise(text: str) -> Iterator[str]:
    if LEETED.search(text):
        yield text.translate(LEET)
    if SPACED.search(text):
        yield SPACED.sub(lambda m: re.sub(r"[ .\-_*]", "", m[0]) + " ", text)
    lowered = text.lower()
    if any(word in lowered for word in ROTATED):
        yield codecs.decode(text, "rot13")
    if any(word in lowered for word in REVERSED):
        yield text[::-1]


def _unescaped(text: str) -> Iterator[str]:
    if "&#" in text or "&lt;" in text:
        yield html.unescape(text)
    if text.count("%") > 2 or text.count("+") > 2:
        yield unquote_plus(text)
    if "\\u" in text or "\\x" in text:
        yield ESCAPED.sub(lambda m: chr(int(m[1] or m[2], 16)), text)


def _decoded(text: str, depth: int = 2) -> Iterator[str]:
    """Texts in base64, also in base64 themselves, and in hex."""
    if LONG_RUN.search(text) is None:
        return
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
