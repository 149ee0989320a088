"""Masking secrets and personal data before a text leaves this machine.

What is masked becomes a word in brackets, `[email]`, so that a model still sees what stood there.
Order matters: secrets first, for they may hold what looks like a phone number. Patterns name the
formats that their issuers publish; phone numbers are found by Google's libphonenumber.
"""

import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import phonenumbers

SECRETS = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)"
    r"|\b(?:sk|rk|pk|whsec)_(?:live|test)?_?[A-Za-z0-9]{16,}"  # Stripe
    r"|\bwhsec_[A-Za-z0-9+/=]{20,}"
    r"|\bsk-(?:proj-|ant-|svcacct-)?[A-Za-z0-9_-]{20,}"  # OpenAI, Anthropic
    r"|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}"
    r"|\bglpat-[\w-]{20,}"
    r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-\d-[A-Za-z0-9-]{10,}"  # Slack
    r"|\bhttps://hooks\.slack\.com/services/\S+"
    r"|\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"
    r"|\bAIza[\w-]{35}|\bya29\.[\w-]{20,}"  # Google
    r"|\bSG\.[\w-]{16,}\.[\w-]{16,}"  # SendGrid
    r"|\bnpm_[A-Za-z0-9]{36}|\bpypi-[\w-]{40,}|\bdop_v1_[a-f0-9]{64}|\bhvs\.[\w-]{20,}"
    r"|\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|\blin_api_[A-Za-z0-9]{32,}|\bkey-[a-f0-9]{32}\b"
    r"|\b\d{8,10}:AA[\w-]{32,}",  # Telegram
    re.DOTALL,
)
TOKENS = re.compile(
    r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # JWT
    r"|(?<=[Bb]earer )[\w.~+/=-]{8,}|(?<=[Bb]asic )[A-Za-z0-9+/=]{12,}"
)
ASSIGNED = re.compile(
    r"""(?ix)(\b[\w-]{0,30}(?:password|passwd|passwort|pwd|passphrase|secret|token|api[_-]?key|apikey|
    access[_-]?key|private[_-]?key|client[_-]?secret|auth[_-]?key|credential)s?\b["']?\s{0,3}
    (?:[:=]|\bis\b|\bist\b|\bes\b|\best\b)\s{0,3}["']?)
    (?!\[(?:secret|token)\])((?=[^\s"',;&<>]{0,99}[\d!@\#$%^&*_+=/-])[^\s"',;&<>]{6,200}|(?<=["'])[^\s"']{6,200}(?=["']))"""
)
URL_LOGIN = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]{1,20}://)[^\s/:@]{1,100}:[^\s/@]{1,200}@")
URL_KEY = re.compile(
    r"(?i)([?&](?:token|key|api_?key|access_token|sig|signature|secret|password|code|auth)=)[^&\s#]{6,}"
)
EMAILS = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,63}")
CARDS = re.compile(r"(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d-])")
IBANS = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
SOCIAL = re.compile(r"\b(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4}\b")  # US social security
PHONE_LIKE = re.compile(r"\d[^A-Za-z\n]{0,6}\d[^A-Za-z\n]{0,6}\d.{0,8}\d.{0,8}\d")
DIALLED = re.compile(r"(?i)(?:tel|phone|call|mobile|cell|fax|whatsapp|handy|at|on)\W*$")
NOT_A_PHONE = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|\d{4}-\d\d-\d\d.*|\d+[.,]\d+|0x\w+")


class Redacted(NamedTuple):
    """A text without what must not leave, and how many of each kind were masked."""

    text: str
    counts: dict[str, int]


def redact(text: str, phone_region: str = "US") -> Redacted:
    """Mask secrets, tokens, card and account numbers, e-mail addresses and phone numbers."""
    counts: Counter[str] = Counter()
    text = _mask(SECRETS, "secret", text, counts)
    text = _mask(TOKENS, "token", text, counts)
    text = _mask_after(ASSIGNED, "secret", text, counts)
    text = _mask_after(URL_LOGIN, "secret", text, counts, "@")
    text = _mask_after(URL_KEY, "token", text, counts)
    if "@" in text:
        text = _mask(EMAILS, "email", text, counts)
    text = _mask_valid(CARDS, "card", text, counts, is_card)
    text = _mask_valid(IBANS, "iban", text, counts, is_iban)
    text = _mask(SOCIAL, "national_id", text, counts)
    if PHONE_LIKE.search(text):
        text = _mask_phones(text, phone_region, counts)
    return Redacted(text, dict(counts))


def is_card(digits: str) -> bool:
    """Whether 13 to 19 digits pass the Luhn check and do not merely repeat."""
    numbers = [int(char) for char in digits if char.isdigit()]
    if not 13 <= len(numbers) <= 19 or len(set(numbers)) == 1 or numbers[0] not in {2, 3, 4, 5, 6}:
        return False
    doubled = [n if i % 2 == 0 else sum(divmod(n * 2, 10)) for i, n in enumerate(numbers[::-1])]
    return sum(doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether the check digits of an international bank account number are right (ISO 13616)."""
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    moved = plain[4:] + plain[:4]
    return int("".join(str(int(char, 36)) for char in moved)) % 97 == 1


def _mask(pattern: re.Pattern[str], kind: str, text: str, counts: Counter[str]) -> str:
    text, count = pattern.subn(f"[{kind}]", text)
    if count:
        counts[kind] += count
    return text


def _mask_after(
    pattern: re.Pattern[str], kind: str, text: str, counts: Counter[str], end: str = ""
) -> str:
    """Mask what follows the pattern's first group, and keep the group."""
    text, count = pattern.subn(lambda match: f"{match[1]}[{kind}]{end}", text)
    if count:
        counts[kind] += count
    return text


def _mask_valid(
    pattern: re.Pattern[str],
    kind: str,
    text: str,
    counts: Counter[str],
    is_valid: Callable[[str], bool],
) -> str:
    def replace(match: re.Match[str]) -> str:
        if not is_valid(match[0]):
            return match[0]
        counts[kind] += 1
        return f"[{kind}]"

    return pattern.sub(replace, text)


def _mask_phones(text: str, region: str, counts: Counter[str]) -> str:
    """Mask valid phone numbers. Numbers without separators or + are left: they are mostly ids."""
    parts: list[str] = []
    end = 0
    for match in phonenumbers.PhoneNumberMatcher(text, region):
        raw = match.raw_string
        if not _written_as_phone(raw, text[max(0, match.start - 12) : match.start]):
            continue
        parts += (text[end : match.start], "[phone]")
        counts["phone"] += 1
        end = match.end
    return "".join([*parts, text[end:]])


def _written_as_phone(raw: str, before: str) -> bool:
    if NOT_A_PHONE.fullmatch(raw):
        return False
    if raw.startswith("+") or any(char in raw for char in " -()./"):
        return True
    return (
        re.search(r"(?i)(?:tel|phone|call|mobile|cell|fax|whatsapp|handy|at|on)\W*$", before)
        is not None
    )
