"""Rules instead of a model: offline, deterministic, tens of microseconds, useful by itself.

The stub is the default enricher, the model's twin (their disagreement is a drift alarm) and what
answers when every model is down. It looks for the taxonomy's words, weighs the title above the
text, and lets the nearest labelled examples vote where people have labelled any.
"""

import re
from collections.abc import Mapping

from enrich.enricher import Answer, EventText, Example, ExampleFinder, NoExamples, Verdict
from enrich.errors import Spent, UnprocessableError
from enrich.injection import looks_injected
from enrich.language import guess_language
from enrich.lexicon import Lexicon
from enrich.sanitise import clean_text
from enrich.taxonomy import Taxonomy
from enrich.vocabulary import Vocabulary, Weighed, build_vocabulary, weigh, words_in

MAX_TITLE, MAX_TEXT = 500, 4_000  # characters looked at
TITLE_WEIGHT = 2.5
LETTER = re.compile(r"[^\W\d_]")
SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
GREETING = re.compile(
    r"(?i)(?:hi|hello|hey|dear|good (?:morning|afternoon|evening)|hallo|guten (?:tag|morgen)|"
    r"bonjour|hola|ciao|buongiorno|hoi)\b(?: \w+){0,3}\s*[,!.\n]\s*"
)
TEMPLATE_NOISE = re.compile(r"(?m)^(?:#+ .*|[-*=_]{3,}|```.*|\s*>.*)$")


def word_set(text: str) -> frozenset[str]:
    """The words of a text, each once."""
    return frozenset(text.split())


NEGATIVE = word_set(
    "angry annoyed annoying awful bad broken cannot complaint crash crashed crashes disappointed "
    "disappointing disgrace error failed failing fails failure fed frustrated frustrating horrible "
    "impossible lost never nobody outage poor problem ridiculous stolen stuck terrible unable "
    "unacceptable unhappy upset urgent useless waste worst wrong ärgerlich enttäuscht kaputt "
    "schlecht unverschämt déçu inacceptable mauvais nul problème decepcionado inaceptable malo "
    "pésimo problema deluso pessimo slecht teleurgesteld"
)
POSITIVE = word_set(
    "amazing appreciate awesome excellent fantastic glad good grateful great happy helpful kind "
    "love loved lovely nice perfect pleased resolved recovered smooth thank thanks thankful "
    "wonderful danke dankeschön gut super toll zufrieden merci parfait excellente gracias genial "
    "excelente grazie ottimo perfetto bedankt fijn"
)
WORSE = {  # words that say how bad it is, between 0 (mildest) and 1 (worst)
    "fatal": 1.0, "emergency": 1.0, "critical": 0.95, "catastrophic": 1.0, "disaster": 0.9,
    "outage": 0.9, "breach": 0.95, "hacked": 0.95, "ransomware": 1.0, "fraud": 0.8,
    "stolen": 0.8, "corrupted": 0.75, "corruption": 0.75, "panic": 0.8, "down": 0.7,
    "unavailable": 0.7, "urgent": 0.7, "asap": 0.7, "oomkilled": 0.7, "crashloopbackoff": 0.7,
    "deadlock": 0.6, "immediately": 0.65, "blocked": 0.6, "unable": 0.5, "crash": 0.6,
    "crashes": 0.6, "crashed": 0.6, "twice": 0.55, "lawyer": 0.65, "exception": 0.5,
    "error": 0.5, "failed": 0.5, "failure": 0.5, "traceback": 0.5, "broken": 0.5,
    "dringend": 0.7, "sofort": 0.65, "ausfall": 0.9, "urgente": 0.7, "panne": 0.8,
    "warning": 0.3, "warn": 0.3, "slow": 0.35, "retrying": 0.3, "deprecated": 0.2,
    "question": 0.1, "wondering": 0.1, "suggestion": 0.1, "resolved": 0.0, "recovered": 0.0,
}  # fmt: skip
LEVELS = {  # the provider's own word outranks ours
    "fatal": 1.0, "critical": 1.0, "crit": 1.0, "emergency": 1.0, "emerg": 1.0, "alert": 0.95,
    "p1": 1.0, "sev1": 1.0, "sev-1": 1.0, "urgent": 0.95, "blocker": 1.0, "disaster": 1.0,
    "high": 0.75, "major": 0.75, "error": 0.55, "err": 0.55, "p2": 0.75, "sev2": 0.75,
    "sev-2": 0.75, "average": 0.5, "medium": 0.45, "moderate": 0.45, "normal": 0.4, "p3": 0.45,
    "sev3": 0.45, "sev-3": 0.45, "warning": 0.3, "warn": 0.3, "minor": 0.25, "low": 0.2,
    "p4": 0.2, "p5": 0.1, "sev4": 0.2, "notice": 0.1, "info": 0.0, "informational": 0.0,
    "information": 0.0, "debug": 0.0, "ok": 0.0, "resolved": 0.0, "none": 0.0,
}  # fmt: skip
MILD = ("how_to", "feature_request", "spam", "noise")  # nothing is broken
GRAVE = ("outage", "security", "availability")


class StubEnricher:
    """Deterministic rules behind the same face as a model."""

    provider = "stub"
    model = "rules"

    def __init__(self, examples: ExampleFinder | None = None, example_count: int = 6) -> None:
        self._examples = examples or NoExamples()
        self._learns = examples is not None and example_count > 0
        self._example_count = example_count
        self._vocabularies: dict[str, tuple[Vocabulary, Lexicon[Weighed]]] = {}

    def prompt_version(self, taxonomy: Taxonomy) -> str:
        """Changes with the rules and the taxonomy's words."""
        return self._vocabulary(taxonomy)[0].version

    async def enrich(self, event: EventText, taxonomy: Taxonomy) -> Answer:
        """The same as `answer`; nothing is awaited."""
        return self.answer(event, taxonomy)

    def answer(self, event: EventText, taxonomy: Taxonomy) -> Answer:
        """What the rules say. Raises UnprocessableError where there is no letter to read."""
        require_text(event)
        vocabulary, weights = self._vocabulary(taxonomy)
        title = event.title[:MAX_TITLE].lower()
        text = event.text[:MAX_TEXT].lower()
        written, title_written = set(text.split()), set(title.split())
        words, title_words = words_in(written), words_in(title_written)
        is_whole = len(event.title) <= MAX_TITLE and len(event.text) <= MAX_TEXT
        scores = weigh(weights.said_by(words), text, 1.0)
        for name, weight in weigh(weights.said_by(title_words), title, TITLE_WEIGHT).items():
            scores[name] = scores.get(name, 0.0) + weight
        category, confidence = _best_category(taxonomy, scores)
        if self._learns:
            near = self._examples.nearest(event, self._example_count)
            category, confidence = _vote(near, taxonomy, category, confidence)
        both = words | title_words
        verdict = Verdict(
            category=category,
            severity=_severity(taxonomy, category, event.level, both),
            sentiment=_sentiment(both),
            language=guess_language(both, event.title + event.text[:500]),
            tags=_tags(taxonomy, scores),
            summary=_summary(event),
            confidence=confidence,
            suspicious=looks_injected(
                event.title, event.text, written | title_written if is_whole else None
            ),
        )
        return Answer(verdict, self.provider, self.model, vocabulary.version, ONE_CALL)

    def _vocabulary(self, taxonomy: Taxonomy) -> tuple[Vocabulary, Lexicon[Weighed]]:
        key = f"{taxonomy.name}\0{taxonomy.version}"
        found = self._vocabularies.get(key)
        if found is None:
            vocabulary = build_vocabulary(taxonomy)
            found = self._vocabularies[key] = vocabulary, Lexicon(vocabulary.look)
        return found


ONE_CALL = Spent(call_count=1)


def require_text(event: EventText) -> None:
    """Raises UnprocessableError for an event without a single letter: nobody could classify it."""
    if LETTER.search(event.title) is None and LETTER.search(event.text) is None:
        count = len(event.title) + len(event.text)
        raise UnprocessableError(
            "no_text", f"the event has {count} characters and no letter among them"
        )


def _best_category(taxonomy: Taxonomy, scores: Mapping[str, float]) -> tuple[str, float]:
    best, second, name = 0.0, 0.0, taxonomy.other
    for category in taxonomy.category_names:
        score = scores.get(category, 0.0)
        if score > best:
            best, second, name = score, best, category
        elif score > second:
            second = score
    if best == 0.0:
        return name, 0.2
    return name, round(0.35 + 0.55 * (best - second) / (best + 1.0), 3)


def _vote(
    near: list[Example], taxonomy: Taxonomy, category: str, confidence: float
) -> tuple[str, float]:
    """The nearest examples' category, the nearest counting most, the rules' own least."""
    votes: dict[str, float] = {}
    for rank, example in enumerate(near):
        if example.category in taxonomy.category_names:
            votes[example.category] = votes.get(example.category, 0.0) + 1.0 / (1.0 + rank)
    if not votes:
        return category, confidence
    votes[category] = votes.get(category, 0.0) + 0.3 * confidence
    best = max(votes, key=lambda name: votes[name])
    return best, round(min(0.97, votes[best] / sum(votes.values())), 3)


def _severity(taxonomy: Taxonomy, category: str, level: str | None, words: set[str]) -> str:
    names = taxonomy.severity_names
    badness = LEVELS.get(level.strip().lower()) if level else None
    if badness is None:
        said = [WORSE[word] for word in words & WORSE.keys()]
        badness = max(said, default=0.3)
        if category in GRAVE:
            badness = max(badness, 0.65)
        elif category in MILD or category in taxonomy.noise_names:
            badness = min(badness, 0.2)
    if category in taxonomy.noise_names:
        badness = min(badness, 0.1)
    return names[min(len(names) - 1, int(badness * len(names)))]


def _sentiment(words: set[str]) -> str:
    balance = len(words & POSITIVE) - len(words & NEGATIVE)
    return "negative" if balance < 0 else "positive" if balance > 0 else "neutral"


def _tags(taxonomy: Taxonomy, scores: Mapping[str, float]) -> tuple[str, ...]:
    found = tuple(name for name in taxonomy.tag_names if f"#{name}" in scores)
    return found[: taxonomy.max_tags]


def _summary(event: EventText) -> str:
    """The title, and the first real sentence of the text where the title says little."""
    title = event.title.strip()
    if len(title) >= 25 or not event.text:
        return clean_text(title, 200)
    body = GREETING.sub("", TEMPLATE_NOISE.sub("", event.text[:800]).strip(), count=1)
    first = next((part for part in SENTENCE.split(body) if LETTER.search(part)), "")
    if not title or first.lower().startswith(title.lower()):
        again = re.escape(title)
        repeated = rf"(?i)(?:{again}\s+)+(?={again})" if title else r"\Z"
        return clean_text(re.sub(repeated, "", first, count=1) or title, 200)
    return clean_text(f"{title}: {first}" if first else title, 200)
