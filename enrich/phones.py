"""Phone numbers in a text, masked. Google's libphonenumber knows what is valid where.

A number is one when it is valid in the configured region or internationally, when a word announces
it (`Tel.`, `móvil`, `call me on`), or when it is written with a leading 0 as much of the world
writes its own and is valid in one of the regions that do. Runs of digits that nothing announces
stay: they are mostly ids.
"""

import re
from collections import Counter
from collections.abc import Callable

import phonenumbers

PHONE_LIKE = re.compile(r"\d[^A-Za-z\n]{0,6}\d[^A-Za-z\n]{0,6}\d.{0,8}\d.{0,8}\d")
ABROAD = re.compile(r"(?<![\d.,:-])00(?=[1-9][\d ()./-]{7,20}\d)")
DIALLED = re.compile(
    r"(?i)(?:tel|phone|call|mobile|cell|fax|whatsapp|handy|at|on|telefon|téléphone|teléfono|numm?er"
    r"|number|numéro|número|numero|номер|电话|電話)(?: is| ist| est| es)?\W*$"
)
NOT_A_PHONE = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|\d{4}-\d\d-\d\d.*|\d+[.,]\d+|0x\w+")
NUMBER = r"(?P<number>(?:\+|\(?0)?\(?\d(?:[ ()./-]{0,2}\d){5,14})(?![\d.,:/-]?\d)"
ANNOUNCED = re.compile(
    r"(?i)(?P<word>(?<![^\W_])(?:"
    r"tel|telefon|telefoon|téléphone|teléfono|telefone|telefono|telephone|phone|mobile?|mobil|cell"
    r"|handy|fax|whatsapp|portable|móvil|celular|tlf|тел|телефон|電話|电话|手机|携帯|전화"
    r"|(?:call|ring|text|reach|phone|dial)[ ](?:me|us|him|her|them)(?:[ ](?:on|at|under))?"
    r"|ll[aá]m[ae]n?me(?:[ ]al)?|appelez-moi(?:[ ]au)?|ruf(?:en sie)?[ ]mich(?:[ ]unter)?)"
    r"(?:[ ](?:number|no|nr|is|ist|est|es|é))?[ .:#°º]{1,4})" + NUMBER
)
NATIONAL = re.compile(
    r"(?<![\w.,:/+-])(?P<number>(?:\(0\d{1,5}\)|0\d{1,5})[ /-]\d{2,8}(?:[ -]\d{2,4}){0,3}"
    r"|\(\d{2}\) ?\d{4,5}-\d{4})(?!\w|[.,:/-]\w)"
)
INSIDE_WORD = re.compile(r"[A-Za-z_][-_]?$")  # of a host name or an id: adsl-63-197-98-106.net
LEAST_NATIONAL = 10  # digits; a date has eight
WITH_LEADING_ZERO = ("GB", "FR", "AU", "JP", "CH", "NL", "IN", "BR")


def mask_phones(text: str, region: str, counts: Counter[str]) -> str:
    """The text with `[phone]` for phone numbers; `region`: where those without + are dialled."""
    if not PHONE_LIKE.search(text):
        return text
    text = _mask_found(text, region, counts)
    text = _mask_matching(ANNOUNCED, _is_announced, text, counts)
    return _mask_matching(NATIONAL, _is_national, text, counts)


def _mask_found(text: str, region: str, counts: Counter[str]) -> str:
    """What libphonenumber finds."""
    parts: list[str] = []
    end = 0
    seen = ABROAD.sub("+ ", text)  # as long as before: what is found stands where it stood
    for match in phonenumbers.PhoneNumberMatcher(seen, region):
        before = text[max(0, match.start - 24) : match.start]
        is_inside = INSIDE_WORD.search(before) and not DIALLED.search(before)
        if is_inside or not _written_as_phone(match.raw_string, before):
            continue
        parts += (text[end : match.start], "[phone]")
        counts["phone"] += 1
        end = match.end
    return "".join([*parts, text[end:]])


def _written_as_phone(raw: str, before: str) -> bool:
    if NOT_A_PHONE.fullmatch(raw.strip("[]() ")):
        return False
    if raw.startswith("+") or any(char in raw for char in " -()./"):
        return True
    return DIALLED.search(before) is not None


def _mask_matching(
    pattern: re.Pattern[str], is_one: Callable[[str], bool], text: str, counts: Counter[str]
) -> str:
    def replace(match: re.Match[str]) -> str:
        if not is_one(match["number"]):
            return match[0]
        counts["phone"] += 1
        return match[0].removesuffix(match["number"]) + "[phone]"

    return pattern.sub(replace, text)


def _is_announced(number: str) -> bool:
    digits = sum(map(str.isdigit, number))
    return 7 <= digits <= 15 and not NOT_A_PHONE.fullmatch(number)


def _is_national(number: str) -> bool:
    """Whether it is a valid number where people write their own with a leading 0 or brackets."""
    if sum(map(str.isdigit, number)) < LEAST_NATIONAL:
        return False
    for region in WITH_LEADING_ZERO:
        try:
            parsed = phonenumbers.parse(number, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed):
            return True
    return False
