"""Makes by a client library the calls that an adapter of ours makes.

Run in a process of its own, with the libraries on its path: PROVIDER URL TICKET TOKEN, where the
URL is a fake's. The first two libraries are the providers' own.
"""

import sys
from collections.abc import Callable
from typing import Any

ADD, REMOVE = "hooksift:a", "hooksift:b"


def intercom(url: str, ticket: str, token: str) -> None:
    from intercom import Intercom
    from intercom.types import CreateOrUpdateTagRequest

    client = Intercom(token=token, base_url=url)
    client.conversations.find(ticket)
    tag = client.tags.create(request=CreateOrUpdateTagRequest(name=ADD))
    client.tags.tag_conversation(ticket, tag_id=tag.id, admin_id="991267618")
    client.tags.untag_conversation(ticket, tag.id, admin_id="991267618")


def pagerduty(url: str, ticket: str, token: str) -> None:
    from pagerduty import RestApiV2Client

    client = RestApiV2Client(token, default_from="bot@acme.example")
    client._url = url  # the setter takes https only
    client.rget(f"/incidents/{ticket}/notes")
    client.rpost(f"/incidents/{ticket}/notes", json={"content": "Charged twice."})


def gitlab(url: str, ticket: str, token: str) -> None:
    from gitlab import Gitlab

    issues = Gitlab(url, private_token=token).projects.get("acme/app", lazy=True).issues
    issues.get(int(ticket))
    issues.update(int(ticket), {"add_labels": ADD})
    issues.update(int(ticket), {"add_labels": ADD, "remove_labels": REMOVE})
    issues.update(int(ticket), {"remove_labels": REMOVE})


def zendesk(url: str, ticket: str, token: str) -> None:
    from requests import Session
    from zenpy import Zenpy

    class Redirected(Session):
        """The library takes a subdomain, and no other address."""

        def request(self, method: Any, asked: Any, *rest: Any, **more: Any) -> Any:
            there = str(asked).replace("https://acme.zendesk.com", url)
            return super().request(method, there, *rest, **more)

    user = "bot@acme.example"
    session = Redirected()
    session.auth = (f"{user}/token", token)
    tickets = Zenpy(subdomain="acme", email=user, token=token, session=session).tickets
    tickets(id=int(ticket))
    tickets.add_tags(int(ticket), [ADD])
    tickets.delete_tags(int(ticket), [REMOVE])


def freshdesk(url: str, ticket: str, token: str) -> None:
    from freshdesk.api import API

    client = API("acme.freshdesk.com", token)
    client._api_prefix = f"{url}/api/v2/"  # the constructor takes a Freshdesk domain only
    client.tickets.get_ticket(int(ticket))
    client.tickets.update_ticket(int(ticket), tags=["vip", ADD])


LIBRARIES: dict[str, tuple[str, Callable[[str, str, str], None]]] = {
    "intercom": ("python-intercom", intercom),
    "pagerduty": ("pagerduty", pagerduty),
    "gitlab": ("python-gitlab", gitlab),
    "zendesk": ("zenpy", zendesk),
    "freshdesk": ("python-freshdesk", freshdesk),
}

if __name__ == "__main__":
    LIBRARIES[sys.argv[1]][1](*sys.argv[2:])
