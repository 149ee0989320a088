"""Taxonomies, the prompts made of them, and the settings that describe them."""

import json

import pytest
from pydantic import ValidationError

from enrich.enricher import EventText, Example
from enrich.prompt import MAX_TEXT, build_prompt, event_message, fence_of, middle_out
from enrich.settings import EnrichSettings, ModelSettings, TaxonomySettings, build_taxonomies
from enrich.taxonomy import BUILT_IN, Taxonomy, built_in_taxonomy, taxonomy_from

EVENT = EventText(1, "tickets", "ticket", "Invoice", "I was charged twice.")


@pytest.fixture(params=BUILT_IN)
def taxonomy(request: pytest.FixtureRequest) -> Taxonomy:
    return built_in_taxonomy(request.param)


def test_every_category_is_described(taxonomy: Taxonomy) -> None:
    assert all(category.description for category in taxonomy.categories)


def test_an_example_is_set_apart_from_the_description() -> None:
    told = {"name": "late", "description": "comes too late", "examples": ["Where is it?"]}
    other = {"name": "other", "description": "all else"}
    severities = [{"name": "low", "description": "small"}]
    made = taxonomy_from("t", {"title": "x", "categories": [told, other], "severities": severities})
    assert '- late: comes too late; e.g. "Where is it?"' in build_prompt(made).system


def test_there_is_a_category_for_noise(taxonomy: Taxonomy) -> None:
    assert len(taxonomy.noise_names) == 1


def test_names_are_unique(taxonomy: Taxonomy) -> None:
    names = taxonomy.category_names
    assert len(set(names)) == len(names)


def test_a_change_of_a_description_is_a_change_of_version() -> None:
    support = built_in_taxonomy("support")
    changed = taxonomy_from("x", {"categories": [{"name": "bug", "description": "?"}]}, support)
    assert changed.version != support.version


def test_the_stubs_words_are_no_part_of_the_version() -> None:
    one = {"categories": [{"name": "a", "words": ["x"]}, {"name": "b"}]}
    two = {"categories": [{"name": "a", "words": ["y"]}, {"name": "b"}]}
    assert taxonomy_from("t", one).version == taxonomy_from("t", two).version


def test_an_extended_taxonomy_keeps_other_last() -> None:
    settings = TaxonomySettings.model_validate(
        {"extends": "support", "categories": [{"name": "parking"}]}
    )
    assert build_taxonomies({"own": settings})["own"].category_names[-2:] == ("parking", "other")


def test_a_taxonomy_of_its_own_gets_severities() -> None:
    settings = TaxonomySettings.model_validate({"categories": [{"name": "a"}, {"name": "b"}]})
    assert build_taxonomies({"own": settings})["own"].severity_names == (
        "low",
        "medium",
        "high",
        "critical",
    )


def test_the_prompt_names_every_category(taxonomy: Taxonomy) -> None:
    system = build_prompt(taxonomy).system
    assert all(f"- {name}" in system for name in taxonomy.category_names)


def test_the_schema_allows_nothing_else(taxonomy: Taxonomy) -> None:
    schema = build_prompt(taxonomy).schema
    assert schema["properties"]["category"]["enum"] == list(taxonomy.category_names)


def test_equal_prompts_have_equal_versions(taxonomy: Taxonomy) -> None:
    again = built_in_taxonomy(taxonomy.name)
    assert build_prompt(again).version == build_prompt(taxonomy).version


def test_the_fence_depends_on_the_id_given_to_the_event() -> None:
    assert fence_of(EVENT) != fence_of(EVENT._replace(id=2))


def test_the_document_holds_the_text_as_it_is() -> None:
    message = event_message(EVENT._replace(text='</event-1> "quoted" <b>'))
    body = message.splitlines()[1]
    assert json.loads(body)["text"] == '</event-1> "quoted" <b>'


def test_no_text_can_close_the_fence() -> None:
    message = event_message(EVENT._replace(text=f"</{fence_of(EVENT)}>"))
    assert message.count("</event-") == 1


def test_examples_come_before_the_event() -> None:
    message = event_message(EVENT, [Example("paid twice", "billing")])
    assert message.index("paid twice") < message.index("<event-")


def test_of_a_long_text_both_ends_are_shown() -> None:
    shown = middle_out("a" * 9_000 + "z" * 9_000, MAX_TEXT)
    assert (shown[0], shown[-1]) == ("a", "z")


def problem(settings: object) -> str:
    with pytest.raises(ValidationError) as caught:
        EnrichSettings.model_validate(settings)
    return str(caught.value)


def test_a_misspelt_key_is_an_error() -> None:
    assert "enricherz" in problem({"enricherz": ["stub"]})


def test_an_unknown_enricher_is_named_with_the_remedy() -> None:
    said = problem({"enrichers": ["gpt", "stub"]})
    assert "add [enrich.models.gpt] or correct the name" in said


def test_an_empty_chain_is_refused() -> None:
    assert "at least one enricher" in problem({"enrichers": []})


def test_waits_must_grow() -> None:
    assert "is above" in problem({"first_retry_seconds": 100, "max_retry_seconds": 10})


def test_a_base_url_must_be_http() -> None:
    with pytest.raises(ValidationError, match="must start with http"):
        ModelSettings(model="m", base_url="ftp://x")


def test_a_taxonomy_of_one_category_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least two categories"):
        TaxonomySettings.model_validate({"categories": [{"name": "a"}]})


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="categories name a twice"):
        TaxonomySettings.model_validate({"categories": [{"name": "a"}, {"name": "a"}]})
