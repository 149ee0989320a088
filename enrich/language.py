"""Guessing a text's language from its script and its commonest words. No model, no download.

Good for the stub and for reports; short texts of one or two words are `und`.
"""

import re

from enrich.taxonomy import UNDETERMINED

SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]")),  # before Han: Japanese uses both
    ("ko", re.compile("[\uac00-\ud7af]")),
    ("zh", re.compile("[\u4e00-\u9fff]")),
    ("uk", re.compile("[іїєґІЇЄҐ]")),
    ("ru", re.compile("[\u0400-\u04ff]")),
    ("el", re.compile("[\u0370-\u03ff]")),
    ("he", re.compile("[\u0590-\u05ff]")),
    ("ar", re.compile("[\u0600-\u06ff]")),
    ("hi", re.compile("[\u0900-\u097f]")),
    ("th", re.compile("[\u0e00-\u0e7f]")),
)
FOREIGN = re.compile("[\u0370-\u0e7f\u3040-\ud7af]")
COMMON = {
    "en": "the and is to of in it you that my for not with on are this have can was be at but your "
    "i a how what do when me we from has will if does get an by or error failed",
    "de": "der die das und ist nicht ich wir sie mit auf für ein eine zu den im haben von es wie "
    "kann mein meine bei dem auch aus bitte wird sind noch",
    "fr": "le la les et est je vous nous ne pas une un des du pour dans que qui mon ma avec sur ce "
    "au mais plus comment depuis bonjour ai suis",
    "es": "el los las y es no un una de que en mi con por para se su me al del como pero más está "
    "puedo cuando hola desde tengo",
    "it": "il lo gli e è non un una di che in mi con per si del della sono come ma ho più posso "
    "quando ciao da questo",
    "pt": "o os as e é não um uma de que em meu minha com por para se do da como mas mais está "
    "posso quando olá desde tenho você",
    "nl": "de het een en is niet ik wij je van op in te voor met dat zijn mijn kan maar ook bij "
    "hoe wat deze wordt nog",
    "sv": "och är inte jag vi du det att en ett på som för med av till har kan min hur den från",
    "pl": "i nie jest to się na w z do że mam mój jak czy po ale od przez dla proszę",
    "tr": "ve bir bu için ile çok ne nasıl değil ben var daha olarak ama",
}
VOTES: dict[str, tuple[str, ...]] = {}
for _language, _words in COMMON.items():
    for _word in _words.split():
        VOTES[_word] = (*VOTES.get(_word, ()), _language)


def guess_language(words: set[str], text: str) -> str:
    """ISO 639-1 code, or `und`. `words` are the text's distinct words in lower case."""
    if not text.isascii() and FOREIGN.search(text):
        letters = len(text) or 1
        for language, script in SCRIPTS:
            if len(script.findall(text)) * 8 > letters:
                return language
    counts: dict[str, int] = {}
    for word in words & VOTES.keys():
        for language in VOTES[word]:
            counts[language] = counts.get(language, 0) + 1
    if not counts:
        return UNDETERMINED if not words or not text.isascii() else _short(words)
    # Where two are as likely, English and then the first listed: sets have no order of their own.
    voted = [language for language in COMMON if language in counts]
    return max(voted, key=lambda language: (counts[language], language == "en"))


def _short(words: set[str]) -> str:
    """Log lines hold few common words: plain ASCII words of some number are taken for English."""
    return "en" if len(words) >= 4 else UNDETERMINED
