"""A budget that is used up is told to whoever looks: by `hooksift check`, and in the log."""

from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from work import NOW, Clock, Scripted, event, make_worker, put, step

from enrich.checking import check_budgets, problems
from enrich.composition import make_plan
from enrich.settings import BudgetSettings
from enrich.showing import taxonomy_names
from hooksift import Settings, load_settings
from service.checking import Problem
from service.store import Store, open_store

CONFIG = """
data = "{folder}"
[sources.tickets]
preset = "standard-webhooks"
secret = "env:NOTHING"
taxonomy = "support"
[enrich]
enrichers = ["main"]
[enrich.budget]
calls_per_day = {calls}
at_limit = "{at_limit}"
[enrich.models.main]
model = "m"
base_url = "http://localhost"
api_key = "none"
"""


def configured(folder: Path, calls: int = 1, at_limit: str = "wait") -> Settings:
    """Settings with a budget of so many calls."""
    config = folder / "hooksift.toml"
    config.write_text(CONFIG.format(folder=folder, calls=calls, at_limit=at_limit))
    return load_settings(config)


def told(settings: Settings, days: int = 0) -> list[Problem]:
    """What is told so many days after a worker made one call."""
    store = open_store(settings.store_url)
    put(store, event(1))
    step(make_worker(store, Clock(), Scripted()))
    store.close()
    plan, _ = make_plan(settings.enrich, settings.taxonomies, taxonomy_names(settings))
    return list(check_budgets(settings, plan, NOW + timedelta(days=days)))


@pytest.mark.parametrize(
    ("at_limit", "then"), [("wait", "events wait"), ("stub", "events are answered by rules")]
)
def test_a_used_up_budget_is_told_with_what_becomes_of_events_and_until_when(
    tmp_path: Path, at_limit: str, then: str
) -> None:
    (problem,) = told(configured(tmp_path, at_limit=at_limit))
    assert problem.what == (
        f"the budget of 2026-03-01 is used up, 1 of 1 calls; {then} until 2026-03-02 00:00 UTC"
    )


def test_a_used_up_budget_is_a_warning_at_its_source(tmp_path: Path) -> None:
    (problem,) = told(configured(tmp_path))
    assert problem[:2] == ("warning", "enrich.sources.tickets.budget")


def test_a_budget_that_is_left_is_not_told(tmp_path: Path) -> None:
    assert told(configured(tmp_path, calls=2)) == []


def test_yesterday_s_budget_is_not_told(tmp_path: Path) -> None:
    assert told(configured(tmp_path), days=1) == []


def test_a_store_that_cannot_be_opened_is_told_by_its_own_check(tmp_path: Path) -> None:
    settings = configured(tmp_path).model_copy(update={"store": "sqlite:////nowhere/store.sqlite"})
    assert list(problems(settings)) == []


def test_the_check_of_the_stage_tells_budgets(tmp_path: Path) -> None:
    (problem,) = problems(configured(tmp_path, calls=0))
    assert "0 of 0 calls" in problem.what


def test_a_worker_says_once_that_a_budget_is_used_up(store: Store) -> None:
    put(store, event(1), event(2))
    budget = BudgetSettings(calls_per_day=0, at_limit="wait")
    with capture_logs() as lines:
        step(make_worker(store, Clock(), Scripted(), budget=budget))
    said = [line for line in lines if line["event"] == "enrich.budget_used_up"]
    assert [(line["source"], line["until"]) for line in said] == [
        ("tickets", "2026-03-02T00:00+00:00")
    ]
