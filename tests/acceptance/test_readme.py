"""What the README shows is what the program does."""

import re
from pathlib import Path

import pytest
import typer

import hooksift
from service.preset import preset_names
from service.settings_table import markdown

README = (Path(__file__).parents[2] / "README.md").read_text()


def block(name: str) -> str:
    """What stands between the two markers of that name."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, re.DOTALL)
    assert found, f"README has no {name} block"
    return found[1]


def commands() -> set[str]:
    """The names of all commands."""
    hooksift.register_commands()
    group = typer.main.get_command(hooksift.app)
    assert hasattr(group, "commands")
    return set(group.commands)


def test_every_command_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"`hooksift ([a-z][a-z-]+)", README))
    assert named - commands() == set()


def test_every_command_is_named_in_the_readme() -> None:
    assert commands() - set(re.findall(r"`hooksift ([a-z][a-z-]+)", README)) == set()


def test_the_two_commands_and_their_output_stand_at_the_top() -> None:
    head = README.splitlines()[:20]
    assert any("make demo" in line for line in head)
    assert any("What became of what each source sent" in line for line in head)


def test_the_configuration_that_the_readme_shows_is_valid(tmp_path: Path) -> None:
    written = "\n".join(re.findall(r"```toml\n(.*?)```", README, re.DOTALL))
    path = tmp_path / "hooksift.toml"
    path.write_text(written)
    assert set(hooksift.load_settings(path).sources) == {"github-issues"}


def test_the_settings_that_the_readme_lists_are_those_of_the_program() -> None:
    """Mend it with `hooksift settings --markdown`."""
    assert block("settings").strip() == markdown(hooksift.Settings).strip()


def test_every_link_to_a_file_leads_somewhere() -> None:
    root = Path(__file__).parents[2]
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert [link for link in links if not (root / link).exists()] == []


@pytest.mark.parametrize("page", ["queue.md"])
def test_a_page_that_promises_to_be_short_is(page: str) -> None:
    assert len((Path(__file__).parents[2] / "docs" / page).read_text().splitlines()) <= 80


def test_the_readme_counts_the_presets_right() -> None:
    assert f"({len(preset_names())} presets" in README
