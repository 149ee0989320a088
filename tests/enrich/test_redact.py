"""What is masked before a text leaves this machine, and what is not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.redact import is_card, is_iban, redact

# Assembled here, so that no scanner takes a test for a leak.
STRIPE = "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc"
GITHUB = "ghp" + "_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
SLACK = "xox" + "b-123456789012-abcdefGHIJKL"
JWT = "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVPmB92K27uhbUJU1p1r"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"my key is {STRIPE}", "my key is [secret]"),
        (f"push with {GITHUB} failed", "push with [secret] failed"),
        (f"{AWS} denied", "[secret] denied"),
        (f"bot {SLACK}", "bot [secret]"),
        (f"cookie {JWT}", "cookie [token]"),
        ("Authorization: Bearer abcdef0123456789", "Authorization: Bearer [token]"),
        ("password: hunter2!x", "password: [secret]"),
        ('{"api_key": "a8f5f167f44f"}', '{"api_key": "[secret]"}'),
        ("postgres://app:s3cretpw@db/x", "postgres://[secret]@db/x"),
        ("GET /x?token=abcdef123&y=1", "GET /x?token=[token]&y=1"),
        ("write to bob.smith+x@example.co.uk.", "write to [email]."),
        ("card 4111 1111 1111 1111 declined", "card [card] declined"),
        ("card 5555-5555-5555-4444", "card [card]"),
        ("pay to DE89 3704 0044 0532 0130 00", "pay to [iban]"),
        ("ssn 078-05-1120", "ssn [national_id]"),
        ("call +44 20 7946 0958 now", "call [phone] now"),
        ("call (415) 555-2671", "call [phone]"),
    ],
)
def test_what_is_private_is_masked(text: str, masked: str) -> None:
    assert redact(text).text == masked


@pytest.mark.parametrize(
    "text",
    [
        "order 4111111111111112 is late",
        "2026-03-01 12:00:00.123 ERROR in 10.1.2.3",
        "took 1234.5678 ms",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "the password is wrong",
        "my token does not work",
        "page 12 of 345, build 20260301120000",
        "version 3.11.7",
        "at Cart.add (cart.js:120:15)",
    ],
)
def test_what_is_not_private_stays(text: str) -> None:
    assert redact(text).text == text


def test_each_kind_is_counted() -> None:
    assert redact("a@b.example c@d.example 4111111111111111").counts == {"email": 2, "card": 1}


def test_a_private_key_is_masked_to_its_end() -> None:
    begin, end = "-----BEGIN " + "PRIVATE KEY-----", "-----END " + "PRIVATE KEY-----"
    assert redact(f"x {begin}\nMIIE\nabc\n{end} y").text == "x [secret] y"


def test_national_numbers_are_those_of_the_region() -> None:
    assert redact("ruf 030 901820 an", "DE").text == "ruf [phone] an"


@pytest.mark.parametrize("number", ["4111111111111111", "378282246310005", "6011111111111117"])
def test_test_cards_pass_luhn(number: str) -> None:
    assert is_card(number)


def test_repeated_digits_are_no_card() -> None:
    assert not is_card("4444444444444444")


def test_a_wrong_check_digit_is_no_iban() -> None:
    assert not is_iban("DE88370400440532013000")


@settings(max_examples=100)
@given(st.text(max_size=300))
def test_any_text_can_be_redacted_twice_without_change(text: str) -> None:
    once = redact(text).text
    assert redact(once).text == once
