"""hooksift check, of rules: words that no event can have are named with the rule and the key."""

import pytest

from enrich.actions.checking import problems
from enrich.actions.settings import RuleSettings
from enrich.taxonomy import built_in_taxonomy
from service.checking import Problem

TAXONOMIES = {"desk": built_in_taxonomy("support"), "app": built_in_taxonomy("errors")}


def found(**conditions: object) -> list[Problem]:
    """What is wrong with a rule of these conditions."""
    rule = RuleSettings.model_validate(
        {"name": "page", "actions": [{"target": "ops"}], **conditions}
    )
    return list(problems([rule], [*TAXONOMIES, "broken"], TAXONOMIES))


UNKNOWN = {
    "category": ("biling", "did you mean 'billing'?"),
    "severity": ("hgih", "did you mean 'high'?"),
    "sentiment": ("bad", "there are negative, neutral, positive"),
    "language": ("english", "write two letters of ISO 639-1, e.g. en"),
    "source": ("aap", "did you mean 'app'?"),
    "tags": ("refnd", "did you mean 'refund'?"),
}


@pytest.mark.parametrize("key", UNKNOWN)
@pytest.mark.parametrize("part", ["when", "unless"])
def test_a_word_that_no_event_has_is_an_error_of_its_rule(part: str, key: str) -> None:
    word, remedy = UNKNOWN[key]
    (problem,) = found(**{part: {key: word}})
    assert (problem.severity, problem.where) == ("error", f"rules.page.{part}.{key}")
    assert word in problem.what
    assert problem.remedy == remedy


def test_words_of_any_source_s_taxonomy_are_known() -> None:
    assert found(when={"category": ["billing", "hardware"], "language": ["de", "und"]}) == []


def test_a_rule_for_one_source_is_held_to_its_taxonomy() -> None:
    assert [p.where for p in found(when={"source": "app", "category": "billing"})] == [
        "rules.page.when.category"
    ]


def test_a_rule_for_an_unknown_source_is_held_to_all_taxonomies() -> None:
    wrong = [p.where for p in found(when={"source": "aap", "category": "biling"})]
    assert wrong == ["rules.page.when.source", "rules.page.when.category"]


def test_a_source_whose_taxonomy_is_missing_is_not_called_unknown() -> None:
    assert found(when={"source": "broken", "category": "biling"}) == []
