"""What we send, and what the fake server answers, against OpenAI's published description."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any
from urllib.request import Request, urlopen

import pytest
from servers.openai_description import ERROR, REQUEST, RESPONSE, deprecated, problems
from servers.openai_server import (
    FakeOpenAI,
    Reply,
    answer_of,
    cut_off,
    error_reply,
    filtered,
    rate_limited,
    refused,
    says,
    serve_openai,
    server_error,
    usage_of,
)

from enrich.enricher import EventText, Example
from enrich.errors import EnrichError
from enrich.openai_enricher import OpenAIEnricher, make_client
from enrich.outgoing import Outgoing
from enrich.settings import ModelSettings
from enrich.taxonomy import Taxonomy, built_in_taxonomy, taxonomy_from

SUPPORT = built_in_taxonomy("support")
TAGLESS = taxonomy_from(
    "own", {"categories": [{"name": "parking", "description": "of cars"}], "tags": []}, SUPPORT
)
EVENT = EventText(7, "tickets", "ticket", "Invoice", "Call me: +1 415 555 2671, bob@example.com")
OFFICIAL = "https://api.openai.com/v1"
MODELS: dict[str, dict[str, Any]] = {
    "model": {"model": "gpt-4.1-mini"},
    "model at its default temperature": {"model": "gpt-4.1-mini", "temperature": None},
    "reasoning model": {"model": "o4-mini"},
    "reasoning model of low effort": {"model": "gpt-5.4-mini", "reasoning_effort": "low"},
}
WRONG = says(answer_of({}, category="invoices!"))


class TwoExamples:
    """Finds the same labelled texts for every event."""

    def nearest(self, event: EventText, limit: int) -> list[Example]:
        return [Example("Refund me", "billing", "low"), Example("It broke", "bug", None)][:limit]


@pytest.fixture(scope="module")
def one_server() -> Iterator[FakeOpenAI]:
    with serve_openai() as fake:
        yield fake


@pytest.fixture
def server(one_server: FakeOpenAI) -> FakeOpenAI:
    """The module's server, as new."""
    one_server.reset()
    return one_server


def requests_of(
    server: FakeOpenAI,
    base_url: str,
    taxonomy: Taxonomy = SUPPORT,
    script: tuple[Reply, ...] = (),
    **settings: Any,
) -> list[dict[str, Any]]:
    """What an enricher configured for `base_url` sends about one event."""

    async def run() -> None:
        configured = ModelSettings(base_url=base_url, **settings)
        client = make_client(configured.model_copy(update={"base_url": server.url}), "key")
        enricher = OpenAIEnricher("main", configured, client, Outgoing(TwoExamples()))
        expected = suppress(EnrichError) if script else nullcontext()
        with expected:
            await enricher.enrich(EVENT, taxonomy)
        await enricher.close()

    server.script.extend(script)
    asyncio.run(run())
    return server.requests


@pytest.mark.parametrize("base_url", [OFFICIAL, "https://models.example/v1"])
@pytest.mark.parametrize("structured", ["schema", "json", "plain"])
@pytest.mark.parametrize("model", MODELS)
def test_requests_are_as_described(
    server: FakeOpenAI, model: str, structured: str, base_url: str
) -> None:
    sent = requests_of(
        server, base_url, script=(WRONG, WRONG), structured=structured, **MODELS[model]
    )
    assert [problems(REQUEST, request) for request in sent] == [[], []]


def test_a_taxonomy_without_tags_is_asked_about_as_described(server: FakeOpenAI) -> None:
    sent = requests_of(server, OFFICIAL, TAGLESS, model="gpt-4.1-mini")
    assert [problems(REQUEST, request) for request in sent] == [[]]


@pytest.mark.parametrize("model", MODELS)
def test_nothing_deprecated_is_sent_to_openai(server: FakeOpenAI, model: str) -> None:
    (sent,) = requests_of(server, OFFICIAL, **MODELS[model])
    assert deprecated(REQUEST, sent) == set()


@pytest.mark.parametrize(("model", "role"), [("gpt-4.1-mini", "system"), ("o4-mini", "developer")])
def test_openai_gets_instructions_in_the_role_that_it_describes(
    server: FakeOpenAI, model: str, role: str
) -> None:
    (sent,) = requests_of(server, OFFICIAL, model=model)
    assert sent["messages"][0]["role"] == role


def test_other_servers_get_instructions_in_the_role_that_all_know(server: FakeOpenAI) -> None:
    (sent,) = requests_of(server, "https://models.example/v1", model="o4-mini")
    assert sent["messages"][0]["role"] == "system"


ANSWERS = {
    "answer": says("fine"),
    "usage": Reply(content="fine", usage=usage_of(100, 10, cached_tokens=60)),
    "cut off": cut_off(),
    "refused": refused(),
    "filtered": filtered(),
}
ERRORS = {
    "rate limit": rate_limited(retry_after="2"),
    "quota": error_reply(429, "You exceeded your quota", "insufficient_quota"),
    "key": error_reply(401, "bad key", "invalid_api_key"),
    "server": server_error(),
}


@pytest.mark.parametrize("reply", ANSWERS)
def test_the_fake_answers_as_described(server: FakeOpenAI, reply: str) -> None:
    assert problems(RESPONSE, said_by(server, ANSWERS[reply])) == []


@pytest.mark.parametrize("reply", ERRORS)
def test_the_fake_fails_as_described(server: FakeOpenAI, reply: str) -> None:
    assert problems(ERROR, said_by(server, ERRORS[reply])) == []


@pytest.mark.parametrize("broken", [{"messages": []}, {"messages": "hi"}, {"effort": "low"}])
def test_the_description_refuses_what_is_wrong(broken: dict[str, Any]) -> None:
    asked = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
    assert problems(REQUEST, asked | broken)


def said_by(server: FakeOpenAI, reply: Reply) -> dict[str, Any]:
    """The body that a client reads."""
    server.script.append(reply)
    asked = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
    request = Request(f"{server.url}/chat/completions", json.dumps(asked).encode())
    request.add_header("content-type", "application/json")
    try:
        with urlopen(request, timeout=10) as response:
            return dict(json.load(response))
    except OSError as error:
        return dict(json.load(error))  # type: ignore[arg-type]  # an HTTPError is a file
