"""What texts that speak to a model say, in many languages: patterns, and where to try them.

Each sign is tried only where one of its hints occurs: most texts hold none, and looking for one
costs a thousandth of a pattern. Hints and patterns are matched against lower case.
"""

import re

NOUNS = (
    r"(?:instructions?|prompts?|rules?|directions?|guidelines?|directives?|polic(?:y|ies)|guidance|"
    r"orders|constraints?|taxonomy|schema)"
)
FIELDS = r"(?:category|severity|confidence|priority|sentiment|suspicious(?:ness)?|tags?)"

IGNORE_IN_LATIN = (
    r"ignor\w*|vergiss|missachte|oublie\w*|olvida\w*|dimentica\w*|negeer|esque\w+|zignor\w*|pomiń"
    r"|zapomn\w*|zapome\w*|yok say|unut|görmezden|glöm|glem|unohda|ohita|felejtsd|hagyd|bỏ qua|quên"
    r"|abaikan|lupakan"
)
RULES_IN_LATIN = (
    "anweisung|instru|istruz|regeln|règles|reglas|consignes|polece|zasad|pokyn|pravid|talimat|kural"
    "|komut|ohje|utasítás|hướng dẫn|chỉ dẫn|quy tắc|perintah|arahan|aturan"
)
IGNORE_ELSEWHERE = (
    r"игнорир\w*|забудь\w*|ігнор\w*|αγνόησ\w*|ξέχνα|ξέχασ\w*|התעלם|שכח|अनदेखा|भूल|เพิกเฉย|ลืม"
)
RULES_ELSEWHERE = (
    "инструкц|указани|правил|інструкці|вказівк|οδηγί|εντολ|κανόν|הוראות|הנחיות|निर्देश|คำสั่ง|คำแนะนำ"
)


def _either_way(verbs: str, nouns: str) -> str:
    """A pattern for both within one sentence: languages differ in which comes first."""
    return rf"(?:{verbs})[^.\n]{{0,60}}(?:{nouns})|(?:{nouns})[^.\n]{{0,60}}(?<!\w)(?:{verbs})"


SIGNS = tuple(
    (tuple(words.split("|")), re.compile(pattern, re.MULTILINE))
    for words, pattern in (
        (
            (
                "ignore|ignoring|disregard|forget|override|overriding|bypass|skip|discard|neglect"
                "|set aside|drop"
            ),
            (
                r"\b(?:ignor(?:e|ing)|disregard|forget|overrid(?:e|ing)|bypass|skip|discard|neglect"
                r"|set aside|drop)\b[^.]{0,40}\b(?:previous|prior|above|earlier|preceding|all|any"
                rf"|your|system|these|those|every|other)\b[^.]{{0,30}}\b{NOUNS}\b"
            ),
        ),
        (RULES_IN_LATIN, _either_way(IGNORE_IN_LATIN, RULES_IN_LATIN)),
        (RULES_ELSEWHERE, _either_way(IGNORE_ELSEWHERE, RULES_ELSEWHERE)),
        (
            "bist du|du bist|désormais|maintenant|ahora eres|ora sei|in poi sei|agora você é",
            (
                r"\b(?:(?:ab (?:jetzt|sofort|nun)|von nun an) bist du|du bist (?:jetzt|nun|ab)\b"
                r"|(?:désormais|maintenant),? (?:tu es|vous êtes)|tu es (?:désormais|maintenant)"
                r"|(?:ahora|a partir de ahora) eres|(?:ora|d'ora in poi) sei|agora você é)"
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
        (
            (
                "you are now|you are no longer|you are henceforth|you are from now on"
                "|you are actually a"
            ),
            r"\byou are (?:now|no longer|henceforth|from now on|actually an?)\b",
        ),
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
            "prompt|message to|instruct",
            r"\b(?:system|developer|hidden|initial|original) (?:prompt|message to|instructions?)\b",
        ),
        (
            "prompt|your instructions|system message|text above|words above|everything above",
            (
                r"\b(?:reveal|repeat|print|show|output|leak|disclose|quote|copy)\b[^.\n]{0,30}\b(?:(?:your"
                r"|the|system) (?:system )?prompt|your instructions|system message|(?:text|words"
                r"|everything) above)\b"
            ),
        ),
        (
            "<",
            (
                r"<\|?\s*/?\s*(?:im_start|im_end|endoftext|system|assistant|developer|start_header_id"
                r"|eot_id)\b|<\|(?:start|end|message|channel|return|call)\|>|<(?:start|end)_of_turn>"
            ),
        ),
        (
            "role",
            r"\brole[\"']?\s*[:=]\s*[\"']?(?:system|assistant|developer|tool)\b",
        ),
        ("inst]|[sys|<sys", r"\[/?inst\]|\[/?sys(?:tem)?\]|<</?sys>>"),
        (
            "##",
            (
                r"^\s*#{2,}\s*(?:system|new instructions?|instructions? (?:to|for)|assistant"
                r"|new task)\b"
            ),
        ),
        ("system|assistant|developer", r"^[\s>]*(?:system|assistant|developer)\s?:\s"),
        (
            "<",
            (
                r"</\s*(?:event|untrusted|ticket|context|user_input|instructions?|prompt|tool_call"
                r"|function_calls?|(?:tool|function)_(?:result|response|output)s?)\b"
                r"|<\s*(?:untrusted|user_input|tool_call|function_calls?"
                r"|(?:tool|function)_(?:result|response|output)s?)\b"
                r"|</event-[0-9a-f]"
            ),
        ),
        (
            "category|severity|confidence|suspicious|sentiment",
            r"[{,]\s*[\"']?(?:category|severity|confidence|suspicious|sentiment)[\"']?\s*:\s*[\"'\w\[{]",
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
            (
                " ai| llm| assistant| model| classifier| chatgpt| gpt| claude| language model"
                "| triage bot"
            ),
            (
                r"\b(?:dear|hey|hello|hi|attention|attn)[,:]? (?:ai|llm|assistant|model|classifier"
                r"|chatgpt|gpt|claude|language model|triage bot)\b"
            ),
        ),
        (
            " ai| llm| language model| large language",
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
            "your task|new task|your job|your goal",
            r"\byour (?:(?:new|only|real) (?:task|job|goal)\b|(?:task|job|goal) (?:is )?now\b)",
        ),
        (
            "label|category|tag|severity|priority",
            (
                r"\b(?:right|correct|proper|true) (?:label|category|tag|severity) (?:is|was)\b"
                r"|\b(?:answer|respond|reply) with (?:the )?(?:category|severity|priority|tag)\b"
                r"|\b(?:use|add|choose|pick|set) (?:every|all|each)(?: of)?(?: the| your)? tags?\b"
            ),
        ),
        (
            (
                "no instructions|no restrictions|no filters|without any|without instructions"
                "|without rules|without restrictions|without limits|without filters"
            ),
            (
                r"\byou (?:had|have) no (?:instructions|restrictions|filters)\b"
                r"|\b(?:act(?:ing)?|behave|model|assistant)\b[^.\n]{0,20}"
                r"\bwithout(?: any)? (?:instructions|rules|restrictions|limits|filters)\b"
            ),
        ),
        (
            "classifier",
            r"\bclassifier\b[^.\n]{0,12}\b(?:says|answers|returns|outputs|must|should|decides)\b",
        ),
        (
            "safety filter|safety check|safety rule|safety layer|override code",
            (
                r"\bsafety (?:filters?|checks?|rules?|layers?)\b[^.\n]{0,8}"
                r"\b(?:off|disabled|lifted)\b|\boverride code\b"
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
