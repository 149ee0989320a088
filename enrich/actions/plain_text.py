"""Text that leaves in an action: no link, no mention, nothing invisible.

What a stranger wrote may end in a chat that a whole company reads, so links and mentions are taken
out whatever their notation, also where the operator's own template has them. Each adapter then
escapes what is left for its target.
"""

import re
import unicodedata

LINK = "[link]"
ADDRESS = "[address]"
MAX_CHARS = 2_000

_CLASS_MENTION = re.compile(
    r"<[@!#/][^<>\n]{0,200}>|</?at\b[^<>\n]{0,100}>|\[~[^\[\]\n]{1,200}\]", re.IGNORECASE
)
_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]{1,30}:(?:/{1,3}|\\{2})[^\s<>\"']*", re.IGNORECASE)
_BARE_SCHEME = re.compile(
    r"\b(?:javascript|data|vbscript|mailto|tel|sms|file|ms-[a-z\-]+|tg|slack|msteams|skype|callto"
    r"|sips?|facetime|xmpp|magnet|bitcoin|intent|whatsapp|zoommtg|vscode):(?=\S)[^\s<>\"']*",
    re.IGNORECASE,
)
_RELATIVE = re.compile(r"(?<![\w:/])//[\w\-]+\.[^\s<>\"']+")
_EMAIL = re.compile(r"[\w.+%\-]{1,64}@[\w\-]{1,63}(?:\.[\w\-]{1,63})+")
_WWW = re.compile(r"(?<!w)www\d{0,2}\.[^\s<>\"']+", re.IGNORECASE)
# Bare names are made into links by chat programs only under a real top-level domain. These are the
# ones that strangers use; `main.py` or `java.util.List` in an error message must stay readable.
_TOP = (
    "com|net|org|edu|gov|mil|int|info|biz|io|co|ai|app|dev|page|link|click|site|online|shop|store"
    "|top|xyz|icu|live|club|vip|work|support|help|tech|cloud|space|website|fun|world|today|news"
    "|ly|gl|gg|tv|me|cc|to|us|uk|de|fr|it|es|nl|eu|ru|cn|in|jp|br|au|ca|ch|at|be|dk|se|no|fi|cz"
    "|ua|tk|ml|ga|cf|gq|pw|su|ws|pt|gr|hu|ro|bg|tr|ir|ae|za|ng|ke|mx|cl|pe|kr|tw|hk|sg|vn|nz|lt"
    "|lv|sk|si|hr|kz|ge|lu|il|pk|mobi|asia|technology|agency|solutions|casino|bet|poker|loan|bid"
    "|racing|crypto|ninja|guru|rocks|wtf|lol|pics|ink|cfd|sbs|cyou|bond|quest|monster|phd|example"
    r"|test|invalid|zip|mov|рф|укр|бел|срб|中国|中國|香港|台湾|台灣|한국|xn--[a-z0-9\-]{2,59}"
)
_BARE_NAME = re.compile(
    rf"(?<![\w.@/\\-])(?:[\w\-]{{1,63}}[.。])+(?:{_TOP})(?:\.[a-z]{{2}})?"
    r"(?::\d{1,5})?(?:[/?#][^\s<>\"']*)?(?![a-z0-9_(]|\.\w)",
    re.IGNORECASE,
)
_BARE_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?/[^\s<>\"']*")
# NFKC left one kind of @. A word before it makes an address of it, but not for everybody's names.
_MENTION = re.compile(
    r"(?<!@)(?:(?<!\w)@+|@{2,})(?=[\w\-({\[<])|@(?=everyone|here|channel)",
    re.IGNORECASE,
)
_OPENING = re.compile(r"<(?=[@!#])")  # of such a mention, cut off: what follows could complete it
_MARKDOWN_LINK = re.compile(r"!?\[([^\[\]]{0,500})\]\s*[(\[][^()\[\]\n]{0,500}[)\]]")
_BLANKS = re.compile(r"[^\S\n]+")
_BLANK_LINES = re.compile(r"\n{3,}")


def plain_text(text: str, max_chars: int = MAX_CHARS) -> str:
    """`text` without links, mentions, markup of either, control and invisible characters.

    At most `max_chars` long; a cut ends in an ellipsis. Safe to apply twice.
    """
    # Cleaning costs a few passes over the text; nobody reads more than the limit anyway.
    text = _visible(unicodedata.normalize("NFKC", text[: max_chars * 4]))
    before = None
    while text != before:  # taking one thing out may join the halves of another
        before, text = text, _strip_once(text)
    return shorten(_BLANK_LINES.sub("\n\n", _BLANKS.sub(" ", text)).strip(), max_chars)


def _strip_once(text: str) -> str:
    text = _MARKDOWN_LINK.sub(_link_text, text).replace("](", "] (")
    text = _CLASS_MENTION.sub("", text)
    text = _EMAIL.sub(ADDRESS, text)
    for pattern in (_SCHEME, _BARE_SCHEME, _RELATIVE, _WWW, _BARE_NAME, _BARE_ADDRESS):
        text = pattern.sub(LINK, text)
    return _OPENING.sub("", _MENTION.sub("", text))


def one_line(text: str, max_chars: int = 200) -> str:
    """The same on one line: a title, a subject, a header."""
    return shorten(" ".join(plain_text(text, max_chars * 2).split()), max_chars)


def shorten(text: str, max_chars: int) -> str:
    """At most `max_chars` characters, the last an ellipsis where something was cut."""
    return text if len(text) <= max_chars else text[: max_chars - 1].rstrip() + "…"


def _link_text(found: re.Match[str]) -> str:
    return f"{found[1]} {LINK}".strip()


def _visible(text: str) -> str:
    """Without controls, format characters (bidi, zero width, tags) and lone surrogates."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    kept = (c for c in text if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))
    return "".join(kept)
