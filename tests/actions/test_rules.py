"""Rules, templates, tags: what would happen, and why; all pure."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from enrich.actions.rule_book import RuleBook, WorkName
from enrich.actions.rules import Situation, Step, decide, evaluate
from enrich.actions.settings import GitHubTarget, RuleSettings, SlackTarget
from enrich.actions.tags import Namespace, TagMeaning, meaning_of, plan, tags_of
from enrich.actions.template import TAG_FIELDS, Template
from service.errors import SettingsError

HERE = Situation(
    event_id=1,
    source="github",
    event_type="issues.opened",
    category="billing",
    severity="high",
    tags=("refund",),
    confidence=0.9,
    fingerprint="f1",
)
TARGETS = {
    "tickets": GitHubTarget(adapter="github", repositories=["acme/app"], token="env:T"),
    "ops": SlackTarget(adapter="slack", url="env:U"),
}


class History:
    """What the store would say of the fingerprint."""

    def __init__(self, first: bool = True, count: int = 1) -> None:
        self.first, self.count = first, count

    def is_first(self) -> bool:
        return self.first

    def count_within(self, seconds: float, limit: int) -> int:
        return min(self.count, limit)


def rule(**given: Any) -> RuleSettings:
    return RuleSettings.model_validate({"name": "r", "actions": [{"target": "tickets"}], **given})


def matched(when: dict[str, Any], situation: Situation = HERE, **history: Any) -> bool | None:
    return evaluate(rule(when=when), situation, History(**history)).matched


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({}, True),
        ({"source": "github"}, True),
        ({"source": ["zendesk", "github"]}, True),
        ({"source": "zendesk"}, False),
        ({"type": "issues.*"}, True),
        ({"type": "issues.closed"}, False),
        ({"category": "billing"}, True),
        ({"category": "bug"}, False),
        ({"severity": ["high", "critical"]}, True),
        ({"severity": "low"}, False),
        ({"sentiment": "neutral"}, True),
        ({"language": "en"}, False),
        ({"tags": ["refund", "vip"]}, True),
        ({"tags": "vip"}, False),
        ({"confidence": 0.9}, True),
        ({"confidence": 0.91}, False),
        ({"confidence": {"below": 0.9}}, False),
        ({"confidence": {"at_least": 0.5, "below": 0.91}}, True),
        ({"suspicious": False}, True),
        ({"suspicious": True}, False),
        ({"degraded": False}, True),
        ({"degraded": True}, False),
        ({"first": True}, True),
        ({"first": False}, False),
        ({"rate": {"count": 1, "within": "10m"}}, True),
        ({"rate": {"count": 2, "within": 600}}, False),
        ({"category": "billing", "severity": "low"}, False),
    ],
    ids=str,
)
def test_a_condition_holds_or_not(when: dict[str, Any], holds: bool) -> None:
    assert matched(when) is holds


def test_an_exception_keeps_a_rule_from_applying() -> None:
    made = rule(unless={"severity": "high"})
    assert evaluate(made, HERE, History()).matched is False


def test_an_exception_that_does_not_hold_changes_nothing() -> None:
    made = rule(unless={"severity": "high", "category": "bug"})
    assert evaluate(made, HERE, History()).matched is True


def test_what_only_the_store_knows_is_open_until_it_is_asked() -> None:
    made = rule(when={"first": True})
    assert evaluate(made, HERE, None).matched is None


def test_a_condition_that_fails_needs_no_store() -> None:
    made = rule(when={"first": True, "category": "bug"})
    assert evaluate(made, HERE, None).matched is False


def test_an_event_without_a_fingerprint_is_never_the_first_of_one() -> None:
    from dataclasses import replace

    assert matched({"first": True}, replace(HERE, fingerprint=None)) is False


def test_every_condition_says_what_it_found_and_what_was_wanted() -> None:
    verdict = evaluate(rule(when={"category": "bug", "confidence": 0.5}), HERE, History())
    assert [reason.said for reason in verdict.reasons] == [
        "category 'billing', wanted 'bug'",
        "confidence 0.90, wanted at least 0.5",
    ]


@pytest.mark.parametrize(
    ("given", "situation", "step"),
    [
        ({}, {}, Step.SUGGEST),
        ({"mode": "suggest"}, {}, Step.SUGGEST),
        ({"mode": "act"}, {}, Step.ACT),
        ({"mode": "act"}, {"confidence": 0.69}, Step.SUGGEST),
        ({"mode": "act"}, {"confidence": 0.7}, Step.ACT),
        ({"mode": "act", "min_confidence": 0}, {"confidence": 0.0}, Step.ACT),
        ({"mode": "act"}, {"suspicious": True}, Step.SUGGEST),
        ({"mode": "act", "when": {"suspicious": True}}, {"suspicious": True}, Step.ACT),
        ({"mode": "act"}, {"degraded": True}, Step.SUGGEST),
        ({"mode": "act", "when": {"degraded": True}}, {"degraded": True}, Step.ACT),
    ],
    ids=str,
)
def test_a_write_back_is_done_only_when_all_gates_are_open(
    given: dict[str, Any], situation: dict[str, Any], step: Step
) -> None:
    from dataclasses import replace

    decision = decide(rule(**given), replace(HERE, **situation), writes_back=True)
    assert decision.step is step


def test_a_message_is_sent_unless_told_otherwise() -> None:
    assert decide(rule(), HERE, writes_back=False).step is Step.ACT


@pytest.mark.parametrize(
    "broken",
    [
        {"when": {"categroy": "billing"}},
        {"when": {"confidence": 2}},
        {"when": {"rate": {"count": 0, "within": 1}}},
        {"when": {"rate": {"count": 1, "within": "soon"}}},
        {"mode": "maybe"},
        {"name": "A rule"},
        {"actions": []},
        {"actions": [{"target": "x", "tag": "y"}]},
        {"min_confidence": 1.1},
    ],
    ids=str,
)
def test_a_rule_that_makes_no_sense_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        rule(**broken)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"actions": [{"target": "nobody"}]}, "no target is called 'nobody'"),
        ({"actions": [{"target": "ops", "tags": ["x"]}]}, "takes no tags"),
        ({"actions": [{"target": "tickets", "text": "x"}]}, "takes no text"),
        ({"actions": [{"target": "ops", "text": "{nothing}"}]}, "{nothing}"),
        ({"actions": [{"target": "tickets", "tags": ["{text}"]}]}, "{text}"),
        ({"actions": [{"target": "ops", "text": "{"}]}, "stray"),
        ({"actions": [{"target": "ops", "group_by": ["text"]}]}, "group_by"),
        ({"review": "tickets"}, "review must name"),
        ({"review": "nobody"}, "review must name"),
    ],
    ids=str,
)
def test_a_rule_that_names_what_does_not_exist_is_refused(
    broken: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        RuleBook([rule(**broken)], TARGETS)
    assert said in str(raised.value)


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError):
        RuleBook([rule(), rule()], TARGETS)


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("tag/1", WorkName("tag", 1)),
        ("tag/12", WorkName("tag", 12)),
        ("tag/1/review", WorkName("tag", 1, review=True)),
        ("", None),
        ("tag", None),
        ("tag/x", None),
        ("tag/1/other", None),
    ],
)
def test_a_work_items_name_is_read(name: str, parsed: WorkName | None) -> None:
    assert WorkName.parse(name) == parsed


@pytest.mark.parametrize(
    ("source", "filled"),
    [
        ("{category}: {severity}", "billing: high"),
        ("{{category}}", "{category}"),
        ("}}{{", "}{"),
        ("plain", "plain"),
        ("{category}{category}", "billingbilling"),
    ],
)
def test_a_template_is_filled(source: str, filled: str) -> None:
    assert Template(source).fill(HERE.values()) == filled


@pytest.mark.parametrize(
    "source",
    [
        "{unknown}",
        "{title.__class__}",
        "{title[0]}",
        "{title!r}",
        "{title:>10}",
        "{0}",
        "{}",
        "{title",
        "title}",
        "{ title }",
        "{Title}",
    ],
)
def test_a_template_that_does_more_than_name_a_field_is_refused(source: str) -> None:
    with pytest.raises(SettingsError):
        Template(source)


@settings(max_examples=200)
@given(st.text(max_size=40))
def test_a_value_is_never_taken_for_a_template(value: str) -> None:
    assert Template("{title}").fill({"title": value}) == value


@settings(max_examples=200)
@given(st.text(max_size=40))
def test_any_text_is_a_template_or_refused(source: str) -> None:
    try:
        Template(source)
    except SettingsError:
        return


def test_a_tag_is_ours_by_its_prefix() -> None:
    space = Namespace("hooksift", ":")
    assert (space.holds("Hooksift:Billing"), space.holds("billing")) == (True, False)


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("billing", "hooksift:billing"),
        ("Two Words!", "hooksift:two-words"),
        ("a,b", "hooksift:a-b"),
    ],
)
def test_a_value_becomes_a_tag(value: str, tag: str) -> None:
    assert Namespace().tag(value) == tag


def templates(*sources: str) -> list[Template]:
    return [Template(source, TAG_FIELDS) for source in sources]


def test_each_tag_knows_what_it_means() -> None:
    made = tags_of(templates("{category}", "{tags}"), HERE.values(), HERE.tags, Namespace())
    assert made == {
        "hooksift:billing": TagMeaning("category", "billing"),
        "hooksift:refund": TagMeaning("tag", "refund"),
    }


def test_an_empty_value_makes_no_tag() -> None:
    assert tags_of(templates("{level}"), {"level": ""}, (), Namespace()) == {}


@pytest.mark.parametrize(
    ("tag", "meaning"),
    [
        ("hooksift:sev-low", TagMeaning("severity", "low")),
        ("hooksift:refund", TagMeaning("category", "refund")),
    ],
)
def test_a_persons_tag_is_read_back_by_the_templates(tag: str, meaning: TagMeaning) -> None:
    assert meaning_of(tag, templates("sev-{severity}", "{category}"), Namespace()) == meaning


TAGS = st.sets(st.sampled_from(["hooksift:a", "hooksift:b", "hooksift:c", "vip", "urgent"]))
STATES = st.dictionaries(
    st.sampled_from(["hooksift:a", "hooksift:b", "hooksift:c"]),
    st.sampled_from(["ours", "withdrawn", "removed", "added"]),
)
WANTED = st.sets(st.sampled_from(["hooksift:a", "hooksift:b", "hooksift:c"]))


@settings(max_examples=200)
@given(TAGS, WANTED, STATES)
def test_only_tags_that_we_put_there_are_ever_removed(
    present: set[str], wanted: set[str], states: dict[str, str]
) -> None:
    removed = plan(present, wanted, states).remove
    assert removed <= {tag for tag, state in states.items() if state == "ours"} & present


@settings(max_examples=200)
@given(TAGS, WANTED, STATES)
def test_what_a_person_removed_is_never_added(
    present: set[str], wanted: set[str], states: dict[str, str]
) -> None:
    added = plan(present, wanted, states).add
    assert added.isdisjoint(tag for tag, state in states.items() if state == "removed")


@settings(max_examples=200)
@given(TAGS, WANTED, STATES)
def test_carrying_out_a_plan_leaves_nothing_to_do(
    present: set[str], wanted: set[str], states: dict[str, str]
) -> None:
    change = plan(present, wanted, states)
    after = (present | change.add) - change.remove
    assert not plan(after, wanted, states)


def test_tags_are_compared_without_case() -> None:
    assert not plan({"HookSift:Billing"}, {"hooksift:billing"}, {})
