"""docs/providers.md tells of every preset, as it is now."""

from pathlib import Path

import pytest

from service.preset import load_preset, load_presets, preset_names
from service.provider_docs import document

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"


def test_the_page_is_what_the_presets_say() -> None:
    made = document(load_presets())
    assert PAGE.read_text() == made, "python -m service.provider_docs > docs/providers.md"


@pytest.mark.parametrize("name", preset_names())
def test_every_provider_has_lines_to_paste_and_a_page_that_says_so(name: str) -> None:
    preset = load_preset(name)
    assert preset.setup
    assert preset.docs.startswith("https://") or name in PROVIDERLESS


PROVIDERLESS = {"hmac", "bearer", "basic", "unsigned"}  # ours: no provider's page exists
