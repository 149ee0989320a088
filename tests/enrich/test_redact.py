"""What is masked before a text leaves this machine, and what is not."""

import base64
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.redact import redact
from enrich.sensitive import is_card, is_iban

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
        "Served block blk_-6952295868487656571",
        "REPORT : 7024 5015 150454 240",
        "from adsl-63-197-98-106.dsl.example.net",
        "block blk_5739119717322549945 served",
        "[12345.678901] usb 1-1",
        "[0701/114930:WARNING:dns.cc(306)] failed",
        "01-02-2026 05:44 ref 00412-7",
        "order 123-4567890-1234567, SKU 12-345-678, part AB 12 34",
        "customer 00012345 of 555 0100 22",
        "password: authentication failed",
        "session_id: 38afes7a8 ended",
        "the passport is missing, NHS is busy",
        "phone model X12, phone is 10.4.12.1",
        "channels 1 2 3 4 5 6 7 8 9 10 11 12 13 36 40",
        "old=4800.935999999999",
        "akka.tcp://sparkExecutor@mesos-07:55904",
        "sessionid: 0x14ede63a5a70002",
        "ssh -p2222 host",
        "mysql -p shop",
        "mysql -P3306 -h db",
        "order 078051120",
        "SSN: 078001120",
        "ошибка HTTP, HTTPошибка",
    ],
)
def test_what_is_not_private_stays(text: str) -> None:
    assert redact(text).text == text


DISCORD = "https://discord.com/api/" + "webhooks/123456789012345678/abcDEF-ghi_jklMNOpqrst"
ENCODED = base64.b64encode(b"write to bob.smith@example.com").decode()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("card 4111\u200b1111\u200b1111\u200b1111", "card [card]"),
        ("card ４１１１１１１１１１１１１１１１", "card [card]"),
        ("card 4111\u00a01111\u00a01111\u00a01111", "card [card]"),
        ("card 4111\u20111111\u20111111\u20111111", "card [card]"),
        ("card 4111.1111.1111.1111", "card [card]"),
        ("card 4111 1111\n1111 1111", "card [card]"),
        ("card 4111 1111 1111 1111 12/27", "card [card] 12/27"),
        ("order 1234 4111 1111 1111 1111", "order 1234 [card]"),
        ("card 3782 822463 10005", "card [card]"),
        ("bob@exam\u200bple.com", "[email]"),
        ("bob\u00ad@exam\u00adple.com", "[email]"),
        ("bob＠example.com", "[email]"),
        ("bob (at) example (dot) com", "[email]"),
        ("bob AT example DOT com", "[email]"),
        ("bob%40example.com", "[email]"),
        ('"bob smith"@example.com', "[email]"),
        (f"token {JWT[:20]}\u200b{JWT[20:]}", "token [token]"),
        (f"{JWT.replace('.e', '.' + chr(10) + 'e')} sent", "[token] sent"),
        (f"_{STRIPE}", "_[secret]"),
        (DISCORD, "[secret]"),
        ("hf" + "_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7", "[secret]"),
        ("-----BEGIN PGP " + "PRIVATE KEY BLOCK-----\nabc", "[secret]"),
        ("AUTHORIZATION: BEARER abcdef0123456789", "AUTHORIZATION: BEARER [token]"),
        ("Set-Cookie: sid=abc123; Path=/\nok", "Set-Cookie: [token]\nok"),
        ("curl -u admin:hunter22x https://x.example", "curl -u [token]"),
        ("AccountKey=Eby8vdM02xNOcqFlqUwJPL==;x", "AccountKey=[secret];x"),
        ("password=correcthorse", "password=[secret]"),
        ("Kennwort: geheim123!", "Kennwort: [secret]"),
        ("mot de passe : azerty123", "mot de passe : [secret]"),
        ("пароль: abc12345", "пароль: [secret]"),
        ("密码：abc12345", "密码:[secret]"),
        ('{\\"password\\":\\"hunter2!x\\"}', '{\\"password\\":\\"[secret]"}'),
        ("password: 'two words'", "password: '[secret]'"),
        ("<password>hunter2!x</password>", "<password>[secret]</password>"),
        ("CVV 123", "CVV [secret]"),
        ("redis://:s3cretpw@db", "redis://[secret]@db"),
        (f"see {ENCODED}", "see [encoded]"),
        ("de89 3704 0044 0532 0130 00", "[iban]"),
        ("LT12 1000 0111 0100 1000 then more", "[iban] then more"),
        ("tel. 0044 20 7946 0958", "tel. [phone]"),
        ("my number is 4155552671", "my number is [phone]"),
        ("mysql -u root -phunter2 shop", "mysql -u root -p[secret] shop"),
        ("mysqldump -p'two words' shop", "mysqldump -p'[secret]' shop"),
        ("sshpass -phunter2 ssh db", "sshpass -p[secret] ssh db"),
        ("p\u0430ssw\u043erd: hunter2!x", "password: [secret]"),
        ("\u0440\u0430ssword=correcthorse", "password=[secret]"),
        ("SSN: 078051120", "SSN: [national_id]"),
        ("social security number is 078051120", "social security number is [national_id]"),
    ],
)
def test_what_hides_or_is_spelt_otherwise_is_masked(text: str, masked: str) -> None:
    assert redact(text).text == masked


@pytest.mark.parametrize(
    "seed",
    ["eyJ", "4\n", "4111 ", "password=", "a@", "a.", "http://a:", "<password>", "a AT ", "DE89 ",
     "-----BEGIN PRIVATE KEY-----", "sk-", "cookie:", "QUFB", "001 ", "\u200b", '"',
     "mysql -", "mysql a ", "0 ", "tel 0", "(0", "a at b dot ", "AB12", "passport 1 ",
     "\u00e9", "a\u0431"],
)  # fmt: skip
def test_a_text_made_to_be_slow_takes_no_longer_than_its_length_allows(seed: str) -> None:
    """Eight times the text takes about eight times as long, not sixty-four."""

    def seconds(length: int) -> float:
        text = (seed * length)[:length]
        started = time.process_time()
        redact(text)
        return time.process_time() - started

    assert seconds(32_000) < 30 * max(seconds(4_000), 0.005)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Tel. 089/12345678", "Tel. [phone]"),
        ("Téléphone : 01 23 45 67 89", "Téléphone : [phone]"),
        ("teléfono 612 34 56 78", "teléfono [phone]"),
        ("llámame al 91 123 45 67", "llámame al [phone]"),
        ("tlf 22 33 44 55", "tlf [phone]"),
        ("手机 138 0013 8000", "手机 [phone]"),
        ("tel 98765 43210", "tel [phone]"),
        ("call me on 555 0187", "call me on [phone]"),
        ("tel-415-555-2671", "tel-[phone]"),
    ],
)
def test_a_number_that_a_word_announces_is_masked_wherever_it_is_dialled(
    text: str, masked: str
) -> None:
    assert redact(text).text == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("it is 020 7946 0958, thanks", "it is [phone], thanks"),
        ("06 12 34 56 78 est à moi", "[phone] est à moi"),
        ("0412 345 678 after six", "[phone] after six"),
        ("090-1234-5678 まで", "[phone] まで"),
        ("044 668 18 00", "[phone]"),
        ("098765 43210", "[phone]"),
        ("(11) 91234-5678", "[phone]"),
    ],
)
def test_a_number_with_a_leading_zero_is_masked_where_people_write_theirs_so(
    text: str, masked: str
) -> None:
    assert redact(text).text == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("NI QQ 12 34 56 C", "NI [national_id]"),
        ("it is AB123456C", "it is [national_id]"),
        ("RSSMRA85T10A562S", "[national_id]"),
        ("passport number 533380006", "passport number [national_id]"),
        ("DNI: 12345678Z", "DNI: [national_id]"),
        ("Aadhaar 2345 6789 0124", "Aadhaar [national_id]"),
        ("NHS number is 943 476 5919", "NHS number is [national_id]"),
    ],
)
def test_national_ids_are_masked(text: str, masked: str) -> None:
    assert redact(text).text == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("JSESSIONID=ABCDEF0123456789", "JSESSIONID=[secret]"),
        ("sessionid=38afes7a8", "sessionid=[secret]"),
        ("password: correcthorsebattery", "password: [secret]"),
        ("bob at example dot com", "[email]"),
        ("Server=db;Password=Hunter2Hunter;", "Server=db;Password=[token];"),
        ("mongodb+srv://u:p%40ss@c0.example.net/", "mongodb+srv://[secret]@c0.example.net/"),
        ("jdbc:mysql://db/shop?user=app&password=letmein12",
         "jdbc:mysql://db/shop?user=app&password=[token]"),
    ],
)  # fmt: skip
def test_sessions_and_logins_are_masked(text: str, masked: str) -> None:
    assert redact(text).text == masked


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
