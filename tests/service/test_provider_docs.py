"""docs/providers.md tells of every preset, as it is now."""

from pathlib import Path

import pytest

from service.preset import load_preset, load_presets, preset_names
from service.provider_docs import document

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"


def test_the_page_is_what_the_presets_say() -> None:
    made = document(load_presets())
    assert PAGE.read_text() == made, "python -m service.provider_docs > docs/providers.md"


def test_a_compared_preset_names_what_it_was_compared_with() -> None:
    github = load_preset("github")
    assert f"- compared with: {github.checked}\n" in document({"github": github})


def test_a_preset_that_was_never_compared_claims_nothing() -> None:
    assert "- compared with" not in document({"unsigned": load_preset("unsigned")})


@pytest.mark.parametrize("name", preset_names())
def test_every_provider_has_lines_to_paste_and_a_page_that_says_so(name: str) -> None:
    preset = load_preset(name)
    assert preset.setup
    assert preset.docs.startswith("https://") or name in PROVIDERLESS


PROVIDERLESS = {"hmac", "bearer", "basic", "unsigned"}  # ours: no provider's page exists
