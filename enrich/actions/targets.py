"""Configured targets, opened: an adapter with its way out, its credentials and its pace."""

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from enrich.actions import settings as s
from enrich.actions.adapters.contract import Adapter, Guarantee
from enrich.actions.connections import Resolver, system_resolver
from enrich.actions.outbound import Outbound
from enrich.actions.tags import Namespace
from service.errors import SettingsError
from service.secrets import resolve as resolve_secret


class Kind(StrEnum):
    """What can be done at a target."""

    TAGS = "tags"
    NOTE = "note"
    MESSAGE = "message"


def kind_of(settings: s.Target) -> Kind:
    """What can be done at a target with these settings."""
    if isinstance(settings, s.MessageTarget):
        return Kind.MESSAGE
    if isinstance(settings, s.SentryTarget | s.PagerDutyTarget):
        return Kind.NOTE
    return Kind.TAGS


def guarantee_of(settings: s.Target) -> Guarantee:
    """How often an action at a target with these settings has its effect."""
    if isinstance(settings, s.PagerDutyEventsTarget):
        return Guarantee.AT_LEAST_ONCE
    if isinstance(settings, s.AlertmanagerTarget):
        return Guarantee.EXACTLY_ONCE
    if isinstance(settings, s.MessageTarget):
        return Guarantee(settings.delivery.replace("-", " "))
    return Guarantee.EXACTLY_ONCE


def namespace_of(settings: s.Target) -> Namespace:
    """How our tags are named at a target."""
    if isinstance(settings, s.TicketTarget):
        return Namespace(settings.tag_prefix, settings.tag_separator)
    return Namespace()


class Pace:
    """Not more calls than the target takes, and none while it asked for a pause.

    Each process paces itself; what several exceed together, the target's 429 slows down.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1.0 / per_second
        self._clock = clock
        self._next = 0.0

    def reserve(self, calls: int = 1, within_seconds: float = 2.0) -> float:
        """Seconds to wait before so many calls; reserved only when that is within the limit."""
        now = self._clock()
        wait = max(self._next - now, 0.0)
        if wait <= within_seconds:
            self._next = now + wait + self._interval * calls
        return wait

    def pause(self, seconds: float) -> None:
        """Let nothing go for that long."""
        self._next = max(self._next, self._clock() + seconds)


@dataclass(slots=True)
class Target:
    """A target that can be called."""

    name: str
    kind: Kind
    settings: s.Target
    adapter: Adapter
    pace: Pace
    space: Namespace = field(default_factory=Namespace)


@dataclass(frozen=True, slots=True)
class World:
    """What targets need from outside: secrets, names, time."""

    resolve: Callable[[str], str] = resolve_secret
    resolver: Resolver = system_resolver
    clock: Callable[[], float] = time.monotonic


def open_targets(sections: Mapping[str, s.Target], world: World | None = None) -> dict[str, Target]:
    """Every configured target, ready. Nothing is connected yet.

    Raises SettingsError, with the target's name, for a secret that is missing or a URL that is
    none.
    """
    world = world or World()
    return {name: open_target(name, settings, world) for name, settings in sections.items()}


def check_accounts(sections: Mapping[str, s.Target]) -> None:
    """Two accounts of one provider must not be taken for each other: ticket 7 is in both.

    Raises SettingsError where only `sources` could tell them apart and is not given.
    """
    kinds = (s.ZendeskTarget, s.FreshdeskTarget, s.PagerDutyTarget)
    for kind in kinds:
        named = {n: t for n, t in sections.items() if isinstance(t, kind)}
        open_to_all = [name for name, target in named.items() if not target.sources]
        if len(named) > 1 and open_to_all:
            raise SettingsError(
                f"targets.{open_to_all[0]}: {' and '.join(named)} have the same adapter;"
                " name in each one's sources whose tickets live there"
            )


def serves(settings: s.Target, source: str) -> bool:
    """Whether a source's tickets live at a target."""
    return not isinstance(settings, s.TicketTarget) or source in (settings.sources or [source])


def open_target(name: str, settings: s.Target, world: World) -> Target:
    """One target. Raises SettingsError as `open_targets`."""
    try:
        adapter = ADAPTERS[type(settings)](settings, world)
    except SettingsError as error:
        raise SettingsError(f"targets.{name}: {error}") from error
    return Target(
        name,
        kind_of(settings),
        settings,
        adapter,
        Pace(settings.calls_per_second, world.clock),
        namespace_of(settings),
    )


def secret_references(settings: s.Target) -> list[tuple[str, str]]:
    """Every secret of a target as (field, reference), for whoever warns of literal ones."""
    found: list[tuple[str, str]] = []
    for name, info in type(settings).model_fields.items():
        if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get("secret"):
            value = getattr(settings, name)
            many = value.items() if isinstance(value, dict) else [("", value)]
            found += [(f"{name}.{key}" if key else name, text) for key, text in many if text]
    return found


def _out(
    settings: s.Target, world: World, url: str, headers: Mapping[str, str], **more: Any
) -> Outbound:
    return Outbound(
        url,
        headers=headers,
        allowed=settings.allow_addresses,
        timeout_seconds=settings.timeout_seconds,
        resolver=world.resolver,
        ssl_context=_trust(settings),
        **more,
    )


def _trust(settings: s.Target) -> ssl.SSLContext | None:
    if not settings.ca_file:
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"ca_file {settings.ca_file} holds no certificates") from error


def _github(settings: s.GitHubTarget, world: World) -> Adapter:
    from enrich.actions.adapters import github

    headers = github.headers(world.resolve(settings.token))
    return github.GitHub(settings, _out(settings, world, settings.url, headers))


def _zendesk(settings: s.ZendeskTarget, world: World) -> Adapter:
    from enrich.actions.adapters import zendesk

    headers = zendesk.headers(settings, world.resolve(settings.token))
    return zendesk.Zendesk(_out(settings, world, settings.url, headers))


def _jira(settings: s.JiraTarget, world: World) -> Adapter:
    from enrich.actions.adapters import jira

    headers = jira.headers(settings, world.resolve(settings.token))
    return jira.Jira(settings, _out(settings, world, settings.url, headers))


def _gitlab(settings: s.GitLabTarget, world: World) -> Adapter:
    from enrich.actions.adapters import gitlab

    headers = gitlab.headers(world.resolve(settings.token))
    return gitlab.GitLab(settings, _out(settings, world, settings.url, headers))


def _intercom(settings: s.IntercomTarget, world: World) -> Adapter:
    from enrich.actions.adapters import intercom

    headers = intercom.headers(world.resolve(settings.token))
    return intercom.Intercom(settings, _out(settings, world, settings.url, headers))


def _freshdesk(settings: s.FreshdeskTarget, world: World) -> Adapter:
    from enrich.actions.adapters import freshdesk

    headers = freshdesk.headers(world.resolve(settings.token))
    return freshdesk.Freshdesk(_out(settings, world, settings.url, headers))


def _linear(settings: s.LinearTarget, world: World) -> Adapter:
    from enrich.actions.adapters import linear

    headers = linear.headers(world.resolve(settings.token))
    return linear.Linear(settings, _out(settings, world, settings.url, headers))


def _sentry(settings: s.SentryTarget, world: World) -> Adapter:
    from enrich.actions.adapters import sentry

    headers = sentry.headers(world.resolve(settings.token))
    return sentry.Sentry(settings, _out(settings, world, settings.url, headers))


def _pagerduty(settings: s.PagerDutyTarget, world: World) -> Adapter:
    from enrich.actions.adapters import pagerduty

    headers = pagerduty.headers(settings, world.resolve(settings.token))
    return pagerduty.PagerDuty(_out(settings, world, settings.url, headers))


def _slack(settings: s.SlackTarget, world: World) -> Adapter:
    from enrich.actions.adapters import slack

    url = world.resolve(settings.url)
    return slack.Slack(settings, _out(settings, world, url, {}, keep_alive=False))


def _teams(settings: s.TeamsTarget, world: World) -> Adapter:
    from enrich.actions.adapters import teams

    url = world.resolve(settings.url)
    return teams.Teams(settings, _out(settings, world, url, {}, keep_alive=False))


def _discord(settings: s.DiscordTarget, world: World) -> Adapter:
    from enrich.actions.adapters import discord

    url = world.resolve(settings.url)
    return discord.Discord(settings, _out(settings, world, url, {}, keep_alive=False))


def _email(settings: s.EmailTarget, world: World) -> Adapter:
    from enrich.actions.adapters import email

    return email.Email(
        settings,
        _maybe(settings.password, world),
        allowed=settings.allow_addresses,
        resolver=world.resolver,
        ssl_context=_trust(settings),
    )


def _pagerduty_events(settings: s.PagerDutyEventsTarget, world: World) -> Adapter:
    from enrich.actions.adapters import pagerduty_events

    out = _out(settings, world, settings.url, {}, keep_alive=False)
    return pagerduty_events.PagerDutyEvents(out, world.resolve(settings.routing_key))


def _alertmanager(settings: s.AlertmanagerTarget, world: World) -> Adapter:
    from enrich.actions.adapters import alertmanager

    password, token = _maybe(settings.password, world), _maybe(settings.token, world)
    headers = alertmanager.headers(settings, password, token)
    return alertmanager.Alertmanager(settings, _out(settings, world, settings.url, headers))


def _webhook(settings: s.WebhookTarget, world: World) -> Adapter:
    from enrich.actions.adapters import standard_webhook

    headers = {name: world.resolve(value) for name, value in settings.headers.items()}
    url = world.resolve(settings.url)
    out = _out(settings, world, url, headers, keep_alive=False)
    return standard_webhook.StandardWebhook(settings, out, world.resolve(settings.secret))


def _github_dispatch(settings: s.GitHubDispatchTarget, world: World) -> Adapter:
    from enrich.actions.adapters import github, github_dispatch

    headers = github.headers(world.resolve(settings.token))
    out = _out(settings, world, settings.url, headers, keep_alive=False)
    return github_dispatch.GitHubDispatch(settings, out)


def _maybe(reference: str, world: World) -> str:
    return world.resolve(reference) if reference else ""


ADAPTERS: dict[type, Callable[[Any, World], Adapter]] = {
    s.GitHubTarget: _github,
    s.ZendeskTarget: _zendesk,
    s.JiraTarget: _jira,
    s.GitLabTarget: _gitlab,
    s.IntercomTarget: _intercom,
    s.FreshdeskTarget: _freshdesk,
    s.LinearTarget: _linear,
    s.SentryTarget: _sentry,
    s.PagerDutyTarget: _pagerduty,
    s.SlackTarget: _slack,
    s.TeamsTarget: _teams,
    s.DiscordTarget: _discord,
    s.EmailTarget: _email,
    s.PagerDutyEventsTarget: _pagerduty_events,
    s.AlertmanagerTarget: _alertmanager,
    s.WebhookTarget: _webhook,
    s.GitHubDispatchTarget: _github_dispatch,
}
