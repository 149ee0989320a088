"""The rules: sensible on tickets and alerts, the same every time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.enricher import EventText
from enrich.examples import ExampleIndex, Labelled
from enrich.stub import StubEnricher
from enrich.taxonomy import built_in_taxonomy, taxonomy_from, taxonomy_of_labels

SUPPORT, ERRORS = built_in_taxonomy("support"), built_in_taxonomy("errors")
STUB = StubEnricher()


def ticket(title: str, text: str = "", level: str | None = None) -> EventText:
    return EventText(1, "s", "t", title, text, level=level)


@pytest.mark.parametrize(
    ("title", "text", "category"),
    [
        ("Charged twice", "You charged me twice in March, please refund one payment", "billing"),
        ("Cannot log in", "My password reset mail never arrives", "account_access"),
        ("App crashes", "Since the update the app crashes, stack trace below", "bug"),
        ("Everything is down", "The dashboard is unreachable for all users since 9", "outage"),
        ("XSS in comments", "I found a vulnerability in the comment field", "security"),
        ("Where is my parcel?", "The tracking says it arrived but it did not", "delivery"),
        ("Dark mode", "It would be great to have a dark mode, please add it", "feature_request"),
        ("Close my account", "I want to cancel and delete my account", "cancellation"),
        ("Question", "How do I invite a colleague to the board?", "how_to"),
        ("Third time I write", "This is unacceptable, nobody answers", "complaint"),
        ("Rank higher", "We sell cheap backlinks and seo, click here", "spam"),
        ("Rechnung falsch", "Die Rechnung stimmt nicht, bitte um Zahlung zurück", "billing"),
    ],
)
def test_tickets_are_put_where_people_would(title: str, text: str, category: str) -> None:
    assert STUB.answer(ticket(title, text), SUPPORT).verdict.category == category


@pytest.mark.parametrize(
    ("title", "category"),
    [
        ("OperationalError: deadlock detected while updating orders", "database"),
        ("ConnectionError: connection refused by payments.internal", "network"),
        ("no space left on device /dev/sda1", "resources"),
        ("401 Unauthorized: token expired", "authentication"),
        ("POSSIBLE BREAK-IN ATTEMPT from 1.2.3.4", "security"),
        ("TypeError: Cannot read properties of undefined", "code_defect"),
        ("Stripe API error: upstream third-party outage", "external_service"),
        ("CrashLoopBackOff: pod web restarted 12 times", "deployment"),
        ("JSONDecodeError: malformed schema in import.csv", "data_quality"),
        ("fan speed low, temperature high: hardware sensor", "hardware"),
        ("InstanceDown: health check failed, service down", "availability"),
        ("[RESOLVED] back to normal", "noise"),
    ],
)
def test_alerts_are_put_where_people_would(title: str, category: str) -> None:
    assert STUB.answer(ticket(title), ERRORS).verdict.category == category


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        ("fatal", "critical"),
        ("error", "medium"),
        ("WARNING", "low"),
        ("info", "info"),
        ("P1", "critical"),
    ],
)
def test_the_providers_level_decides_the_severity(level: str, severity: str) -> None:
    event = ticket("something happened in checkout", level=level)
    assert STUB.answer(event, ERRORS).verdict.severity == severity


def test_a_resolved_alert_is_mild_whatever_it_was() -> None:
    event = ticket("[RESOLVED] back to normal: disk full", level="critical")
    assert STUB.answer(event, ERRORS).verdict.severity == "info"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I was charged twice and I would like my money back", "en"),
        ("Ich habe die Rechnung nicht bekommen und bitte um Hilfe", "de"),
        ("Je n'ai pas reçu le colis et je vous demande de l'aide", "fr"),
        ("No puedo entrar en mi cuenta desde ayer", "es"),
        ("Не могу войти в аккаунт", "ru"),
        ("請求書が届きません", "ja"),
        ("我没有收到发票", "zh"),
        ("x", "und"),
    ],
)
def test_the_language_is_guessed(text: str, language: str) -> None:
    assert STUB.answer(ticket("", text), SUPPORT).verdict.language == language


def test_tags_are_found() -> None:
    event = ticket("Refund", "I need the refund urgently, the mobile app shows nothing")
    assert STUB.answer(event, SUPPORT).verdict.tags == ("urgent", "refund", "mobile")


def test_an_angry_writer_is_negative() -> None:
    event = ticket("Terrible", "This is a disgrace, I am very disappointed")
    assert STUB.answer(event, SUPPORT).verdict.sentiment == "negative"


def test_the_summary_skips_the_greeting() -> None:
    event = ticket("Help", "Hello dear team,\nmy invoice is wrong. More below.")
    assert STUB.answer(event, SUPPORT).verdict.summary == "Help: my invoice is wrong."


def test_the_summary_says_a_title_once_that_the_text_begins_with() -> None:
    event = ticket("KeyError: 'x'", "KeyError: 'x' KeyError: 'x' billing.invoice in render")
    assert STUB.answer(event, ERRORS).verdict.summary == "KeyError: 'x' billing.invoice in render"


def test_the_same_event_gets_the_same_answer() -> None:
    event = ticket("Charged twice", "please refund")
    assert StubEnricher().answer(event, SUPPORT) == StubEnricher().answer(event, SUPPORT)


def test_a_taxonomy_without_words_works_by_its_names() -> None:
    own = taxonomy_of_labels("own", ["parking_ticket", "lost_luggage"])
    assert STUB.answer(ticket("My luggage is lost"), own).verdict.category == "lost_luggage"


def test_words_of_a_taxonomy_are_heeded() -> None:
    own = taxonomy_from("own", {"categories": [{"name": "zoo", "words": ["giraffe*"]}]}, SUPPORT)
    assert STUB.answer(ticket("Three giraffes escaped"), own).verdict.category == "zoo"


def test_labelled_examples_outvote_the_rules() -> None:
    index = ExampleIndex([Labelled("s", "invoice shows the wrong address", "account_access")])
    learned = StubEnricher(index).answer(ticket("invoice with wrong address"), SUPPORT)
    assert learned.verdict.category == "account_access"


@settings(max_examples=150)
@given(st.text(max_size=300), st.text(max_size=100))
def test_any_text_with_a_letter_is_answered(text: str, title: str) -> None:
    verdict = STUB.answer(ticket("a" + title, text), SUPPORT).verdict
    assert verdict.category in SUPPORT.category_names
