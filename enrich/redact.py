"""Masking secrets and personal data before a text leaves this machine.

What is masked becomes a word in brackets, `[email]`, so that a model still sees what stood there.
Order matters: secrets first, for they may hold what looks like a phone number. Invisible
characters go and look-alike letters, digits, dashes and spaces become plain ones, so that nothing
hides behind them.
"""

import base64
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from enrich.phones import mask_phones
from enrich.sensitive import (
    A_NAME,
    ASSIGNED,
    CARD_LIKE,
    EMAILS,
    ENCODED,
    FISCAL,
    HEADERS,
    IBAN_LIKE,
    ID_NAMED,
    IN_XML,
    INSURANCE,
    ON_A_COMMAND_LINE,
    SECRETS,
    SHORT_CODES,
    SOCIAL,
    SOCIAL_NAMED,
    SPELT_EMAILS,
    TOKENS,
    URL_KEY,
    URL_LOGIN,
    is_card,
    is_iban,
)

DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-")
# Cyrillic letters that look Latin, and words that mix the two alphabets.
CYRILLIC = str.maketrans("аеорсухіјѕһԁԛԝкАВЕКМНОРСТУХІЈЅ", "aeopcyxijshdqwkABEKMHOPCTYXIJS")
MIXED = re.compile(r"\b\w*(?:[A-Za-z][\u0400-\u052f]|[\u0400-\u052f][A-Za-z])\w*")
SHORTEST_NUMBER, LONGEST_NUMBER = 13, 34  # of a card, of an account
GROUP = re.compile(r"[^\W_]+")


class Redacted(NamedTuple):
    """A text without what must not leave, and how many of each kind were masked."""

    text: str
    counts: dict[str, int]


def redact(text: str, phone_region: str = "US") -> Redacted:
    """Mask secrets, tokens, card and account numbers, e-mail addresses and phone numbers.

    Also inside base64, which is masked whole.
    """
    counts: Counter[str] = Counter()
    text = _without_disguise(text)
    text = _mask_encoded(text, phone_region, counts)
    return Redacted(_mask_all(text, phone_region, counts), dict(counts))


def _without_disguise(text: str) -> str:
    if text.isascii():
        return text
    shown = "".join(char for char in text if unicodedata.category(char) != "Cf")
    plain = unicodedata.normalize("NFKC", shown).translate(DASHES)
    return MIXED.sub(_in_one_alphabet, plain)


def _in_one_alphabet(word: re.Match[str]) -> str:
    """The word in Latin letters, if all of it looks Latin: `HTTPошибка` is no disguise."""
    latin = word[0].translate(CYRILLIC)
    return latin if latin.isascii() else word[0]


def _mask_all(text: str, region: str, counts: Counter[str]) -> str:
    text = _mask(SECRETS, "secret", text, counts)
    text = _mask(TOKENS, "token", text, counts)
    text = _mask_after(HEADERS, "token", text, counts)
    text = _mask_after(URL_KEY, "token", text, counts)
    if A_NAME.search(text):
        text = _mask_after(ASSIGNED, "secret", text, counts)
        text = _mask_after(IN_XML, "secret", text, counts)
    text = _mask_after(ON_A_COMMAND_LINE, "secret", text, counts)
    text = _mask_after(SHORT_CODES, "secret", text, counts)
    if "://" in text:
        text = _mask_after(URL_LOGIN, "secret", text, counts, "@")
    text = _mask(EMAILS, "email", text, counts)
    text = _mask(SPELT_EMAILS, "email", text, counts)
    text = _mask_numbers(CARD_LIKE, "card", text, counts, is_card)
    text = _mask_numbers(IBAN_LIKE, "iban", text, counts, is_iban)
    for pattern in (SOCIAL, INSURANCE, FISCAL):
        text = _mask(pattern, "national_id", text, counts)
    text = _mask_after(SOCIAL_NAMED, "national_id", text, counts)
    text = _mask_after(ID_NAMED, "national_id", text, counts)
    return mask_phones(text, region, counts)


def _mask(pattern: re.Pattern[str], kind: str, text: str, counts: Counter[str]) -> str:
    text, count = pattern.subn(f"[{kind}]", text)
    if count:
        counts[kind] += count
    return text


def _mask_after(
    pattern: re.Pattern[str], kind: str, text: str, counts: Counter[str], end: str = ""
) -> str:
    """Mask what follows the pattern's first group, and keep the group and an opening quote."""

    def replace(match: re.Match[str]) -> str:
        return f"{match[1]}{match.groupdict().get('quote') or ''}[{kind}]{end}"

    text, count = pattern.subn(replace, text)
    if count:
        counts[kind] += count
    return text


def _mask_numbers(
    pattern: re.Pattern[str],
    kind: str,
    text: str,
    counts: Counter[str],
    is_valid: Callable[[str], bool],
) -> str:
    """Mask the valid numbers among what looks like one: the longest run of whole groups."""

    def replace(match: re.Match[str]) -> str:
        found = match[0]
        groups = [group.span() for group in GROUP.finditer(found)]
        parts: list[str] = []
        end, first = 0, 0
        while first < len(groups):
            start = groups[first][0]
            last = _longest_valid(found, groups[first:], is_valid)
            if last:
                parts += (found[end:start], f"[{kind}]")
                counts[kind] += 1
                end = groups[first + last - 1][1]
            first += last or 1
        return "".join([*parts, found[end:]])

    return pattern.sub(replace, text)


def _longest_valid(
    text: str, groups: Sequence[tuple[int, int]], is_valid: Callable[[str], bool]
) -> int:
    """How many of the groups, from the first, make the longest valid number; 0 for none."""
    length, found = 0, 0
    for number, (start, end) in enumerate(groups, 1):
        length += end - start
        if length > LONGEST_NUMBER:
            break
        if length >= SHORTEST_NUMBER and is_valid(text[groups[0][0] : end]):
            found = number
    return found


def _mask_encoded(text: str, region: str, counts: Counter[str]) -> str:
    """Mask base64 of a text that holds something to mask."""

    def replace(match: re.Match[str]) -> str:
        decoded = _decoded(match[0])
        inside: Counter[str] = Counter()
        if decoded is None or _mask_all(decoded, region, inside) == decoded:
            return match[0]
        counts.update(inside)
        return "[encoded]"

    return ENCODED.sub(replace, text)


def _decoded(run: str) -> str | None:
    """The text in a run of base64 (either alphabet), if it is one."""
    plain = run.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        text = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode("utf-8")
    except ValueError:
        return None
    return text if all(char.isprintable() or char.isspace() for char in text) else None
