"""What a user types about actions: `[[rules]]` and `[targets.NAME]` in hooksift.toml.

Host, account and project stand here and nowhere else; a payload only names a ticket among them.
Secrets are references, `env:NAME` or `file:PATH`.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, IPvAnyNetwork

NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _seconds(value: Any) -> Any:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", value) if isinstance(value, str) else None
    return float(found[1]) * _UNITS[found[2]] if found else value


def _at_least(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"at_least": value} if is_number else value


Secret = Annotated[str, Field(repr=False, json_schema_extra={"secret": True})]
Words = Annotated[list[str], BeforeValidator(_listed)]
Duration = Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=365 * 86_400)]


class Section(BaseModel):
    """A section of the file: an unknown key is an error, nothing changes after start."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class Range(Section):
    """A range of confidence; a plain number means at least that much."""

    at_least: float = Field(default=0.0, ge=0, le=1, description="this much or more")
    below: float | None = Field(default=None, ge=0, le=1, description="less than this")


class Rate(Section):
    """So many events of one fingerprint within a time, the event itself included."""

    count: int = Field(ge=1, description="so many events, or more")
    within: Duration = Field(gt=0, description='seconds, or "10m", "2h", "1d"')


class Conditions(Section):
    """All that are given must hold; a list holds when one of its values does."""

    source: Words | None = Field(default=None, description="names of sources")
    type: Words | None = Field(default=None, description="event types; * stands for anything")
    category: Words | None = Field(default=None, description="one of these")
    severity: Words | None = Field(default=None, description="one of these")
    sentiment: Words | None = Field(default=None, description="one of these")
    language: Words | None = Field(default=None, description="codes of languages, e.g. en, de")
    tags: Words | None = Field(default=None, description="at least one of these")
    confidence: Annotated[Range, BeforeValidator(_at_least)] | None = None
    suspicious: bool | None = Field(
        default=None, description="whether the text tries to instruct the model"
    )
    degraded: bool | None = Field(
        default=None, description="whether rules answered in a model's stead"
    )
    first: bool | None = Field(default=None, description="the first event of its fingerprint")
    rate: Rate | None = None


class ActionSettings(Section):
    """One thing that a rule does: tags or a note on the ticket, or a message to people."""

    target: str = Field(pattern=NAME, description="of [targets.NAME]")
    tags: Words = Field(default=[], description='templates, e.g. ["{category}", "sev-{severity}"]')
    note: str | None = Field(default=None, description="template of a note on the ticket")
    title: str | None = Field(default=None, description="template of a message's title")
    text: str | None = Field(default=None, description="template of a message")
    group_by: Words = Field(
        default=["source", "category", "fingerprint"], description="what makes events alike"
    )
    group_within: Duration | None = Field(
        default=None, description="one message for all alike in this time; 0: each its own"
    )


class RuleSettings(Section):
    """`[[rules]]`: when something holds, what to do."""

    name: str = Field(pattern=NAME, description="in logs, actions and the history")
    when: Conditions = Conditions()
    unless: Conditions | None = None
    actions: list[ActionSettings] = Field(min_length=1)
    mode: Literal["suggest", "act"] | None = Field(
        default=None,
        description="suggest: record, do not write; default for write-back. act: do it",
    )
    min_confidence: float = Field(
        default=0.7, ge=0, le=1, description="below it a write-back is suggested only"
    )
    review: str | None = Field(
        default=None, pattern=NAME, description="target told of what was only suggested"
    )


class Target(Section):
    """What every target has."""

    allow_addresses: list[IPvAnyNetwork] = Field(
        default=[], description="private networks that this target may be in, e.g. 10.2.0.0/16"
    )
    ca_file: str = Field(default="", description="PEM file of a private certificate authority")
    timeout_seconds: float = Field(default=10.0, gt=0, le=60, description="for one call")
    calls_per_second: float = Field(default=5.0, gt=0, description="at most")


class TicketTarget(Target):
    """Where tickets live."""

    tag_prefix: str = Field(
        default="hooksift",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,30}$",
        description="what our tags begin with; others are never touched",
    )
    tag_separator: Literal[":", "-", "_", "/", "::"] = ":"
    sources: Words = Field(
        default=[], description="whose tickets live here; empty: of every source of the provider"
    )
    accounts: Words = Field(
        default=[], description="logins or ids that are ours: their changes are our own echo"
    )


class GitHubTarget(TicketTarget):
    """Labels on issues and pull requests."""

    adapter: Literal["github"]
    repositories: Words = Field(min_length=1, description="owner/name")
    token: Secret = Field(description="reference to the token that may write there")
    url: str = Field(default="https://api.github.com", description="base of its API")


class GitLabTarget(TicketTarget):
    """Labels on issues and merge requests."""

    adapter: Literal["gitlab"]
    projects: Words = Field(min_length=1, description="group/name")
    token: Secret = Field(description="reference to the token that may write there")
    url: str = Field(default="https://gitlab.com", description="base of its API")


class ZendeskTarget(TicketTarget):
    """Tags on tickets."""

    adapter: Literal["zendesk"]
    url: str = Field(description="https://SUBDOMAIN.zendesk.com")
    user: str = Field(description="e-mail address of the agent whose token it is")
    token: Secret = Field(description="reference to the token that may write there")


class JiraTarget(TicketTarget):
    """Labels on issues."""

    adapter: Literal["jira"]
    url: str = Field(description="https://SITE.atlassian.net")
    projects: Words = Field(min_length=1, description="project keys")
    user: str = Field(default="", description="e-mail address; empty for a bearer token")
    token: Secret = Field(description="reference to the token that may write there")


class IntercomTarget(TicketTarget):
    """Tags on conversations."""

    adapter: Literal["intercom"]
    admin_id: str = Field(pattern=r"^\d{1,20}$", description="in whose name tags are put")
    app_id: str = Field(default="", description="workspace; other workspaces' events are refused")
    token: Secret = Field(description="reference to the token that may write there")
    url: str = Field(default="https://api.intercom.io", description="base of its API")


class FreshdeskTarget(TicketTarget):
    """Tags on tickets."""

    adapter: Literal["freshdesk"]
    url: str = Field(description="https://DOMAIN.freshdesk.com")
    token: Secret = Field(description="reference to the token that may write there")


class LinearTarget(TicketTarget):
    """Labels on issues."""

    adapter: Literal["linear"]
    teams: Words = Field(min_length=1, description="team keys, e.g. ENG")
    token: Secret = Field(description="reference to the token that may write there")
    url: str = Field(default="https://api.linear.app", description="base of its API")


class SentryTarget(TicketTarget):
    """Notes on issues."""

    adapter: Literal["sentry"]
    organization: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,99}$", description="its slug")
    projects: Words = Field(default=[], description="project slugs; empty for all")
    token: Secret = Field(description="reference to the token that may write there")
    url: str = Field(default="https://sentry.io", description="base of its API")


class PagerDutyTarget(TicketTarget):
    """Notes on incidents."""

    adapter: Literal["pagerduty"]
    user: str = Field(description="e-mail address in whose name notes are written")
    token: Secret = Field(description="reference to the token that may write there")
    url: str = Field(default="https://api.pagerduty.com", description="base of its API")


class MessageTarget(Target):
    """Where people, or machines, are told something."""

    delivery: Literal["at-least-once", "at-most-once"] = Field(
        default="at-least-once", description="what to do when nobody knows whether it arrived"
    )


class SlackTarget(MessageTarget):
    """A channel, by its incoming webhook."""

    adapter: Literal["slack"]
    url: Secret = Field(description="reference to the webhook URL, itself a secret")
    calls_per_second: float = Field(default=1.0, gt=0, description="at most")


class TeamsTarget(MessageTarget):
    """A channel, by a workflow's webhook."""

    adapter: Literal["teams"]
    url: Secret = Field(description="reference to the webhook URL, itself a secret")
    calls_per_second: float = Field(default=1.0, gt=0, description="at most")


class DiscordTarget(MessageTarget):
    """A channel, by its webhook."""

    adapter: Literal["discord"]
    url: Secret = Field(description="reference to the webhook URL, itself a secret")
    calls_per_second: float = Field(default=0.5, gt=0, description="at most")


class EmailTarget(MessageTarget):
    """People, by SMTP."""

    adapter: Literal["email"]
    host: str = Field(description="the mail server")
    port: int = Field(default=587, ge=1, le=65535, description="of the mail server")
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = Field(default="", description="empty: the server asks for none")
    password: Secret = Field(default="", description="reference to the user's password")
    sender: str = Field(description="address that the mail comes from")
    to: Words = Field(min_length=1, description="addresses it goes to")


class PagerDutyEventsTarget(MessageTarget):
    """Incidents, by Events API v2."""

    adapter: Literal["pagerduty-events"]
    routing_key: Secret = Field(description="reference to the integration key")
    url: str = Field(default="https://events.pagerduty.com", description="base of its API")


class AlertmanagerTarget(MessageTarget):
    """Alerts."""

    adapter: Literal["alertmanager"]
    url: str = Field(description="base of its API, e.g. http://127.0.0.1:9093")
    user: str = Field(default="", description="for basic authentication; empty for none")
    password: Secret = Field(default="", description="reference to the user's password")
    token: Secret = Field(default="", description="reference to a bearer token; empty for none")
    resolve_after: Duration = Field(
        default=3600.0, description="an alert ends so long after its last event"
    )


class WebhookTarget(MessageTarget):
    """A signed Standard Webhook to any URL."""

    adapter: Literal["webhook"]
    url: Secret = Field(description="the URL, or a reference to it")
    secret: Secret = Field(description="reference to a whsec_ secret")
    headers: dict[str, str] = Field(
        default={},
        repr=False,
        json_schema_extra={"secret": True},
        description="further headers; values may be secret",
    )


class GitHubDispatchTarget(MessageTarget):
    """A repository_dispatch event, which starts GitHub Actions workflows."""

    adapter: Literal["github-dispatch"]
    repository: str = Field(description="owner/name")
    event: str = Field(
        default="hooksift",
        pattern=r"^[A-Za-z0-9_.-]{1,100}$",
        description="the event_type that workflows name",
    )
    token: Secret = Field(description="reference to the token that may write there")
    url: str = Field(default="https://api.github.com", description="base of its API")


TargetSettings = Annotated[
    GitHubTarget
    | GitLabTarget
    | ZendeskTarget
    | JiraTarget
    | IntercomTarget
    | FreshdeskTarget
    | LinearTarget
    | SentryTarget
    | PagerDutyTarget
    | SlackTarget
    | TeamsTarget
    | DiscordTarget
    | EmailTarget
    | PagerDutyEventsTarget
    | AlertmanagerTarget
    | WebhookTarget
    | GitHubDispatchTarget,
    Field(discriminator="adapter"),
]


class ActSettings(Section):
    """`[act]`: how actions are performed."""

    concurrency: int = Field(default=8, ge=1, le=256, description="actions at a time")
    lease_seconds: float = Field(
        default=120.0, ge=10, le=3600, description="how long a claim holds"
    )
    retry_after: list[Duration] = Field(
        default=[60.0, 300.0, 1800.0, 7200.0, 21600.0, 43200.0],
        description="how long the store keeps a failed action before each further try",
    )
