"""Signs that a text speaks to the model instead of to people.

A cheap second opinion beside the model's own: it runs on every event, whatever enricher answers,
and marks the enrichment `suspicious`, so that rules can refuse to act on it. It refuses nothing by
itself: people do write tickets about prompts.
"""

import base64
import binascii
import re
import unicodedata

MAX_LOOKED_AT = 20_000  # characters; longer texts are looked at from both ends

# Each sign is tried only where one of its words occurs: most texts hold none, and looking for a
# word costs a hundredth of a pattern. Words and patterns are matched against lower case.
NOUNS = (
    r"(?:instructions?|prompts?|rules?|directions?|guidelines?|directives?|polic(?:y|ies)|guidance|"
    r"orders|constraints?|taxonomy|schema)"
)
FIELDS = r"(?:category|severity|confidence|priority|sentiment|suspicious(?:ness)?|tags?)"
SIGNS = tuple(
    (tuple(words.split("|")), re.compile(pattern, re.MULTILINE))
    for words, pattern in (
        (
            "instruct|prompt|rule|directi|guid|polic|order|constraint|taxonomy|schema",
            (
                r"\b(?:ignor(?:e|ing)|disregard|forget|overrid(?:e|ing)|bypass|skip|discard|neglect"
                r"|set aside|drop)\b[^.\n]{0,40}\b(?:previous|prior|above|earlier|preceding|all|any"
                rf"|your|system|these|those|every|other)\b[^.\n]{{0,30}}\b{NOUNS}\b"
            ),
        ),
        (
            "anweisung|instru|istruz|regeln|règles|reglas|consignes",
            (
                r"\b(?:ignor\w*|vergiss|missachte|oublie\w*|olvida\w*|dimentica\w*|negeer)\b[^.\n]{0,40}"
                r"\b(?:anweisung|instru|istruz|regeln|règles|reglas|consignes)"
            ),
        ),
        (
            "instruct|prompt|directive|rules",
            (
                r"\b(?:new|updated|revised|real|actual|true|secret|hidden|final|additional) "
                r"(?:system )?(?:instructions?|prompt|directives?|rules)"
                r"\s*(?:[:=-]|\bare\b|\bfor the\b|\bfollow\b)"
            ),
        ),
        ("you are", r"\byou are (?:now|no longer|henceforth|from now on|actually an?)\b"),
        (
            "from now on|henceforth",
            (
                r"\b(?:from now on|henceforth)\b[^.\n]{0,20}"
                r"\b(?:you|act|answer|respond|reply|classify)\b"
            ),
        ),
        (
            "act as|behave as|behave like|pretend|roleplay|role-play|pose as|respond as",
            (
                r"\b(?:act|behave|pretend|roleplay|role-play|pose|respond)\b[^.\n]{0,15}"
                r"\b(?:as|like|to be|you)\b[^.\n]{0,40}\b(?:ai|assistant|model|admin\w*|developer"
                r"|dan|root|unrestricted|classifier|linux terminal)\b"
            ),
        ),
        (
            "prompt|message|instruct",
            r"\b(?:system|developer|hidden|initial|original) (?:prompt|message to|instructions?)\b",
        ),
        (
            "prompt|instructions|system message|above",
            (
                r"\b(?:reveal|repeat|print|show|output|leak|disclose|quote|copy)\b[^.\n]{0,30}\b(?:(?:your"
                r"|the|system) (?:system )?prompt|your instructions|system message|(?:text|words"
                r"|everything) above)\b"
            ),
        ),
        (
            "im_start|im_end|endoftext|<system|</system|<assistant|<developer|header_id|eot_id",
            (
                r"<\|?\s*/?\s*(?:im_start|im_end|endoftext|system|assistant|developer|start_header_id"
                r"|eot_id)\b"
            ),
        ),
        ("inst]|[sys|<sys", r"\[/?inst\]|\[/?sys(?:tem)?\]|<</?sys>>"),
        (
            "##",
            (
                r"^\s*#{2,}\s*(?:system|new instructions?|instructions? (?:to|for)|assistant"
                r"|new task)\b"
            ),
        ),
        ("system|assistant|developer", r"^\s*(?:system|assistant|developer)\s?:\s"),
        (
            "<|>",
            (
                r"</\s*(?:event|untrusted|ticket|context|user_input|instructions?|prompt|tool_call"
                r"|function_calls?)\b|<\s*(?:untrusted|user_input|tool_call|function_calls?)\b"
                r"|</event-[0-9a-f]"
            ),
        ),
        (
            "category|severity|confidence|suspicious|sentiment",
            r"[{,]\s*[\"']?(?:category|severity|confidence|suspicious|sentiment)[\"']?\s*:\s*[\"'\w]",
        ),
        (
            "category|severity|confidence|priority|sentiment|suspicious|tag",
            (
                r"\b(?:set|mark|make|label|classify|categori[sz]e|rate|treat|flag|score|assign"
                r"|force|choose|pick|return|answer|respond|reply|give|use)\b[^.\n]{0,50}"
                rf"\b{FIELDS}\b[^.\n]{{0,25}}(?:\bto\b|\bas\b|[=:\"']|\bmust\b|\bis\b)"
            ),
        ),
        (
            "category|severity|confidence|suspicious|sentiment",
            (
                r"\b(?:category|severity|confidence|suspicious|sentiment)\s?(?:must be|should be"
                r"|shall be|is always|:= ?|= ?(?:critical|high|medium|low|info|true|false|1\.0"
                r"|0\.\d))"
            ),
        ),
        (
            "classif|categori|label|tag",
            (
                r"\b(?:classify|categori[sz]e|label|tag) (?:this|it|the (?:above|following|text"
                r"|ticket|event|message)|everything|me)\b[^.\n]{0,40}\b(?:as|with|under)\b"
            ),
        ),
        (
            " ai| llm| model|assistant|classifier| bot|gpt|claude",
            (
                r"\b(?:note|message|instruction|memo|reminder|hint|notice)s? (?:to|for)\b"
                r"[^.\n]{0,12}\b(?:ai|llm|language model|model|assistant|classifier|bot|gpt"
                r"|chatgpt|claude|triage (?:bot|model))\b"
            ),
        ),
        (
            "ai|llm|assistant|model|classifier|gpt|claude|bot",
            (
                r"\b(?:dear|hey|hello|hi|attention|attn)[,:]? (?:ai|llm|assistant|model|classifier"
                r"|chatgpt|gpt|claude|language model|triage bot)\b"
            ),
        ),
        (
            "as an|if you are",
            r"\b(?:as|if you are) an? (?:ai|llm|language model|large language model)\b",
        ),
        (
            "suspicious|injection",
            (
                r"\b(?:do not|don't|never|not)\b[^.\n]{0,20}\b(?:flag|mark|report|consider|treat)\b"
                r"[^.\n]{0,60}\b(?:suspicious|injection)\b"
            ),
        ),
        (
            "summary",
            (
                r"\b(?:the|your|a) summary\b[^.\n]{0,25}\b(?:must|should|shall|has to|needs to)\b"
                r"|\b(?:append|add|include|insert|embed|put|mention|write)\b[^\n]{0,120}\bsummary\b"
                r"|\bin (?:the|your) summary\b"
            ),
        ),
        (
            "exactly|verbatim|word for word|nothing but|only with|only the",
            (
                r"\b(?:summar(?:y|ise|ize)|reply|respond|answer|output|say|write)\b[^.\n]{0,20}"
                r"\b(?:exactly|verbatim|nothing but|word for word|only with|only the word)\b"
            ),
        ),
        (
            "jailbreak|injection|do anything now|dan mode|developer mode|god mode",
            (
                r"\b(?:jailbreak|prompt[ -]injection|do anything now|dan mode"
                r"|developer mode enabled|god mode)\b"
            ),
        ),
        (
            "tool|function|plugin|browser",
            (
                r"\b(?:call|invoke|execute|use) (?:the |your )?[\w ]{0,20}\b(?:tool|function|plugin"
                r"|browser)\b[^.\n]{0,30}(?:[(:\"']|\bto\b)"
            ),
        ),
        (
            "end of",
            (
                r"\bend of (?:the )?(?:ticket|event|data|document|user (?:input|message)|untrusted"
                r"|customer (?:text|message))\b"
            ),
        ),
        (
            "指示|忽略|无视|игнориру|забудь|지시|تجاهل",
            (
                r"(?:以前|これまで|上記)の指示|(?:忽略|无视)(?:之前|以上|所有|先前)|игнорируй|забудь(?:те)?"
                r" (?:все|предыдущие)|이전 지시|تجاهل"
            ),
        ),
    )
)
INVISIBLE = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff\u00ad\U000e0000-\U000e007f]")
BASE64 = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{24,2000}={0,2}(?![A-Za-z0-9+/=])")
SPACED = re.compile(r"\b(?:\w[ .\-_*]){4,}\w\b")
LEETED = re.compile("[A-Za-z][013457@$][A-Za-z]")  # `1gn0re`, not `v2` or `404`
LEET = str.maketrans("013457@$", "oieastas")
HOMOGLYPHS = str.maketrans(
    "аеорсухіѕјԁɡᴏοαεικυνΑΒΕΗΙΚΜΝΟΡΤΧАВЕКМНОРСТХ",
    "aeopcyxisjdgooaeikuvABEHIKMNOPTXABEKMHOPCTX",
)


def looks_injected(title: str, text: str) -> bool:
    """Whether the text seems to instruct a model. Some 5 microseconds where nothing hints at it."""
    whole = f"{title}\n{text}"
    if len(whole) > MAX_LOOKED_AT:
        whole = whole[: MAX_LOOKED_AT // 2] + "\n" + whole[-MAX_LOOKED_AT // 2 :]
    if _speaks_to_a_model(whole):
        return True
    if whole.isascii():
        return _hidden(whole)
    plain = unicodedata.normalize("NFKC", INVISIBLE.sub("", whole)).translate(HOMOGLYPHS)
    return (plain != whole and _speaks_to_a_model(plain)) or _hidden(plain)


def _speaks_to_a_model(text: str) -> bool:
    lowered = text.lower()
    for words, pattern in SIGNS:
        for word in words:
            if word in lowered:
                if pattern.search(lowered) is not None:
                    return True
                break
    return False


def _hidden(text: str) -> bool:
    """Instructions spelt with gaps or digits, or wrapped in base64."""
    if any(_speaks_to_a_model(decoded) for decoded in _decoded(text)):
        return True
    if LEETED.search(text) and _speaks_to_a_model(text.translate(LEET)):
        return True
    spaced = SPACED.search(text)
    return spaced is not None and _speaks_to_a_model(
        SPACED.sub(lambda m: re.sub(r"[ .\-_*]", "", m[0]) + " ", text)
    )


def _decoded(text: str) -> list[str]:
    found = []
    for match in BASE64.finditer(text):
        try:
            raw = base64.b64decode(match[0] + "=" * (-len(match[0]) % 4), validate=True)
            found.append(raw.decode("utf-8"))
        except (binascii.Error, UnicodeDecodeError, ValueError):
            continue
    return found
