"""Messages to people and machines: what leaves, to whom, how often, over real HTTP and SMTP."""

import asyncio
import contextlib
import email.policy
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import pytest
from pydantic import TypeAdapter
from standardwebhooks import Webhook, WebhookVerificationError

from enrich.actions.adapters.contract import Guarantee, Message, Messenger
from enrich.actions.errors import ActionError, DoubtError, PermanentError, TransientError
from enrich.actions.messages import clean_values
from enrich.actions.rules import Situation
from enrich.actions.settings import TargetSettings
from enrich.actions.targets import World, guarantee_of, open_target
from service.errors import SettingsError
from tests.servers.asgi import LOOPBACK, Answer, Call, LocalHost
from tests.servers.message_server import MessageServer

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
KINDS: dict[str, dict[str, Any]] = {
    "slack": {},
    "teams": {},
    "discord": {},
    "pagerduty-events": {"routing_key": "R0UTING-KEY-OF-32-CHARACTERS"},
    "alertmanager": {},
    "webhook": {"secret": SECRET},
    "github-dispatch": {"repository": "acme/ops", "token": "gh-t0ken"},
}
MESSAGE = Message(
    title="[high] billing in tickets: Charged twice <b>&",
    text="Two charges of 29 EUR.\nPlease *refund* one.",
    key="msg_1",
    group="group1",
    severity="high",
    values={"event_id": "7", "source": "tickets", "category": "billing", "severity": "high"}
    | {"rule": "tell", "fingerprint": "f1", "title": "Charged twice"},
    at=datetime(2026, 3, 2, 9, 0, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("title", "summary", "beyond"),
    [
        ("Charged twice", "Charged twice.", ""),
        ("Charged twice in March", "Charged twice", ""),
        ("Charged twice", "Charged twice: in March.", "in March."),
        ("Charged twice", "Charged twice Charged twice in March.", "in March."),
        ("Pay", "Payments fail.", "Payments fail."),
        ("`KeyError` in <b>a.b</b>", "KeyError in a.b since nine", "since nine"),
        ("", "Payments fail.", "Payments fail."),
    ],
)
def test_what_is_beyond_the_title_does_not_repeat_it(title: str, summary: str, beyond: str) -> None:
    situation = Situation(1, "a", "t", "bug", "low", title=title, summary=summary)
    assert clean_values(situation, "all")["beyond_title"] == beyond


class Wire:
    """One target of a kind, and the server behind it."""

    def __init__(self, kind: str, local_host: LocalHost) -> None:
        self.kind, self.server = kind, MessageServer()
        local_host.add(self.server)

    def open(self, **more: Any) -> Messenger:
        given = {"adapter": self.kind, "url": self.server.url, "allow_addresses": LOOPBACK}
        settings = TypeAdapter(TargetSettings).validate_python(given | KINDS[self.kind] | more)
        return open_target("there", settings, World(resolve=str)).adapter  # type: ignore[return-value]

    def send(self, message: Message = MESSAGE, **more: Any) -> Call:
        async def send() -> None:
            messenger = self.open(**more)
            try:
                await messenger.send(message)
            finally:
                await messenger.close()

        asyncio.run(send())
        return self.server.calls[-1]

    def failure(self, **more: Any) -> ActionError:
        with pytest.raises(ActionError) as raised:
            self.send(**more)
        return raised.value


@pytest.fixture(params=sorted(KINDS))
def wire(request: pytest.FixtureRequest, local_host: LocalHost) -> Wire:
    return Wire(request.param, local_host)


def test_a_message_arrives_as_json_by_post(wire: Wire) -> None:
    call = wire.send()
    assert (call.method, call.headers["content-type"]) == ("POST", "application/json")
    assert call.json


def test_the_title_is_in_what_arrives(wire: Wire) -> None:
    assert "Charged twice" in json.dumps(wire.send().json)


def test_a_limit_says_when_to_come_back(wire: Wire) -> None:
    wire.server.plan(Answer(429, {}, {"Retry-After": "30"}))
    error = wire.failure()
    assert (type(error), getattr(error, "retry_after_seconds", None)) == (TransientError, 30)


def test_no_answer_leaves_it_in_doubt(wire: Wire) -> None:
    wire.server.hang_after_next = True
    assert isinstance(wire.failure(timeout_seconds=0.3), DoubtError)


def test_a_target_that_is_gone_is_given_up(wire: Wire) -> None:
    wire.server.plan(Answer(410))
    assert isinstance(wire.failure(), PermanentError)


def test_no_error_tells_the_path_or_a_secret(wire: Wire) -> None:
    wire.server.plan(Answer(400, b"invalid_payload"))
    said = f"{wire.failure()!r}"
    path = wire.server.url.rpartition("/")[2]
    assert not re.search(f"{path}|R0UTING|whsec|t0ken", said)


def test_a_redirect_gets_no_second_request(wire: Wire) -> None:
    wire.server.plan(Answer(307, b"", {"Location": wire.server.url}))
    wire.failure()
    assert len(wire.server.calls) == 1


def test_slack_gets_its_control_characters_as_entities(local_host: LocalHost) -> None:
    text = Wire("slack", local_host).send().json["text"]
    assert text.startswith("[high] billing in tickets: Charged twice &lt;b&gt;&amp;\n")


def test_slack_is_told_to_link_and_unfurl_nothing(local_host: LocalHost) -> None:
    body = Wire("slack", local_host).send().json
    told = {k: body[k] for k in ("parse", "link_names", "unfurl_links", "unfurl_media", "mrkdwn")}
    assert told == {
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "mrkdwn": False,
    }


def test_discord_is_told_to_mention_nobody(local_host: LocalHost) -> None:
    body = Wire("discord", local_host).send().json
    assert (body["allowed_mentions"], body["flags"] & 4) == ({"parse": []}, 4)


def test_discord_gets_markdown_escaped(local_host: LocalHost) -> None:
    assert r"\*refund\*" in Wire("discord", local_host).send().json["content"]


def test_discord_is_asked_to_answer_after_saving(local_host: LocalHost) -> None:
    assert Wire("discord", local_host).send().query == {"wait": "true"}


def test_teams_gets_text_runs_which_know_no_markdown(local_host: LocalHost) -> None:
    card = Wire("teams", local_host).send().json["attachments"][0]["content"]
    kinds = {(block["type"], run["type"]) for block in card["body"] for run in block["inlines"]}
    assert kinds == {("RichTextBlock", "TextRun")}


def test_teams_hidden_limit_is_noticed(local_host: LocalHost) -> None:
    wire = Wire("teams", local_host)
    wire.server.reply = Answer(200, b"Webhook message delivery failed with HTTP error 429")
    assert wire.failure().kind == "rate_limited"


def test_pagerduty_gets_the_group_as_its_dedup_key(local_host: LocalHost) -> None:
    body = Wire("pagerduty-events", local_host).send().json
    assert (body["dedup_key"], body["event_action"]) == ("group1", "trigger")


@pytest.mark.parametrize(
    ("ours", "theirs"), [("critical", "critical"), ("high", "error"), ("normal", "warning")]
)
def test_pagerduty_gets_one_of_its_four_severities(
    local_host: LocalHost, ours: str, theirs: str
) -> None:
    body = Wire("pagerduty-events", local_host).send(replace(MESSAGE, severity=ours)).json
    assert body["payload"]["severity"] == theirs


def test_alertmanager_gets_the_same_labels_for_the_same_thing(local_host: LocalHost) -> None:
    wire = Wire("alertmanager", local_host)
    assert wire.send().json[0]["labels"] == wire.send().json[0]["labels"]


def test_github_gets_everything_under_one_property(local_host: LocalHost) -> None:
    call = Wire("github-dispatch", local_host).send()
    assert (call.path, list(call.json["client_payload"])) == (
        "/repos/acme/ops/dispatches",
        ["hooksift"],
    )


def test_the_standard_webhook_is_verified_by_the_official_library(local_host: LocalHost) -> None:
    call = Wire("webhook", local_host).send()
    event = Webhook(SECRET).verify(call.body, call.headers)
    assert event["data"]["category"] == "billing"


def test_the_standard_webhook_of_another_secret_is_not(local_host: LocalHost) -> None:
    call = Wire("webhook", local_host).send()
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 32).verify(call.body, call.headers)


def test_the_standard_webhooks_id_is_the_same_for_every_try(local_host: LocalHost) -> None:
    wire = Wire("webhook", local_host)
    assert wire.send().headers["webhook-id"] == wire.send().headers["webhook-id"] == "msg_1"


def test_further_headers_come_with_the_webhook(local_host: LocalHost) -> None:
    call = Wire("webhook", local_host).send(headers={"Authorization": "Bearer jenkins"})
    assert call.headers["authorization"] == "Bearer jenkins"


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_short", "whsec_!!!", "plain text"])
def test_a_secret_that_is_none_is_refused_at_start(local_host: LocalHost, secret: str) -> None:
    with pytest.raises(SettingsError):
        Wire("webhook", local_host).open(secret=secret)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_the_settings_promise_is_what_the_adapter_promises(
    local_host: LocalHost, kind: str
) -> None:
    wire = Wire(kind, local_host)
    for delivery in ("at-least-once", "at-most-once"):
        given = {"adapter": kind, "url": wire.server.url, "allow_addresses": LOOPBACK}
        settings = TypeAdapter(TargetSettings).validate_python(
            given | KINDS[kind] | {"delivery": delivery}
        )
        assert guarantee_of(settings) is wire.open(delivery=delivery).guarantee


def test_an_alert_has_one_effect(local_host: LocalHost) -> None:
    assert Wire("alertmanager", local_host).open().guarantee is Guarantee.EXACTLY_ONCE


def test_an_incident_may_be_raised_again_once_it_is_closed(local_host: LocalHost) -> None:
    assert Wire("pagerduty-events", local_host).open().guarantee is Guarantee.AT_LEAST_ONCE


class Mailbox:
    """A real SMTP server on loopback."""

    def __init__(self) -> None:
        from aiosmtpd.controller import Controller

        self.mails: list[EmailMessage] = []
        self.answer, self.goodbye = "250 OK", "221 Bye"
        with socket.create_server(("127.0.0.1", 0)) as probe:  # the controller must know its port
            self.port = probe.getsockname()[1]
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self.controller.start()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.answer.startswith("250"):
            policy = email.policy.default
            self.mails.append(email.message_from_bytes(envelope.content, policy=policy))  # type: ignore[arg-type]
        return self.answer

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - as above
        return self.goodbye

    def send(self, message: Message = MESSAGE, **more: Any) -> EmailMessage:
        given = {
            "adapter": "email",
            "host": "127.0.0.1",
            "port": self.port,
            "security": "none",
            "sender": "Hooksift <hooksift@acme.example>",
            "to": ["oncall@acme.example"],
            "allow_addresses": LOOPBACK,
        }
        settings = TypeAdapter(TargetSettings).validate_python(given | more)
        messenger: Messenger = open_target("mail", settings, World(resolve=str)).adapter  # type: ignore[assignment]
        asyncio.run(messenger.send(message))
        return self.mails[-1]


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    if box.controller.loop.is_running():
        box.controller.stop()


def test_a_mail_arrives(mailbox: Mailbox) -> None:
    mail = mailbox.send()
    assert (mail["To"], mail["Subject"]) == (
        "oncall@acme.example",
        "[high] billing in tickets: Charged twice <b>&",
    )


def test_a_mails_text_is_plain(mailbox: Mailbox) -> None:
    plain = mailbox.send().get_body(("plain",))
    assert plain is not None
    assert "*refund*" in plain.get_content()


def test_a_mails_html_is_escaped(mailbox: Mailbox) -> None:
    page = mailbox.send(replace(MESSAGE, text="<script>x</script>")).get_body(("html",))
    assert page is not None
    assert "<pre>&lt;script&gt;x&lt;/script&gt;</pre>" in page.get_content()


def test_a_title_with_line_breaks_adds_no_header(mailbox: Mailbox) -> None:
    mail = mailbox.send(replace(MESSAGE, title="Hello\r\nBcc: mallory@evil.example\r\n\r\nBody"))
    assert mail["Bcc"] is None


def test_a_mails_id_is_the_same_for_every_try(mailbox: Mailbox) -> None:
    assert mailbox.send()["Message-ID"] == mailbox.send()["Message-ID"]


def test_a_mail_server_that_is_busy_is_tried_again(mailbox: Mailbox) -> None:
    mailbox.answer = "451 try later"
    with pytest.raises(TransientError):
        mailbox.send()


def test_a_mail_that_was_taken_is_sent_whatever_the_server_says_after_it(mailbox: Mailbox) -> None:
    mailbox.goodbye = "421 too many connections"
    mailbox.send()
    assert len(mailbox.mails) == 1


def test_a_mail_server_that_refuses_is_not_tried_again(mailbox: Mailbox) -> None:
    mailbox.answer = "554 no"
    with pytest.raises(PermanentError):
        mailbox.send()


def test_a_mail_server_that_is_away_was_sent_nothing(mailbox: Mailbox) -> None:
    mailbox.controller.stop()
    with pytest.raises(TransientError) as raised:
        mailbox.send()
    assert raised.value.kind == "unreachable"


def test_a_mail_server_without_tls_is_not_given_the_mail(mailbox: Mailbox) -> None:
    with pytest.raises(ActionError):
        mailbox.send(security="starttls")
    assert mailbox.mails == []


def test_a_mail_server_that_never_comes_to_the_point_is_hung_up_on() -> None:
    """Its greeting goes on, line by line, each in time."""
    hung_up = threading.Event()

    def greet_for_ever(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            while True:
                connection.sendall(b"220-patience\r\n")
                hung_up.wait(0.02)
        hung_up.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=greet_for_ever, args=(listening,), daemon=True).start()
        given = {"adapter": "email", "host": "127.0.0.1", "port": listening.getsockname()[1]}
        given |= {"security": "none", "sender": "a@acme.example", "to": ["b@acme.example"]}
        given |= {"allow_addresses": LOOPBACK, "timeout_seconds": 0.1}
        settings = TypeAdapter(TargetSettings).validate_python(given)
        messenger: Messenger = open_target("mail", settings, World(resolve=str)).adapter  # type: ignore[assignment]
        with pytest.raises(DoubtError):
            asyncio.run(messenger.send(MESSAGE))
        assert hung_up.wait(10)
