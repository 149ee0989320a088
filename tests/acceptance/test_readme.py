"""What the README shows is what the program does."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

import hooksift
from service.preset import preset_names
from service.settings_table import markdown, markdown_row, settings_of

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def block(name: str) -> str:
    """What stands between the two markers of that name."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, re.DOTALL)
    assert found, f"README has no {name} block"
    return found[1]


def commands() -> dict[str, Any]:
    """All commands by name."""
    hooksift.register_commands()
    found: dict[str, Any] = typer.main.get_command(hooksift.app).commands  # type: ignore[attr-defined]
    return found


def options_of(command: Any) -> set[str]:
    """The options of a command, and of those within it."""
    within = [options_of(inner) for inner in getattr(command, "commands", {}).values()]
    return {option for p in command.params for option in p.opts}.union(*within)


def test_every_command_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"`hooksift ([a-z][a-z-]+)", README))
    assert named - set(commands()) == set()


def test_every_command_is_named_in_the_readme() -> None:
    assert set(commands()) - set(re.findall(r"`hooksift ([a-z][a-z-]+)", README)) == set()


def test_the_two_commands_and_their_output_stand_at_the_top() -> None:
    head = README.splitlines()[:20]
    assert any("make demo" in line for line in head)
    assert any("What became of what each source sent" in line for line in head)


def test_the_configuration_that_the_readme_shows_is_valid(tmp_path: Path) -> None:
    written = "\n".join(re.findall(r"```toml\n(.*?)```", README, re.DOTALL))
    path = tmp_path / "hooksift.toml"
    path.write_text(written)
    assert set(hooksift.load_settings(path).sources) == {"github-issues"}


def test_the_measured_figures_are_those_of_the_last_run() -> None:
    results = (ROOT / "tests" / "bench" / "RESULTS.md").read_text()
    rows = {
        (store, what): (rate, times)
        for store, what, rate, times in re.findall(
            r"^\| (\w+) \| (tutorial|`receive`) \| ([\d,]+) \| ([\d.]+) \|", results, re.MULTILINE
        )
    }
    shown = [
        f"| {store} | {rows[store, 'tutorial'][0]} | {' | '.join(rows[store, '`receive`'])} |"
        for store in ("sqlite", "postgresql")
    ]
    assert block("measured").splitlines()[2:] == shown


def test_the_settings_that_the_readme_lists_are_those_of_the_program() -> None:
    rows = {s.path: markdown_row(s.path, s) for s in settings_of(hooksift.Settings)}
    listed = [line for line in block("settings").splitlines() if line.startswith("| `")]
    assert listed
    assert [row for row in listed if row != rows.get(row.split("`")[1])] == []


def test_the_page_of_all_settings_is_that_of_the_program() -> None:
    """Mend it with `hooksift settings --markdown > docs/settings.md`."""
    assert (ROOT / "docs" / "settings.md").read_text() == markdown(hooksift.Settings)


def test_each_command_has_one_place_in_the_readme_under_the_heading_of_its_help() -> None:
    panels: dict[str, list[str]] = {}
    table = README.partition("| command | what it does |")[2].partition("\n\n")[0]
    for line in table.splitlines():
        if heading := re.match(r"\| \*\*(.+)\*\* \|", line):
            panels[heading[1]] = []
        elif panels:
            panels[list(panels)[-1]] += re.findall(r"`hooksift ([a-z-]+)`", line.split("|")[1])
    assert {panel: sorted(names) for panel, names in panels.items()} == {
        panel: sorted(names) for panel, names in hooksift.PANELS.items()
    }


def test_the_options_that_the_readme_shows_exist() -> None:
    shown = re.findall(r"hooksift ([a-z-]+)[^`\n#]* (--[a-z-]+)", README)
    assert len(shown) > 3
    group = commands()
    assert [(n, o) for n, o in shown if o not in options_of(group[n])] == []


def test_every_link_to_a_file_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("page", ["queue.md"])
def test_a_page_that_promises_to_be_short_is(page: str) -> None:
    assert len((ROOT / "docs" / page).read_text().splitlines()) <= 80


def test_the_readme_counts_the_presets_right() -> None:
    assert f"({len(preset_names())} presets" in README
