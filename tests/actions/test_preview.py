"""`hooksift rules test` says what would happen and why, and does nothing."""

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from enrich.actions import commands
from enrich.actions.settings import GitHubTarget, RuleSettings, SlackTarget
from service.store import Store
from tests.actions.desk import Office, quick_url

TARGETS = {
    "tickets": GitHubTarget(adapter="github", repositories=["acme/app"], token="env:NOWHERE"),
    "ops": SlackTarget(adapter="slack", url="env:NOWHERE", delivery="at-most-once"),
}
RULES = [
    {
        "name": "tag-billing",
        "when": {"category": ["billing", "refund"], "confidence": 0.8},
        "mode": "act",
        "review": "ops",
        "actions": [{"target": "tickets", "tags": ["{category}", "sev-{severity}"]}],
    },
    {
        "name": "storm",
        "when": {"rate": {"count": 50, "within": "10m"}},
        "actions": [{"target": "ops", "title": "{category} storm: {title}"}],
    },
    {"name": "all", "actions": [{"target": "ops"}]},
]
PAYLOAD = {
    "action": "opened",
    "issue": {"number": 42},
    "repository": {"full_name": "acme/app"},
}
SHOWN = """\
event {id}: issues.opened from tickets, 'Charged twice'
  billing, high, confidence 0.95, tags refund
rule tag-billing: applies
  yes category 'billing', wanted 'billing', 'refund'
  yes confidence 0.95, wanted at least 0.8
  action tag-billing/1: tags at tickets (github)
    do it: mode is act, confidence 0.95
    exactly once
    on acme/app#42
    add hooksift:billing, hooksift:sev-high
rule storm: does not apply
  no  this event has no fingerprint
rule all: applies
  action all/1: message at ops (slack)
    do it: mode is act
    at most once
    title: [high] billing in tickets: Charged twice
    | Charged twice.
"""


class Settings:
    """What the commands need of the whole settings."""

    def __init__(self, url: str, rules: list[Any]) -> None:
        self.store_url = url
        self.rules = [RuleSettings.model_validate(rule) for rule in rules]
        self.targets = TARGETS


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """A store on SQLite alone."""
    return quick_url(tmp_path)


@pytest.fixture
def desk(store: Store) -> Office:
    rules = [{"name": "none", "when": {"source": "nowhere"}, "actions": [{"target": "ops"}]}]
    slack = SlackTarget(adapter="slack", url="https://hooks.example/x")
    return Office(store, rules, {"ops": slack})


def run(url: str, *arguments: str, rules: list[Any] | None = None) -> Any:
    app = typer.Typer()
    app.callback()(lambda: None)
    commands.register(app, lambda: Settings(url, RULES if rules is None else rules))
    return CliRunner().invoke(app, list(arguments))


def test_a_test_shows_conditions_actions_and_promises(desk: Office, store_url: str) -> None:
    event = desk.event(PAYLOAD, title="Charged twice")
    assert run(store_url, "rules", "test", str(event)).output == SHOWN.replace("{id}", str(event))


def test_the_same_output_stands_in_the_documentation() -> None:
    page = Path(__file__).parents[2] / "docs" / "actions.md"
    shown = SHOWN.replace("{id}", "383421191223775232")
    assert shown in page.read_text(encoding="utf-8")


def test_a_test_sends_nothing_and_records_nothing(desk: Office, store_url: str) -> None:
    event = desk.event(PAYLOAD)
    run(store_url, "rules", "test", str(event))
    assert desk.actions() == []


def test_a_low_confidence_goes_to_people(desk: Office, store_url: str) -> None:
    event = desk.event(PAYLOAD, confidence=0.81)
    rules = [{**RULES[0], "min_confidence": 0.9}]
    shown = run(store_url, "rules", "test", str(event), rules=rules).output
    assert "suggest only: confidence 0.81 is below 0.90" in shown
    assert "and ask people at ops to look" in shown


def test_an_event_of_another_repository_shows_no_ticket(desk: Office, store_url: str) -> None:
    event = desk.event({**PAYLOAD, "repository": {"full_name": "mallory/app"}})
    shown = run(store_url, "rules", "test", str(event)).output
    assert "on no ticket: the event is about another repository than acme/app" in shown


def test_links_are_out_of_what_is_shown(desk: Office, store_url: str) -> None:
    event = desk.event(PAYLOAD, title="See https://evil.example @here")
    shown = run(store_url, "rules", "test", str(event)).output
    assert "evil.example" not in shown.partition("rule all")[2]


def test_an_unknown_event_is_said_to_be_unknown(desk: Office, store_url: str) -> None:
    assert "not here" in run(store_url, "rules", "test", "7").output


def test_without_rules_the_command_fails(desk: Office, store_url: str) -> None:
    assert run(store_url, "rules", "test", "7", rules=[]).exit_code == 1


def test_the_list_shows_modes_and_promises(store_url: str, store: Store) -> None:
    lines = run(store_url, "rules", "list").output.splitlines()
    assert lines[0] == "tag-billing/1: tags at tickets (github), act, exactly once"


def test_actions_are_listed(desk: Office, store_url: str) -> None:
    result = run(store_url, "actions")
    assert (result.exit_code, "outcome" in result.output) == (0, True)
