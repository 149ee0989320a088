"""What holds for fingerprints of any message and any log."""

import json
import time
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.fingerprint import Fingerprinter, Limits, mask

WORDS = st.sampled_from(
    [
        "disk",
        "full",
        "queue",
        "lost",
        "Cart",
        "not",
        "worker",
        "io.shop.Till",
        "to",
        "retry",
        "QUIT",
    ]
)
DIGITS = st.integers(0, 10**12).map(str)
HEX = st.integers(0, 2**64).map(lambda number: f"0x{number:x}")
UUIDS = st.uuids().map(str)
# An address of letters only could be a word.
IPS = st.ip_addresses().map(str).filter(lambda text: any(map(str.isdigit, text)))
TIMES = st.datetimes().map(lambda moment: moment.isoformat(sep=" ", timespec="milliseconds"))
KINDS = (DIGITS, HEX, UUIDS, IPS, TIMES)
SENTENCES = st.lists(WORDS, min_size=1, max_size=6)

NAMES = st.sampled_from(["ada", "bo", "cy", "di", "ed", "flo", "gus", "4711", "x.y", "q_1"])
LINES = st.one_of(
    NAMES.map(lambda name: f"user {name} was locked out by policy"),
    NAMES.map(lambda name: f"mail for user {name} was sent back"),
    st.tuples(NAMES, NAMES).map(lambda two: f"host {two[0]} gave bundle='{two[1]}' to the runner"),
    st.text(max_size=80),
)
LOGS = st.lists(LINES, max_size=60)
SMALL = Limits(lines=6, contexts=8, patterns=2)


def prints(fingerprinter: Fingerprinter, log: list[str]) -> list[str]:
    """The print of every line, in order."""
    return [fingerprinter.fingerprint(line).print for line in log]


@given(SENTENCES, st.data())
def test_another_value_of_the_same_kind_has_the_same_mask(
    words: list[str], data: st.DataObject
) -> None:
    """In the middle of any words."""
    kind = data.draw(st.sampled_from(KINDS))
    place = data.draw(st.integers(0, len(words)))
    masks = {mask(" ".join([*words[:place], data.draw(kind), *words[place:]])) for _ in range(2)}
    assert len(masks) == 1


DENSE = st.text(alphabet="0123456789abfxTZ.:-/_ ,@kMsn%+[]=", max_size=60)


@given(st.one_of(st.text(max_size=200), DENSE), st.randoms(use_true_random=False))
def test_other_digits_never_change_a_mask(text: str, chance: Random) -> None:
    """Digit for digit, wherever they stand, next to whatever text."""
    other = "".join(chance.choice("0123456789") if c in "0123456789" else c for c in text)
    assert mask(other) == mask(text)


@given(SENTENCES, st.lists(st.one_of(*KINDS), max_size=4), st.sampled_from([" ", ", ", "=", ":"]))
def test_masking_twice_is_masking_once(words: list[str], values: list[str], joint: str) -> None:
    """Placeholders are no values."""
    once = mask(joint.join([*words, *values]))
    assert mask(once) == once


@given(st.text(max_size=300))
def test_no_digit_survives_masking(text: str) -> None:
    """Except in the names of the two Internet protocols."""
    masked = mask(text).lower().replace("ipv4", "").replace("ipv6", "")
    assert not any(c in "0123456789" for c in masked)


@given(st.text(), st.integers(0, 50))
def test_a_mask_is_hardly_longer_than_its_message(text: str, times: int) -> None:
    """A digit becomes three characters at most, and 4,096 are considered."""
    assert len(mask(text * times)) <= 4 * min(len(text) * times, 4096)


@given(LOGS)
def test_the_same_log_gives_the_same_prints(log: list[str]) -> None:
    """From an empty state, always."""
    assert prints(Fingerprinter(), log) == prints(Fingerprinter(), log)


@given(LOGS, st.integers(0, 60))
def test_any_prefix_of_a_log_gives_the_same_prints(log: list[str], length: int) -> None:
    """What comes later changes nothing."""
    assert prints(Fingerprinter(), log[:length]) == prints(Fingerprinter(), log)[:length]


@given(LOGS)
def test_a_line_seen_again_has_the_print_it_had(log: list[str]) -> None:
    """Whatever was learned in between."""
    fingerprinter = Fingerprinter()
    assert prints(fingerprinter, log) == prints(fingerprinter, log)


@given(LOGS, st.integers(0, 60), st.sampled_from([None, SMALL]))
def test_a_state_can_be_stored_anywhere(log: list[str], at: int, limits: Limits | None) -> None:
    """The prints after it are those of an unbroken run."""
    whole = Fingerprinter(limits)
    expected = prints(whole, log)[at:]
    first = Fingerprinter(limits)
    prints(first, log[:at])
    state = json.loads(json.dumps(first.to_state()))
    second = Fingerprinter.from_state(state, limits)
    assert prints(second, log[at:]) == expected
    assert second.to_state() == whole.to_state()


@given(LOGS)
def test_the_state_keeps_its_limits(log: list[str]) -> None:
    """After every log."""
    fingerprinter = Fingerprinter(SMALL)
    prints(fingerprinter, log)
    state = fingerprinter.to_state()
    assert len(state["lines"]) <= SMALL.lines
    assert len(state["contexts"]) <= SMALL.contexts
    assert len(state["patterns"]) <= SMALL.patterns


@given(LOGS, st.data())
def test_a_forgotten_print_is_gone_from_the_state(log: list[str], data: st.DataObject) -> None:
    """All that led to it."""
    fingerprinter = Fingerprinter()
    shared = data.draw(st.sampled_from([*prints(fingerprinter, log), "none"]))
    fingerprinter.forget(shared)
    assert shared not in json.dumps(fingerprinter.to_state())


@settings(max_examples=40)
@given(st.text(alphabet="aA1.:/\\@-_'\"<>=(),% \n\tf", max_size=40), st.integers(1, 5000))
def test_repeated_text_takes_bounded_time(text: str, times: int) -> None:
    """A fifth of a second of processor time is a hundredfold of what is usual."""
    started = time.process_time()
    Fingerprinter().fingerprint(text * times)
    assert time.process_time() - started < 0.2
