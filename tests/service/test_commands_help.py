"""Every command says what it does, every argument what it means; every setting is listed."""

from collections.abc import Iterator
from typing import Any, Literal

import pytest
import typer
from pydantic import BaseModel, Field

import analytics.commands
import enrich.actions.commands
import enrich.commands
import hooksift
import service.commands
from service.settings_table import Setting, markdown, settings_of


def commands(group: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command and group of commands, by its whole name."""
    for word, command in group.commands.items():
        whole = f"{name} {word}".strip()
        yield whole, command
        if hasattr(command, "commands"):
            yield from commands(command, whole)


def every_command() -> dict[str, Any]:
    app = typer.Typer()
    service.commands.register(app, hooksift.Settings)
    return dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", every_command())
def test_a_command_says_what_it_does_and_what_its_arguments_mean(name: str) -> None:
    command = every_command()[name]
    assert command.help
    assert [p.name for p in command.params if not getattr(p, "help", None)] == []


def test_what_is_off_by_default_has_no_option_to_turn_it_off() -> None:
    app = typer.Typer()
    for package in (service.commands, enrich.commands, enrich.actions.commands, analytics.commands):
        package.register(app, hooksift.Settings)
    listed = commands(typer.main.get_command(app))
    flags = [p for _, command in listed for p in command.params if p.secondary_opts]
    assert [p.secondary_opts for p in flags if not p.default] == []


class Inner(BaseModel):
    deep: str = Field(default="x", description="within")


class Outer(BaseModel):
    """A config of every form."""

    plain: int = Field(default=3, description="a number")
    needed: str = Field(description="must be said")
    inner: Inner = Inner()
    named: dict[str, Inner] = {}
    listed: list[Inner] = []


def test_a_key_of_every_form_is_listed_under_its_section() -> None:
    assert list(settings_of(Outer)) == [
        Setting("", "plain", "3", "a number"),
        Setting("", "needed", "(needed)", "must be said"),
        Setting("[inner]", "deep", '"x"', "within"),
        Setting("[named.NAME]", "deep", '"x"', "within"),
        Setting("[[listed]]", "deep", '"x"', "within"),
    ]


def test_the_page_has_a_heading_for_each_section_and_a_row_for_each_key() -> None:
    rows = [line for line in markdown(Outer).splitlines() if line.startswith(("## ", "| `"))]
    assert rows[:5] == [
        "## At the top",
        "| `plain` | `3` | a number |",
        "| `needed` | `(needed)` | must be said |",
        "## `[inner]`",
        '| `deep` | `"x"` | within |',
    ]


class Slack(BaseModel):
    adapter: Literal["slack"]
    channel: str = Field(default="", description="where")


class Mail(BaseModel):
    adapter: Literal["mail"]
    to: str = Field(default="", description="whom")


class Targets(BaseModel):
    targets: dict[str, Slack | Mail] = {}


def test_each_of_several_forms_of_a_section_is_listed() -> None:
    assert [(s.section, s.path) for s in settings_of(Targets) if s.key != "adapter"] == [
        ('[targets.NAME], adapter = "slack"', "targets.NAME.channel"),
        ('[targets.NAME], adapter = "mail"', "targets.NAME.to"),
    ]


def test_every_setting_has_a_meaning() -> None:
    assert [s.path for s in settings_of(hooksift.Settings) if not s.meaning] == []
