"""Cleaning what a model said before it reaches a page, a ticket or a chat.

A summary is plain text: no markup, link, mention, control or invisible character; identifiers stay
as they are. Names come from the taxonomy or are dropped. Nothing here raises.
"""

import re
import unicodedata
from collections.abc import Mapping

from enrich.enricher import Verdict
from enrich.taxonomy import SENTIMENTS, UNDETERMINED, Taxonomy

MAX_SUMMARY = 280  # characters
FINE = re.compile(r"(?![-+])[A-Za-z0-9À-ɏ ,;()'\"?%+-]*[.!?]?")  # most summaries: nothing to clean
LINK_MARKUP = re.compile(r"!?\[([^\]\[]*)\]\s*(?:\([^)]*\)|\[[^\]]*\])")
SLACK_MARKUP = re.compile(r"<[!@#][^>\n]{0,200}>|<(?:https?|mailto|tel|slack):[^>\n]*>")
TAG = re.compile(r"</?[A-Za-z!?][^<>]*>|<!--.*?-->", re.DOTALL)
SCHEME = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]{1,20}:/\S*|\b\w[\w+.-]{0,20}://\S*|\b(?:javascript|vbscript):\S*"
    r"|\b(?:data|mailto|tel|sms|callto|file|intent|facetime|skype):\S+|\bwww\.\S+)",
    re.IGNORECASE,
)
MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
BARE_LINK = re.compile(
    r"\b(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+"
    r"(?:com|net|org|io|dev|app|info|biz|xyz|ru|cn|co|ai|me|link|top|site|online|shop|club|gg|ly|"
    r"example|test|invalid|evil|uk|de|fr|eu|us|in|to|tk|zip|mov|sh|cloud|page|live|pro|click)\b(?!\.\w)"
    r"(?:[/:?#]\S*)?",
    re.IGNORECASE,
)
STOPS = str.maketrans("。｡", "..")  # a browser takes them for dots
# Whatever its ending, a name with dots may become a link. Names of files and of classes do not, for
# no name of a host ends so.
DOTTED = re.compile(r"(?<![\w.-])(?:[\w-]{1,63}\.)+([^\W\d_]{2,24})(?![\w.-])")
FILE_ENDING = re.compile(
    r"(?:js|jsx|tsx|mjs|py|java|jar|kt|php|rb|go|cpp|hpp|html?|css|json|ya?ml|xml|toml|ini|cfg|conf"
    r"|txt|log|csv|sql|lock|exe|dll|docx?|xlsx?|pdf|png|jpe?g)|\w*[a-z][A-Z]\w*"
)
ADDRESS_LINK = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?/\S*")
MENTION = re.compile(r"(?<!\w)[@＠]+(?=[\w/-])")
REFERENCE = re.compile(r"(?<!\w)(?:!(?=\d)|#(?=\w))|\bGH-(?=\d)|(?<=\w)#(?=\d)")
# An underscore within a word is no markup: an identifier must stay findable.
MARKUP = re.compile(
    r"[`*~|<>\[\]{}\\^]+|(?<!\w)_+|_+(?!\w)|\A[\s=+@-]+|^\s*(?:#{1,6}|[-+>]|\d+\.)\s+",
    re.MULTILINE,
)
SPACES = re.compile(r"\s+")
LANGUAGE = re.compile(r"[a-z]{2}")
INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def clean_text(text: str, limit: int = MAX_SUMMARY) -> str:
    """One line of plain text of at most `limit` characters: nothing a renderer could act upon."""
    if len(text) <= limit and FINE.fullmatch(text):
        return SPACES.sub(" ", text).strip()
    text = unicodedata.normalize("NFKC", text[: limit * 20]).translate(STOPS)
    text = "".join(_visible(char) for char in text)
    before = None
    while text != before:  # removing one thing may join the halves of another
        before = text
        text = _strip_once(text)
    return shorten(SPACES.sub(" ", text).strip(), limit)


def _visible(char: str) -> str:
    if char in "\n\t\r":
        return char
    return "" if unicodedata.category(char) in INVISIBLE else char


def _strip_once(text: str) -> str:
    text = LINK_MARKUP.sub(r"\1", text)
    text = SLACK_MARKUP.sub("", text)
    text = TAG.sub("", text)
    text = SCHEME.sub("(link)", text)
    text = MAIL.sub("(address)", text)
    text = BARE_LINK.sub("(link)", text)
    text = ADDRESS_LINK.sub("(link)", text)
    text = MENTION.sub("", text)
    text = REFERENCE.sub(" ", text)
    return MARKUP.sub("", text)


def part_names(text: str) -> str:
    """A summary fit to leave: a name with dots, which a chat may take for a link, gets spaces."""
    return DOTTED.sub(_parted, text)


def _parted(name: re.Match[str]) -> str:
    return name[0] if FILE_ENDING.fullmatch(name[1]) else name[0].replace(".", ". ")


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, cut between words and marked with an ellipsis."""
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    space = cut.rfind(" ")
    return (cut[:space] if space > limit // 2 else cut).rstrip(" ,;:-") + "…"


def clean_error(text: str, limit: int = 500) -> str:
    """An error's text for the store: one line, no control characters, bounded."""
    return shorten(" ".join("".join(_visible(char) for char in text[: limit * 2]).split()), limit)


def clean_verdict(data: Mapping[str, object], taxonomy: Taxonomy) -> Verdict | str:
    """The verdict in a model's JSON object, or what is wrong with it.

    Category and severity must be names of the taxonomy: guessing what was meant would hide a bad
    model. Everything else is bounded or dropped.
    """
    category, severity = data.get("category"), data.get("severity")
    if category not in taxonomy.category_names:
        return f"category must be one of {', '.join(taxonomy.category_names)}"
    if severity not in taxonomy.severity_names:
        return f"severity must be one of {', '.join(taxonomy.severity_names)}"
    summary = data.get("summary")
    if not isinstance(summary, str) or not summary.strip():
        return "summary must be a text of one sentence"
    sentiment = data.get("sentiment")
    language = data.get("language")
    code = language.strip().lower()[:2] if isinstance(language, str) else ""
    return Verdict(
        category=str(category),
        severity=str(severity),
        sentiment=str(sentiment) if sentiment in SENTIMENTS else "neutral",
        language=code if LANGUAGE.fullmatch(code) and language != UNDETERMINED else UNDETERMINED,
        tags=_known_tags(data.get("tags"), taxonomy),
        summary=clean_text(summary),
        confidence=_confidence(data.get("confidence")),
        suspicious=data.get("suspicious") is True,
    )


def _known_tags(value: object, taxonomy: Taxonomy) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    said = {tag for tag in value if isinstance(tag, str)}
    return tuple(name for name in taxonomy.tag_names if name in said)[: taxonomy.max_tags]


def _confidence(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return 0.0
    return round(float(min(1, max(0, value))), 4)
