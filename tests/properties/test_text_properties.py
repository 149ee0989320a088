"""What a stranger or a model writes ends in no foreign exception on its way to a call or back."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.enricher import EventText, Example
from enrich.errors import UnprocessableError
from enrich.fingerprint import Fingerprinter, mask
from enrich.injection import looks_injected
from enrich.openai_enricher import read_verdict
from enrich.outgoing import Outgoing
from enrich.prints import EventPrinter
from enrich.redact import redact
from enrich.sanitise import clean_error, clean_verdict, part_names
from enrich.stub import StubEnricher
from enrich.taxonomy import built_in_taxonomy

SUPPORT = built_in_taxonomy("support")
# Characters that only some of `re`, `int`, `str.isdigit` and `str.lower` take for plain ones.
CHARACTERS = st.one_of(st.sampled_from("aiksAIKS019ıİſK٣²①Ⅷ .:/@+-%\\"), st.characters())
GROUPS = st.text(st.sampled_from("kızı12İſ٣"), min_size=4, max_size=4)
GROUPED = st.lists(GROUPS, min_size=2, max_size=9).map(" ".join)  # as accounts, cards and phones
STARTS = st.sampled_from(["No12 ", "Tel. 0", "+44 ", "4111 ", "\\u0131 &#305; ", "user@"])
TEXTS = st.one_of(st.text(CHARACTERS), st.tuples(STARTS, GROUPED).map("".join))


def event(text: str) -> EventText:
    return EventText(1, "tickets", "ticket", text[:50], text)


def answer_of_the_stub(text: str) -> None:
    with suppress(UnprocessableError):
        StubEnricher().answer(event(text), SUPPORT)


class Same:
    """Finds the text itself as the labelled example nearest to it."""

    def nearest(self, found: EventText, _count: int) -> list[Example]:
        return [Example(found.text, "billing")]


STEPS: list[Callable[[str], object]] = [
    redact,
    mask,
    clean_error,
    part_names,
    answer_of_the_stub,
    lambda text: looks_injected(text[:50], text),
    lambda text: EventPrinter(Fingerprinter()).print_of(event(text)),
    lambda text: Outgoing(Same()).message(event(text)),
    lambda text: read_verdict(text, SUPPORT),
]
NAMES = ["redact", "mask", "error", "names", "stub", "injected", "print", "outgoing", "verdict"]


@pytest.mark.parametrize("step", STEPS, ids=NAMES)
@given(text=TEXTS)
def test_any_text_passes(step: Callable[[str], object], text: str) -> None:
    step(text)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=5,
)
FIELDS = ("sentiment", "language", "tags", "confidence", "suspicious")


@given(st.fixed_dictionaries(dict.fromkeys(FIELDS, VALUES)), TEXTS)
def test_any_value_of_a_models_answer_is_read(values: dict[str, object], summary: str) -> None:
    said = {"category": "billing", "severity": "low", "summary": "x" + summary}
    found = clean_verdict(said | values, SUPPORT)
    assert not isinstance(found, str)
