"""What may come out of a model, and what may not."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.enricher import Verdict
from enrich.sanitise import (
    MAX_SUMMARY,
    clean_error,
    clean_text,
    clean_verdict,
    part_names,
    shorten,
)
from enrich.taxonomy import built_in_taxonomy

SUPPORT = built_in_taxonomy("support")
FINE = {"category": "billing", "severity": "low", "summary": "Fine.", "confidence": 0.5}


@pytest.mark.parametrize(
    ("said", "cleaned"),
    [
        ("A plain sentence.", "A plain sentence."),
        ("see [here](https://evil.example/x)", "see here"),
        ("![x](https://evil.example/p.png) hi", "x hi"),
        ("go to https://evil.example/x now", "go to (link) now"),
        ("1://x or a://b", "(link) or (link)"),
        ("go to www.evil.example", "go to (link)"),
        ("go to evil.com/login now", "go to (link) now"),
        ("javascript:alert(1) x", "(link) x"),
        ("Erase my data: all of it", "Erase my data: all of it"),
        ("<b>bold</b> <script>alert(1)</script>", "bold alert(1)"),
        ("<!channel> look", "look"),
        ("@everyone look, ping @ops/team", "everyone look, ping ops/team"),
        ("fixes #12 and GH-3", "fixes 12 and 3"),
        ("**bold** `code` _it_ ~no~", "bold code it no"),
        ("# Heading\n- item", "Heading item"),
        ("red \x1b[31mtext\x07", "red 31mtext"),
        ("two\r\nlines\ttab", "two lines tab"),
        ("gnp\u202eexe zero\u200bwidth", "gnpexe zerowidth"),
        ("mail bob@corp.example", "mail (address)"),
        ("nested [[x](y)](z) <<a>b>", "nested x(z) b"),
        ("Ｆｕｌｌ ｗｉｄｔｈ", "Full width"),
        ("go to evil。com", "go to (link)"),
        ("text sms:+15550187", "text (link)"),
        ('=HYPERLINK("x")', 'HYPERLINK("x")'),
        ("- one", "one"),
        ("#general is down", "general is down"),
        ("C# code in checkout.py fails", "C# code in checkout.py fails"),
        ("KeyError: 'customer_id' in a__b", "KeyError: 'customer_id' in a__b"),
        ("billing.invoice in render", "billing.invoice in render"),
        ("java.net.SocketTimeoutException in v1.2.3", "java.net.SocketTimeoutException in v1.2.3"),
    ],
)
def test_a_summary_becomes_plain_text(said: str, cleaned: str) -> None:
    assert clean_text(said) == cleaned


@pytest.mark.parametrize(
    ("stored", "leaves"),
    [
        ("go to evil.zone or login.bank/now", "go to evil. zone or login. bank/now"),
        ("go to пример.рф", "go to пример. рф"),
        ("checkout.py and v1.2.3", "checkout.py and v1.2.3"),
    ],
)
def test_a_name_that_a_chat_may_take_for_a_link_does_not_leave(stored: str, leaves: str) -> None:
    assert part_names(clean_text(stored)) == leaves


@settings(max_examples=200)
@given(st.text(alphabet=st.sampled_from("abc <>[]()!@#`*_:/.\\|-\n\u200b&;x1"), max_size=80))
def test_no_text_keeps_markup_mention_or_link(said: str) -> None:
    cleaned = clean_text(said)
    assert not re.search(r"[<>\[\]`*|{}\\]|(?<!\w)@\w|\w://|\n", cleaned)


@settings(max_examples=100)
@given(st.text(max_size=600))
def test_a_summary_is_bounded(said: str) -> None:
    assert len(clean_text(said)) <= MAX_SUMMARY


def test_a_long_summary_ends_between_words() -> None:
    assert shorten("one two three four", 12) == "one two…"


def test_an_error_is_one_line() -> None:
    assert clean_error("a\nb\x00c") == "a bc"


def verdict_of(**changes: object) -> Verdict | str:
    return clean_verdict(FINE | changes, SUPPORT)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("category", "Billing"),
        ("category", None),
        ("category", ["billing"]),
        ("severity", "urgent"),
        ("summary", ""),
        ("summary", 7),
    ],
)
def test_a_verdict_that_cannot_be_read_says_why(field: str, value: object) -> None:
    assert str(verdict_of(**{field: value})).startswith(f"{field} must be")


@pytest.mark.parametrize(
    ("said", "kept"),
    [(0.7, 0.7), (7, 1.0), (-1, 0.0), (float("nan"), 0.0), ("0.9", 0.0), (True, 0.0), (None, 0.0)],
)
def test_confidence_is_a_probability_or_nothing(said: object, kept: float) -> None:
    verdict = verdict_of(confidence=said)
    assert isinstance(verdict, Verdict)
    assert verdict.confidence == kept


@pytest.mark.parametrize(
    ("said", "kept"), [("de", "de"), ("EN-us", "en"), ("german", "ge"), (7, "und"), ("und", "und")]
)
def test_a_language_is_two_letters_or_undetermined(said: object, kept: str) -> None:
    verdict = verdict_of(language=said)
    assert isinstance(verdict, Verdict)
    assert verdict.language == kept


def test_tags_are_those_of_the_taxonomy_in_its_order() -> None:
    verdict = verdict_of(tags=["api", "root", 7, "urgent", "api"])
    assert isinstance(verdict, Verdict)
    assert verdict.tags == ("urgent", "api")
