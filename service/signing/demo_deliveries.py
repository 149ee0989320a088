"""What `hooksift demo` sends: signed deliveries of ten providers, most good, some not.

Everything is made from a seed, so the same call sends the same deliveries, and each says what it
must come to; the demo compares that with what the history says in the end.
"""

import json
import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from service.preset import Preset, load_preset
from service.signing.new_keys import new_keys
from service.signing.outgoing import Outgoing
from service.signing.sign import sign

SOURCES = {
    "github-issues": "github",
    "zendesk": "zendesk",
    "intercom": "intercom",
    "linear": "linear",
    "sentry": "sentry",
    "pagerduty": "pagerduty",
    "alertmanager": "alertmanager",
    "grafana": "grafana",
    "stripe": "stripe",
    "own-app": "standard_webhooks",
}
STALE_SECONDS = 3600
UNKNOWN = "nobody"

TICKETS = (
    ("Cannot log in after password change", "I changed my password and now every login says my session has expired. I need access before noon."),
    ("Invoice shows the wrong amount", "Our invoice for March charges 14 seats but we only have 9. Please correct it and refund the difference."),
    ("Export stops at 10,000 rows", "The CSV export of the orders report is cut off at exactly 10,000 rows. The rest is missing."),
    ("How do I add a colleague?", "I would like to invite two people to our workspace. Where can I find that? Thank you!"),
    ("App crashes when I open the calendar", "Since the update the app closes at once when I tap the calendar. Very annoying, it is unusable."),
    ("Please cancel my subscription", "We no longer need the service. Please cancel at the end of the month and confirm."),
    ("Feature request: dark mode", "It would be great to have a dark theme for the night shift. Love the product otherwise."),
    ("Payment failed but money was taken", "My card was charged twice although the page said the payment had failed. I want a refund."),
    ("Die Anmeldung funktioniert nicht", "Seit heute Morgen kann ich mich nicht mehr anmelden. Bitte helfen Sie mir schnell."),
    ("Le paiement est refuse", "Bonjour, ma carte est refusee depuis hier alors que la banque dit que tout va bien. Merci."),
    ("Webhook deliveries arrive late", "Since yesterday our integration gets events with a delay of up to 20 minutes."),
    ("Delete all my data", "Under the GDPR I ask you to delete my account and all personal data you hold about me."),
    ("URGENT: whole team locked out", "Nobody in our company can sign in since 8:15. We cannot work. Please call me."),
    ("Thanks for the quick help", "The fix you sent works perfectly. You can close this ticket."),
)  # fmt: skip
FAULTS = (
    ("ConnectionTimeout: database did not answer", "ConnectionTimeout: pool exhausted after 30 s waiting for 10.0.{a}.{b}:5432, request {hex}", "error"),
    ("DiskWillFill", "Disk /dev/sd{l} on host node-{a} is {p} % full and will be full within 4 hours", "warning"),
    ("KeyError: 'customer_id'", "KeyError: 'customer_id' in handler checkout for order {n}, worker pid {n}", "error"),
    ("HighErrorRate", "5xx rate of service checkout is {p} % over the last 5 minutes on pod checkout-{hex}", "critical"),
    ("OutOfMemoryError", "java.lang.OutOfMemoryError: Java heap space in job import-{n}, heap {n} MB", "critical"),
    ("CertificateExpiresSoon", "The TLS certificate of shop{a}.example.com expires in {a} days", "warning"),
)  # fmt: skip
STORM = "ReadTimeout: upstream payments did not answer within {p} ms, trace {hex}, attempt {a}"


class Ticket(NamedTuple):
    """What a customer writes."""

    number: int
    title: str
    text: str


class Fault(NamedTuple):
    """What a system reports."""

    number: int
    title: str
    text: str
    level: str


@dataclass(frozen=True, slots=True)
class Planned:
    """One request and what must come of it.

    outcome: accepted, duplicate or the reason of the refusal. source: as refusals count it.
    """

    source: str
    outgoing: Outgoing
    outcome: str
    status: int
    event_count: int = 0
    dead_count: int = 0


class Sender:
    """One source of the demo: its preset, and its keys."""

    def __init__(self, source: str, preset: Preset) -> None:
        self.source = source
        self.preset = preset
        self.receiver_secret, self.sender_secret, _ = new_keys(preset)

    def delivery(self, body: Any, event_type: str, key: str, now: float) -> Outgoing:
        """A signed delivery of this source."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return sign(
            self.preset,
            self.sender_secret,
            raw,
            url=f"/v1/webhooks/{self.source}",
            now=now,
            event_type=event_type,
            delivery_id=key,
        )


def senders() -> dict[str, Sender]:
    """The demo's sources with new secrets."""
    return {source: Sender(source, load_preset(name)) for source, name in SOURCES.items()}


def plan(
    sources: Mapping[str, Sender], count: int, now: float, rng: random.Random
) -> list[Planned]:
    """About `count` deliveries, shuffled; the same rng gives the same ones."""
    bodies = {source: BODIES[sender.preset.name] for source, sender in sources.items()}
    names = sorted(sources)
    planned: list[Planned] = []
    for number in range(max(count, len(names))):
        source = names[number % len(names)]
        planned.append(ordinary(sources[source], bodies[source], number, now, rng))
    repeats = [p for p in planned if p.source not in ("alertmanager", "grafana")]
    again = rng.sample(repeats, max(3, count // 20))
    planned += storm(sources["sentry"], max(10, count // 8), now, rng)
    planned += troubles(sources, now)
    rng.shuffle(planned)
    return planned + [
        Planned(p.source, p.outgoing, "duplicate", sources[p.source].preset.ack.duplicate_status)
        for p in again
    ]


def ordinary(
    sender: Sender, make: "MakeBody", number: int, now: float, rng: random.Random
) -> Planned:
    """A delivery as the provider sends it on a normal day."""
    title, text = rng.choice(TICKETS)
    fault = filled(rng, number)
    body, event_type, events = make(Ticket(1000 + number, title, text), fault, now)
    outgoing = sender.delivery(body, event_type, f"demo-{number}-{secrets.token_hex(4)}", now)
    return Planned(sender.source, outgoing, "accepted", sender.preset.ack.status, events)


def filled(rng: random.Random, number: int) -> Fault:
    """A fault with its volatile parts filled in."""
    title, text, level = rng.choice(FAULTS)
    return Fault(number, title, varied(text, rng), level)


def varied(template: str, rng: random.Random) -> str:
    """The same words with other numbers, ids and addresses."""
    return template.format(
        a=rng.randrange(2, 250),
        b=rng.randrange(2, 250),
        p=rng.randrange(10, 99),
        n=rng.randrange(1000, 99999),
        l=rng.choice("abcdef"),
        hex=f"{rng.getrandbits(64):016x}",
    )


def storm(sender: Sender, count: int, now: float, rng: random.Random) -> Iterator[Planned]:
    """One error, many times, never twice with the same numbers."""
    for number in range(count):
        fault = Fault(90_000 + number, "ReadTimeout", varied(STORM, rng), "error")
        body, event_type, _ = sentry_body(Ticket(0, "", ""), fault, now)
        outgoing = sender.delivery(body, event_type, f"storm-{secrets.token_hex(6)}", now)
        yield Planned(sender.source, outgoing, "accepted", sender.preset.ack.status, 1)


def troubles(sources: Mapping[str, Sender], now: float) -> Iterator[Planned]:
    """One of each that must be refused, and one that no enricher can read."""
    stripe, zendesk, own = sources["stripe"], sources["zendesk"], sources["own-app"]
    forged = Sender("stripe", stripe.preset)
    body = {"id": "evt_forged", "type": "charge.failed", "data": {"object": {}}}
    refused = stripe.preset.ack.refused_status
    outgoing = forged.delivery(body, "charge.failed", "evt_forged", now)
    yield Planned("stripe", outgoing, "signature_mismatch", refused)
    body, event_type, _ = zendesk_body(Ticket(1, "Old news", "Sent long ago"), filled_none(), now)
    outgoing = zendesk.delivery(body, event_type, "demo-stale", now - STALE_SECONDS)
    refused = zendesk.preset.ack.refused_status
    yield Planned("zendesk", outgoing, "timestamp_out_of_tolerance", refused)
    outgoing = own.delivery({"type": "x"}, "x", "demo-unknown", now)
    outgoing = outgoing._replace(url=f"/v1/webhooks/{UNKNOWN}")
    yield Planned("(unknown)", outgoing, "unknown_source", 404)
    body = {"type": "ticket.created", "data": {"subject": "?!", "description": "... 1234 ..."}}
    outgoing = own.delivery(body, "ticket.created", "demo-unreadable", now)
    yield Planned("own-app", outgoing, "accepted", own.preset.ack.status, 1, 1)


def filled_none() -> Fault:
    """No fault at all."""
    return Fault(0, "", "", "")


def expected(planned: list[Planned]) -> dict[str, Counter[str]]:
    """What each source must show in the end: received, duplicate, refused, events, dead."""
    totals: dict[str, Counter[str]] = {}
    for p in planned:
        row = totals.setdefault(p.source, Counter())
        if p.outcome in ("accepted", "duplicate"):
            row["received" if p.outcome == "accepted" else "duplicate"] += 1
        else:
            row["refused"] += 1
        row["events"] += p.event_count
        row["dead"] += p.dead_count
    return totals


def iso(now: float) -> str:
    """An ISO 8601 time as most providers write it."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# How each provider writes a ticket or a fault: (body, event type, number of events).

MakeBody = Callable[[Ticket, Fault, float], tuple[Any, str, int]]


def github_body(ticket: Ticket, _: Fault, now: float) -> tuple[Any, str, int]:
    """An issue was opened."""
    issue = {
        "number": ticket.number,
        "title": ticket.title,
        "body": ticket.text,
        "html_url": f"https://github.com/acme/shop/issues/{ticket.number}",
        "user": {"login": f"customer{ticket.number % 17}"},
        "created_at": iso(now),
    }
    body = {"action": "opened", "issue": issue, "repository": {"full_name": "acme/shop"}}
    return body, "issues", 1


def zendesk_body(ticket: Ticket, _: Fault, now: float) -> tuple[Any, str, int]:
    """A ticket was created."""
    detail = {
        "id": str(ticket.number),
        "subject": ticket.title,
        "description": ticket.text,
        "status": "NEW",
        "requester_id": str(7000 + ticket.number % 23),
    }
    body = {
        "type": "zen:event-type:ticket.created",
        "id": f"01DEMO{ticket.number}",
        "time": iso(now),
        "detail": detail,
        "event": {},
    }
    return body, "zen:event-type:ticket.created", 1


def intercom_body(ticket: Ticket, _: Fault, now: float) -> tuple[Any, str, int]:
    """A customer began a conversation."""
    source = {
        "type": "conversation",
        "subject": ticket.title,
        "body": f"<p>{ticket.text}</p>",
        "author": {"type": "user", "email": f"user{ticket.number % 19}@example.com"},
    }
    body = {
        "type": "notification_event",
        "id": f"notif_demo_{ticket.number}_{secrets.token_hex(4)}",
        "topic": "conversation.user.created",
        "created_at": int(now),
        "data": {"item": {"type": "conversation", "id": str(ticket.number), "source": source}},
    }
    return body, "conversation.user.created", 1


def linear_body(ticket: Ticket, _: Fault, now: float) -> tuple[Any, str, int]:
    """An issue was created."""
    data = {
        "id": f"demo-{ticket.number}",
        "identifier": f"SUP-{ticket.number}",
        "title": ticket.title,
        "description": ticket.text,
        "priority": 2,
    }
    body = {
        "action": "create",
        "type": "Issue",
        "createdAt": iso(now),
        "data": data,
        "url": f"https://linear.app/acme/issue/SUP-{ticket.number}",
        "webhookTimestamp": int(now * 1000),
    }
    return body, "Issue", 1


def headline(fault: Fault) -> str:
    """What the system shows in its lists."""
    return fault.text if fault.text.startswith(fault.title) else f"{fault.title}: {fault.text}"


def sentry_body(_: Ticket, fault: Fault, now: float) -> tuple[Any, str, int]:
    """An issue was created."""
    issue = {
        "id": str(fault.number),
        "shortId": f"SHOP-{fault.number}",
        "title": headline(fault),
        "culprit": "shop.checkout in pay",
        "level": fault.level,
        "project": {"slug": "shop"},
        "web_url": f"https://sentry.example.com/issues/{fault.number}/",
        "metadata": {"type": fault.title, "value": fault.text.removeprefix(f"{fault.title}: ")},
        "firstSeen": iso(now),
    }
    return {"action": "created", "data": {"issue": issue}}, "issue", 1


def pagerduty_body(_: Ticket, fault: Fault, now: float) -> tuple[Any, str, int]:
    """An incident was triggered."""
    data = {
        "id": f"Q{fault.number}",
        "type": "incident",
        "number": fault.number,
        "title": headline(fault),
        "status": "triggered",
        "urgency": "high",
        "html_url": f"https://acme.pagerduty.com/incidents/Q{fault.number}",
        "service": {"summary": "checkout"},
    }
    event = {
        "id": f"01DEMO{fault.number}{secrets.token_hex(4)}",
        "event_type": "incident.triggered",
        "resource_type": "incident",
        "occurred_at": iso(now),
        "data": data,
    }
    return {"event": event}, "incident.triggered", 1


def alerts(fault: Fault, now: float) -> list[dict[str, Any]]:
    """Two alerts of one group, as Alertmanager and Grafana send them."""
    return [
        {
            "status": "firing",
            "labels": {
                "alertname": fault.title,
                "severity": fault.level,
                "instance": f"node-{fault.number}-{part}",
            },
            "annotations": {"summary": fault.title, "description": fault.text},
            "startsAt": iso(now),
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "https://prometheus.example.com/graph",
            "fingerprint": f"{fault.number:012x}{part:04x}",
        }
        for part in range(2)
    ]


def alertmanager_body(_: Ticket, fault: Fault, now: float) -> tuple[Any, str, int]:
    """A group of alerts fires."""
    found = alerts(fault, now)
    body = {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{fault.title}"}}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "hooksift",
        "groupLabels": {"alertname": fault.title},
        "commonLabels": {"severity": fault.level},
        "commonAnnotations": {},
        "externalURL": "https://alertmanager.example.com",
        "alerts": found,
    }
    return body, "firing", len(found)


def grafana_body(ticket: Ticket, fault: Fault, now: float) -> tuple[Any, str, int]:
    """A group of alerts fires."""
    body, _, count = alertmanager_body(ticket, fault, now)
    return {**body, "orgId": 1, "title": f"[FIRING] {fault.title}", "state": "alerting"}, "", count


def stripe_body(ticket: Ticket, _: Fault, now: float) -> tuple[Any, str, int]:
    """A customer disputes a charge."""
    charge = {
        "id": f"ch_{ticket.number}",
        "object": "charge",
        "amount": 4200,
        "currency": "eur",
        "description": f"Order {ticket.number}: {ticket.title}",
        "failure_message": "Your card was declined.",
    }
    body = {
        "id": f"evt_demo_{ticket.number}_{secrets.token_hex(4)}",
        "object": "event",
        "type": "charge.failed",
        "created": int(now),
        "data": {"object": charge},
    }
    return body, "charge.failed", 1


def standard_body(ticket: Ticket, _: Fault, now: float) -> tuple[Any, str, int]:
    """Our own application reports a ticket."""
    data = {"id": f"T-{ticket.number}", "subject": ticket.title, "description": ticket.text}
    return {"type": "ticket.created", "timestamp": iso(now), "data": data}, "ticket.created", 1


BODIES: dict[str, MakeBody] = {
    "github": github_body,
    "zendesk": zendesk_body,
    "intercom": intercom_body,
    "linear": linear_body,
    "sentry": sentry_body,
    "pagerduty": pagerduty_body,
    "alertmanager": alertmanager_body,
    "grafana": grafana_body,
    "stripe": stripe_body,
    "standard_webhooks": standard_body,
}
