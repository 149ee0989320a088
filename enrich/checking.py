"""What `hooksift check` finds wrong in the sections that `enrich` reads."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

from enrich.actions.checking import problems as check_rules
from enrich.actions.rule_book import RuleBook
from enrich.actions.settings import RuleSettings, TargetSettings
from enrich.actions.targets import open_targets, secret_references
from enrich.budget import day_of, next_day, used_up
from enrich.composition import make_plan
from enrich.loading import Spending, load_spending
from enrich.plan import Plan
from enrich.settings import EnrichSettings, TaxonomySettings, build_taxonomies
from enrich.showing import taxonomy_names
from service.checking import Problem, literal
from service.errors import HooksiftError
from service.receiving.assembly import ServiceSettings
from service.secrets import is_literal
from service.store import open_store


class EnrichSections(ServiceSettings, Protocol):
    """The sections that are checked here."""

    @property
    def enrich(self) -> EnrichSettings: ...
    @property
    def taxonomies(self) -> Mapping[str, TaxonomySettings]: ...
    @property
    def rules(self) -> Sequence[RuleSettings]: ...
    @property
    def targets(self) -> Mapping[str, TargetSettings]: ...


def problems(settings: EnrichSections) -> Iterator[Problem]:
    """Models, taxonomies, rules and targets that cannot work; literal secrets; used-up budgets.

    Calls nobody.
    """
    try:
        plan, _ = make_plan(settings.enrich, settings.taxonomies, taxonomy_names(settings))
        yield from check_budgets(settings, plan, datetime.now(UTC))
    except HooksiftError as error:
        yield Problem("error", "enrich", str(error), "correct the enrich or taxonomies section")
    try:
        RuleBook(list(settings.rules), settings.targets)
    except HooksiftError as error:
        yield Problem("error", "rules", str(error), "correct the rule")
    names = dict.fromkeys(settings.sources, "")
    with suppress(HooksiftError):  # a preset that is wrong is told by its source
        names = taxonomy_names(settings)
    known = build_taxonomies(dict(settings.taxonomies))
    of_sources = {source: known[name] for source, name in names.items() if name in known}
    yield from check_rules(settings.rules, settings.sources, of_sources)
    for name, target in settings.targets.items():
        try:
            open_targets({name: target})
        except HooksiftError as error:
            what = str(error).removeprefix(f"targets.{name}: ")
            yield Problem("error", f"targets.{name}", what, "correct the target")
        for field, reference in secret_references(target):
            if is_literal(reference):
                yield literal(f"targets.{name}.{field}")
    for name, model in settings.enrich.models.items():
        if model.api_key not in ("", "none") and is_literal(model.api_key):
            yield literal(f"enrich.models.{name}.api_key")


def check_budgets(settings: EnrichSections, plan: Plan, now: datetime) -> Iterator[Problem]:
    """Budgets that are used up: until the next day their sources ask no model."""
    limited = {
        source: profile.budget
        for source, profile in plan.profiles.items()
        if profile.instant is None and profile.budget.is_limited
    }
    spent = spent_on_day(settings, now) if limited else {}
    for source, budget in limited.items():
        used = used_up(budget, spent.get(source, Spending()))
        if used:
            then = "wait" if budget.at_limit == "wait" else "are answered by rules"
            yield Problem(
                "warning",
                f"enrich.sources.{source}.budget",
                f"the budget of {day_of(now)} is used up, {used}; events {then} until"
                f" {next_day(now):%Y-%m-%d %H:%M} UTC",
                "wait, or raise the limit there or in enrich.budget, and start the workers again",
            )


def spent_on_day(settings: EnrichSections, now: datetime) -> dict[str, Spending]:
    """What each source spent; nothing where the store, which is checked by itself, is away."""
    try:
        store = open_store(settings.store_url, upgrade=False)
    except HooksiftError:
        return {}
    try:
        with store.read() as connection:
            return load_spending(connection, day_of(now))
    except HooksiftError:
        return {}
    finally:
        store.close()
