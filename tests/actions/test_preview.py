"""`hooksift rules test` says what would happen and why, and does nothing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import Connection, text
from typer.testing import CliRunner

import hooksift
from enrich.actions import commands
from enrich.actions.settings import GitHubTarget, RuleSettings, SlackTarget
from enrich.actions.template import FIELDS, TAG_FIELDS
from service.store import Store
from tests.actions.desk import Office, quick_url
from tests.analytics.store_facts import put

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
        "actions": [{"target": "ops", "title": "{category} storm, 50 within 10m: {title}"}],
    },
    {"name": "all", "actions": [{"target": "ops"}]},
]
PAYLOAD = {
    "action": "opened",
    "issue": {"number": 42},
    "repository": {"full_name": "acme/app"},
}
ROOT = Path(__file__).parents[2]


class Settings:
    """What the commands need of the whole settings."""

    def __init__(self, url: str, rules: list[Any], targets: Any = TARGETS) -> None:
        self.store_url = url
        self.rules = [RuleSettings.model_validate(rule) for rule in rules]
        self.targets = targets


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """A store on SQLite alone."""
    return quick_url(tmp_path)


@pytest.fixture
def desk(store: Store) -> Office:
    rules = [{"name": "none", "when": {"source": "nowhere"}, "actions": [{"target": "ops"}]}]
    slack = SlackTarget(adapter="slack", url="https://hooks.example/x")
    return Office(store, rules, {"ops": slack})


def run(url: str, *arguments: str, rules: list[Any] | None = None, targets: Any = TARGETS) -> Any:
    app = typer.Typer()
    app.callback()(lambda: None)
    commands.register(app, lambda: Settings(url, RULES if rules is None else rules, targets))
    return CliRunner().invoke(app, list(arguments))


def shown_in(page: str) -> str:
    """What a page shows of the command, from the prompt on."""
    written = (ROOT / page).read_text(encoding="utf-8")
    return written.partition("$ hooksift rules test ")[2].partition("```")[0]


def documented(output: str, event: int) -> str:
    return f"383421191223775232\n{output.replace(str(event), '383421191223775232')}"


def test_the_documentation_shows_what_the_command_shows(desk: Office, store_url: str) -> None:
    event = desk.event(PAYLOAD, title="Charged twice")
    output = run(store_url, "rules", "test", str(event)).output
    assert documented(output, event) == shown_in("docs/actions.md")


def test_the_documentation_lists_the_fields_of_templates() -> None:
    page = (ROOT / "docs" / "actions.md").read_text()
    listed = re.findall(r"^\| `\{(\w+)\}`( \*)? \|", page, re.MULTILINE)
    assert {name for name, _ in listed} == FIELDS
    assert {name for name, star in listed if star} == TAG_FIELDS


def test_the_readme_shows_what_its_own_rules_would_do(
    desk: Office, store_url: str, tmp_path: Path
) -> None:
    toml = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "hooksift.toml").write_text("\n".join(toml))
    settings = hooksift.load_settings(tmp_path / "hooksift.toml")
    payload = {**PAYLOAD, "issue": {"number": 7}, "repository": {"full_name": "acme/shop"}}
    event = desk.event(payload, title="Charged twice", source="github-issues", tags="[]")
    rules = [rule.model_dump() for rule in settings.rules]
    output = run(store_url, "rules", "test", str(event), rules=rules, targets=settings.targets)
    assert documented(output.output, event) == shown_in("README.md")


def test_a_test_sends_nothing_and_records_nothing(desk: Office, store_url: str) -> None:
    event = desk.event(PAYLOAD)
    run(store_url, "rules", "test", str(event))
    assert desk.actions() == []


def test_a_low_confidence_goes_to_people(desk: Office, store_url: str) -> None:
    event = desk.event(PAYLOAD, confidence=0.81)
    rules = [{**RULES[0], "min_confidence": 0.9}]
    shown = run(store_url, "rules", "test", str(event), rules=rules).output
    assert "only suggest to change tags" in shown
    assert "confidence 0.81 is below 0.90" in shown
    assert "ask people at ops to look" in shown


def test_an_event_of_another_repository_shows_no_ticket(desk: Office, store_url: str) -> None:
    event = desk.event({**PAYLOAD, "repository": {"full_name": "mallory/app"}})
    shown = run(store_url, "rules", "test", str(event)).output
    assert "to     no ticket: the event is about another repository than acme/app" in shown


def test_links_are_out_of_what_is_shown(desk: Office, store_url: str) -> None:
    event = desk.event(PAYLOAD, title="See https://evil.example @here")
    shown = run(store_url, "rules", "test", str(event)).output
    assert "evil.example" not in shown.partition("rule all")[2]


def test_an_unknown_event_is_said_to_be_unknown(desk: Office, store_url: str) -> None:
    result = run(store_url, "rules", "test", "7")
    assert (result.exit_code, result.output) == (
        1,
        "event 7 is not here; `hooksift events` lists those that are\n",
    )


def test_an_event_that_nobody_enriched_yet_is_said_to_be_so(desk: Office, store_url: str) -> None:
    event = desk.bare_event(PAYLOAD)
    assert "is not enriched yet" in run(store_url, "rules", "test", str(event.id)).output


def tagged(desk: Office, tag: str, state: str) -> None:
    """A tag of ours on the ticket, as the store knows it."""
    values = {"tag": tag, "state": state}
    desk.store.write_now(insert_tag, values)


def insert_tag(connection: Connection, tx: int, rows: Any) -> list[None]:
    statement = text(
        "INSERT INTO own_tags (target, ticket, tag, state, field, value, event_id, digest,"
        " changed_at) VALUES ('tickets', 'acme/app#42', :tag, :state, 'category', 'x', 1, '', 0)"
    )
    return [connection.execute(statement, row) and None for row in rows]


def test_our_stale_tag_is_shown_to_go(desk: Office, store_url: str) -> None:
    tagged(desk, "hooksift:bug", "ours")
    shown = run(store_url, "rules", "test", str(desk.event(PAYLOAD))).output
    assert "remove hooksift:bug\n" in shown


def test_a_tag_that_a_person_took_away_is_shown_to_stay_away(desk: Office, store_url: str) -> None:
    tagged(desk, "hooksift:billing", "removed")
    shown = run(store_url, "rules", "test", str(desk.event(PAYLOAD))).output
    assert "not    hooksift:billing, which a person took away\n" in shown


def test_without_rules_the_command_fails(desk: Office, store_url: str) -> None:
    assert run(store_url, "rules", "test", "7", rules=[]).exit_code == 1


def test_the_list_shows_modes_and_promises(store_url: str, store: Store) -> None:
    lines = run(store_url, "rules", "list").output.splitlines()
    assert lines[0] == "tag-billing/1: tags at tickets (github), act, exactly once"


LONG_WHY = "timeout: api.github.com did not answer within ten seconds, three times in a row"


def test_actions_are_listed_whole_on_80_columns(
    store: Store, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    put(store, "actions", {"event_id": 384878600177848321, "error": LONG_WHY})
    shown = run(store_url, "actions").output
    assert ("384878600177848321" in shown, LONG_WHY in shown) == (True, True)


def test_actions_are_listed_as_json(store: Store, store_url: str) -> None:
    put(store, "actions", {"event_id": 7})
    assert json.loads(run(store_url, "actions", "--json").output)["event_id"] == "7"
