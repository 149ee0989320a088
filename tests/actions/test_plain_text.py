"""No link and no mention leaves, whatever its notation."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enrich.actions.plain_text import one_line, plain_text

LINKS = [
    "https://evil.example/x?y=z",
    "HTTP://EVIL.EXAMPLE",
    "hxxp is https://evil.example",
    "ftp://evil.example/file",
    "www.evil.com",
    "evil.com/login",
    "login.evil.co.uk",
    "evil.xyz",
    "//evil.com/x",
    "[click](https://evil.example)",
    "[click](javascript:alert(1))",
    "![img](https://evil.example/p.png)",
    "[click][1]",
    "<https://evil.example|click>",
    '<a href="https://evil.example">click</a>',
    "javascript:alert(1)",
    "data:text/html,hello",
    "mailto:mallory@evil.example",
    "mallory@evil.example",
    "slack://channel?id=1",
    "msteams:/l/chat",
    "https:/evil.example",
    "http://192.0.2.1/x",
    "192.0.2.1:8080/x",
    "ｈｔｔｐｓ：／／ｅｖｉｌ．ｃｏｍ",
    "ht\u200btps://evil.example",
    "https://ev\u00adil.example",
    "evil\u2060.com",
    "hhttps://x.comttps://evil.example",
    "http:\\\\evil.example",
    "evil。com/x",
    "日本evil.com",
    "evil.com日本",
    "foo_evil.com",
    "evil.рф",
    "evil.xn--p1ai",
    "skype:evil?call",
    "xmpp:evil",
    "[text|https://evil.example]",
    "!https://evil.example/p.png!",
]
MENTIONS = [
    "@here",
    "@channel please",
    "@everyone",
    "hello @anna",
    "@@here",
    "@acme/security",
    "<!here>",
    "<!channel|channel>",
    "<!subteam^S123|team>",
    "<@U123>",
    "<#C123|general>",
    "<@&123>",
    "<at>Anna</at>",
    "＠here",
    "@\u200bhere",
    "@<!x>here",
    "mallory@everyone",
    "_@channel_",
    "[~accountid:5b10ac8d]",
    "[~anna]",
]
LINK_LEFT = re.compile(
    r"://|www\.|\]\(|\bjavascript:|\bdata:|mailto:|\w@\w|evil[.。](?!txt)\w|\b(?:skype|xmpp):|:\\\\|192\.0\.2\.1[:/]",
    re.IGNORECASE,
)
MENTION_LEFT = re.compile(r"(?<!\w)[@＠﹫]\w|<[!@#]|<at>|@(?:everyone|channel)|\[~", re.IGNORECASE)


@pytest.mark.parametrize("text", LINKS)
def test_no_link_is_left(text: str) -> None:
    assert not LINK_LEFT.search(plain_text(f"See {text} now"))


@pytest.mark.parametrize("text", MENTIONS)
def test_no_mention_is_left(text: str) -> None:
    assert not MENTION_LEFT.search(plain_text(f"See {text} now"))


@pytest.mark.parametrize(
    "text",
    [
        "KeyError: 'currency' in main.py line 41",
        "java.util.List is null at com.acme.Billing.render(Billing.java:12)",
        "max_connections = 100 (was 50)",
        "Version 1.2.3 costs 29.90 EUR, 5 > 3 & 2 < 4",
        "Straße, 東京, Ωmega, señor",
        "Two lines.\nThe second one.",
        "ratio 10:1, time 09:15:00",
    ],
)
def test_what_people_need_to_read_stays(text: str) -> None:
    assert plain_text(text) == text


def test_control_and_bidirectional_characters_are_gone() -> None:
    assert plain_text("a\x00b\x1b[31mc\u202ed\u2066e") == "ab[31mcde"


def test_a_long_text_is_cut_and_says_so() -> None:
    assert plain_text("word " * 1000, 20) == "word word word word…"


def test_one_line_is_one_line() -> None:
    assert "\n" not in one_line("a\r\nb\nc\u2028d")


@settings(max_examples=200, deadline=None)
@example(["<", "@"])
@given(
    st.lists(st.sampled_from([*LINKS, *MENTIONS, "a", " ", "<", "@", "(", "/", ":"]), max_size=6)
)
def test_pieces_put_together_make_no_link_and_no_mention(pieces: list[str]) -> None:
    cleaned = plain_text("".join(pieces))
    assert not re.search(r"[a-z]://|www\.\w", cleaned, re.IGNORECASE)
    assert not MENTION_LEFT.search(cleaned)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = plain_text(text)
    assert plain_text(once) == once


def test_cleaning_is_quick_on_what_is_made_to_be_slow() -> None:
    hostile = ["a." * 50_000, "[" * 100_000, "@" * 100_000, "<" * 100_000, "a@" * 50_000]
    for text in hostile:
        plain_text(text)
