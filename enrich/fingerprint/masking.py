"""The stateless first layer: what varies between copies of one message becomes a placeholder.

    <n>     numbers, hex, UUIDs, MAC addresses, hashes, dates, times, versions, opaque ids
    <host>  IP addresses and host names, with or without a port
    <path>  absolute file paths (POSIX, Windows, UNC)
    <url>   anything with a scheme
    <email> mail addresses

Numbers, hex and dates share one placeholder on purpose: a hex id of which one copy happens to
hold no letter must not look like another kind of value.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

MAX_LENGTH: Final = 4096
"""Characters of one line that are considered; the rest changes nothing."""

_LONGEST_CACHED: Final = 64

_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_FULL_MONTHS = "january|february|march|april|june|july|august|september|october|november|december"
_DAYS = "mon|tue|wed|thu|fri|sat|sun"
_FULL_DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"

# A date written in words is several words; it goes first, before words are looked at alone.
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d{1,9})?"
_ZONE = r"(?:[ ](?:[+-]\d{4}|utc|gmt|[ecmp][sd]t|cest|cet|bst|ist|jst))?"
_WORDED_DATE = re.compile(
    rf"\b(?:(?:{_DAYS}|{_FULL_DAYS}),?[ ]{{1,2}})?"
    rf"(?:(?:{_MONTHS}|{_FULL_MONTHS})[ ]{{1,2}}\d{{1,2}}(?:,?[ ]\d{{4}})?"
    rf"|\d{{1,2}}[ -](?:{_MONTHS}|{_FULL_MONTHS})[ -]\d{{4}})"
    rf"(?:,?[ ]{{1,2}}(?:at[ ])?{_CLOCK}(?:[ ][ap]m)?)?{_ZONE}(?:[ ]\d{{4}})?\b",
    re.IGNORECASE,
)
_HAS_MONTH = re.compile(rf"\b(?:{_MONTHS})", re.IGNORECASE)

_RUN = re.compile(r"""(?:[^\s"'()\[\]{}<>,;=|]|<(?:n|host|path|url|email)>)+""")
_NEEDS_A_LOOK = re.compile(r"[0-9/\\@]|[a-z]\.[a-z]|[a-fA-F]{8}|-[b-z]{5}\b")

_URL = re.compile(r"""[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s"'`<>()\[\]{}|]*(?<![.,:;!?])""")
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_WINDOWS_PATH = re.compile(r"(?:[A-Za-z]:|\\\\[^\\]|\\\\\?\\)[\\/]?\S*")
_POSIX_PATH = re.compile(r"(?:~|\.{1,2})?/[A-Za-z0-9_.~$%+@#*-]+/\S*|/[a-z][A-Za-z0-9_.-]{2,}")
_TLD = (
    "com|net|org|edu|gov|mil|int|info|biz|cloud|local|localdomain|localhost|lan|internal|intranet"
    "|home|corp|arpa|test|example|invalid|svc"
)
# Country codes that are not also the ending of a source or data file, nor an English word.
_COUNTRY = (
    "ac|ad|ae|ar|at|au|bg|br|ca|ch|cl|cn|co|cz|de|dk|ee|es|eu|fi|fr|gr|hk|hr|hu|ie|il|ir|jp|ke"
    "|kr|kz|lt|lu|lv|ma|mx|my|nl|no|nz|pe|ph|pl|pt|ro|ru|se|sg|si|sk|th|tr|tw|ua|uk|us|uy|vn|za"
)
_LABEL = "[A-Za-z0-9_-]{1,63}"
_PORT = r"(?::\d{1,5})?"
_FILE = (
    "c|cc|cpp|cxx|h|hpp|m|mm|cs|java|kt|scala|groovy|py|pyx|rb|go|rs|js|jsx|mjs|ts|tsx|php|pl|pm"
    "|swift|lua|ex|exs|erl|sh|sql|vue|txt|log|xml|json|yml|yaml|conf|cfg|ini|html|htm|css"
)
_HOST = re.compile(
    rf"(?!(?:com|net|org|edu|gov|io)\.)(?:{_LABEL}\.){{1,8}}(?:"
    rf"(?:{_TLD}){_PORT}"
    rf"|(?<=\.(?:com|net|org|edu|gov)\.)(?:{_COUNTRY}){_PORT}"
    rf"|(?<=\.(?:co|ac|ne|or|go)\.)(?:{_COUNTRY}){_PORT}"
    rf"|(?<=[A-Za-z0-9]\.)(?!(?:{_FILE}):){_LABEL}:\d{{2,5}}"
    r")",
    re.IGNORECASE,
)
_HOST_BY_COUNTRY = re.compile(
    rf"(?=[^.]*[0-9-])(?:{_LABEL}\.){{2,8}}(?:{_COUNTRY}){_PORT}", re.IGNORECASE
)
_RELATIVE_PATH = re.compile(r"(?=[^/]*[A-Za-z])[^/<>]+(?:/[^/]*){3,64}")

_ATOMS = re.compile(
    r"""
      (?P<uuid>(?<![0-9A-Za-z])[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![0-9A-Za-z]))
    | (?P<pod>(?<=[a-z0-9]-)[bcdfghjklmnpqrstvwxz2-9]{8,10}-[bcdfghjklmnpqrstvwxz2-9]{5}
              (?![A-Za-z0-9]))
    | (?P<ip4>(?<![0-9.])/?\d{1,9}(?:\.\d{1,9}){3}(?!\.?\d)(?::\d{1,5}(?!\d))?)
    | (?P<colons>(?<![0-9A-Za-z:])[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,64}+
              (?:(?:\.[0-9]{1,9}){1,3}+)?(?:%[A-Za-z0-9]{1,16})?(?![0-9A-Za-z]))
    | (?P<dashes>(?<![0-9A-Za-z-])(?:[0-9a-fA-F]{2}-){5}[0-9a-fA-F]{2}(?![0-9A-Za-z-]))
    | (?P<path>(?<![A-Za-z0-9_.\-/>])/[A-Za-z0-9_.~-]+/\S*)
    | (?P<keep>(?i:ipv[46])(?![0-9A-Za-z]))
    | (?P<segment>(?:(?<![A-Za-z0-9])[A-Za-z]*+)?[0-9][A-Za-z0-9]*+
                   |(?<![A-Za-z0-9])[a-fA-F]{8,}+(?![A-Za-z0-9]))
    """,
    re.VERBOSE,
)
_HEX_ID = re.compile(r"[0-9a-fA-F]{6,}")
_LETTERS_THEN_DIGITS = re.compile(r"([A-Za-z]+)[0-9]+")
_UNIT = (
    r"(?:[KMGTP]i?[Bb]?|[kmgtp]?b|[kmgtp]?bytes?|[KMGTP]?Bytes?|B"
    r"|ns|nsecs?|us|usecs?|\u00b5s|ms|msecs?|millis|milliseconds?|microseconds?|nanoseconds?"
    r"|s|secs?|seconds?|mins?|minutes?|h|hrs?|hours?|days?)"
)
_JOINED = re.compile(r"[+-]?<n>(?:[-+_.:,/#~^*x]{1,3}<n>)+")
_SIGNED = re.compile(r"(?<![A-Za-z0-9>])[+-]<n>")
_SPACED_UNIT = re.compile(rf"<n>(?: {_UNIT})+(?![A-Za-z0-9_/])")
_LIST = re.compile(r"(<n>|<host>|<path>)(?:(?:, ?|; ?| )\1)+(?![A-Za-z0-9_])")
_SPACES = re.compile(r"\s+")


def mask(message: str) -> str:
    """The message with all that varies replaced; the same for the same message, always.

    Text beyond MAX_LENGTH characters is left out. Linear in the length of the message.
    """
    text = message[:MAX_LENGTH]
    if _HAS_MONTH.search(text):
        text = _WORDED_DATE.sub("<n>", text)
    if "://" in text:
        text = _URL.sub("<url>", text)
    text = _RUN.sub(_mask_match, text)
    text = _SPACES.sub(" ", text).strip()
    if "<n>" in text:
        text = _SPACED_UNIT.sub("<n>", text)
    if "<" in text:
        text = _LIST.sub(r"\1", text)
    return text


def _mask_match(match: re.Match[str]) -> str:
    run = match.group()
    if len(run) > _LONGEST_CACHED:
        return mask_run(run)
    return _mask_short_run(run)


def mask_run(run: str) -> str:
    """One run of characters without space, bracket or quote, masked."""
    if run == "n" or not _NEEDS_A_LOOK.search(run):
        return run
    body = run.rstrip(".:!?,")
    if run.startswith("::", len(body)):  # the end of an IPv6 prefix, not of a sentence
        body = run[: len(body) + 2]
    tail = run[len(body) :]
    for pattern, placeholder in _WHOLE:
        if pattern.fullmatch(body):
            return placeholder + tail
    return mask_atoms(body) + tail


def mask_atoms(text: str) -> str:
    """Numbers, ids and addresses inside a word masked; names and paths stay as they are."""
    text = _ATOMS.sub(_mask_atom, text)
    if "<n>" in text:
        text = _SIGNED.sub("<n>", _JOINED.sub("<n>", text))
    return text


# Words repeat from line to line, so most runs are found here; it changes speed, never a result.
_mask_short_run = lru_cache(maxsize=8192)(mask_run)

_WHOLE: Final = (
    (_EMAIL, "<email>"),
    (_WINDOWS_PATH, "<path>"),
    (_POSIX_PATH, "<path>"),
    (_RELATIVE_PATH, "<path>"),
    (_HOST, "<host>"),
    (_HOST_BY_COUNTRY, "<host>"),
)


def _mask_atom(match: re.Match[str]) -> str:
    return _ATOM_RULES[match.lastgroup or "segment"](match.group())


def _mask_segment(segment: str) -> str:
    """An id is masked whole; of a name with a number at its end, the number."""
    parts = None if _HEX_ID.fullmatch(segment) else _LETTERS_THEN_DIGITS.fullmatch(segment)
    return f"{parts.group(1)}<n>" if parts else "<n>"


def _mask_colons(text: str) -> str:
    """IPv6 addresses are hosts; MAC addresses and clock times are values; `A::b` is code."""
    body = text.strip(":")
    if not body or not (any(map(str.isdigit, body)) or body.count(":") in (5, 7)):
        return text
    if "::" in text or body.count(":") == 7:
        return text[: len(text) - len(text.lstrip(":"))].replace("::", "") + "<host>"
    return text.replace(body, "<n>")


_ATOM_RULES: Final[dict[str, Callable[[str], str]]] = {
    "uuid": lambda _: "<n>",
    "pod": lambda _: "<n>",
    "ip4": lambda _: "<host>",
    "colons": _mask_colons,
    "dashes": lambda _: "<n>",
    "path": lambda _: "<path>",
    "keep": lambda atom: atom,
    "segment": _mask_segment,
}
