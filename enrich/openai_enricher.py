"""An enricher that asks a model through any OpenAI-compatible chat completions server.

One `enrich` is one attempt: one call, and at most one more where the answer must be asked for
again, or where the server turns out not to know structured output. The client's own retries are
off; `enrich.retry` owns them.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from openai import AsyncOpenAI

from enrich.enricher import Answer, EventText, Verdict
from enrich.errors import (
    EnrichError,
    MisconfiguredError,
    Spent,
    TransientError,
    UnprocessableError,
)
from enrich.injection import looks_injected
from enrich.openai_errors import MEANINGS, translate
from enrich.outgoing import Outgoing
from enrich.prompt import Prompt, build_prompt, version_of
from enrich.sanitise import clean_verdict
from enrich.settings import ModelSettings
from enrich.stub import require_text
from enrich.taxonomy import Taxonomy

Mode = Literal["schema", "json", "plain"]
MODES: tuple[Mode, ...] = get_args(Mode)
REASONING_NAMES = ("o1", "o3", "o4", "gpt-5", "gpt-6", "deepseek-reasoner", "qwq")
REASONING_FACTOR = 8  # reasoning tokens count as output: room to think before the answer
CHARACTERS_PER_TOKEN = 4  # where a server reports no usage
MOST_TOKENS = 100_000_000  # of one call; who reports more is not believed
PLAIN_REMINDER = "\nAnswer with the JSON object only: no code fence, no other word."


@dataclass(frozen=True, slots=True)
class Reply:
    """What one call brought back."""

    content: str
    finish_reason: str
    refusal: str | None
    spent: Spent


class OpenAIEnricher:
    """Asks one model. Keeps no state but which form of structured output the server knows."""

    def __init__(
        self,
        provider: str,
        settings: ModelSettings,
        client: AsyncOpenAI,
        outgoing: Outgoing | None = None,
        *,
        wall_time: Callable[[], float] = time.time,
    ) -> None:
        self.provider = provider
        self.model = settings.model
        self._settings = settings
        self._client = client
        self._outgoing = outgoing or Outgoing()
        self._wall_time = wall_time
        self._mode: Mode = "schema" if settings.structured == "auto" else settings.structured
        self._prompts: dict[str, Prompt] = {}

    def prompt_version(self, taxonomy: Taxonomy) -> str:
        """Changes with the instructions and with the parameters that shape an answer."""
        return version_of(self._prompt(taxonomy), self._settings, self._outgoing.example_count)

    async def enrich(self, event: EventText, taxonomy: Taxonomy) -> Answer:
        """Ask about one event. Raises errors of `enrich.errors` with what the calls cost."""
        require_text(event)
        prompt = self._prompt(taxonomy)
        message, redacted_count = self._outgoing.message(event)
        started = time.perf_counter()
        messages = [
            {"role": instructing_role(self._settings), "content": prompt.system},
            {"role": "user", "content": message},
        ]
        reply = await self._ask(messages, prompt, Spent())
        found = read_verdict(reply.content, taxonomy)
        spent = reply.spent
        if isinstance(found, str):
            reply = await self._ask_again(messages, prompt, reply, found)
            spent = reply.spent
            found = read_verdict(reply.content, taxonomy)
        if isinstance(found, str):
            raise TransientError(
                "malformed_answer", f"the model answered twice wrongly: {found}", spent=spent
            )
        if looks_injected(event.title, event.text):
            found = replace(found, suspicious=True)
        return Answer(
            found,
            self.provider,
            self.model,
            self.prompt_version(taxonomy),
            spent,
            (time.perf_counter() - started) * 1e3,
            redacted_count,
        )

    async def close(self) -> None:
        """Close the client's connections."""
        await self._client.close()

    def _prompt(self, taxonomy: Taxonomy) -> Prompt:
        key = f"{taxonomy.name}\0{taxonomy.version}"
        found = self._prompts.get(key)
        if found is None:
            found = self._prompts[key] = build_prompt(taxonomy)
        return found

    async def _ask(self, messages: list[dict[str, str]], prompt: Prompt, before: Spent) -> Reply:
        """One call; where the server refuses the form of structured output, the next form."""
        while True:
            mode = self._mode
            try:
                return await self._call(messages, prompt, mode, before)
            except MisconfiguredError as error:
                if error.kind != "bad_request" or self._settings.structured != "auto":
                    raise
                if mode == MODES[-1]:
                    self._mode = "schema"  # it was not the form: start over with the next event
                    raise
                before = error.spent
                if self._mode == mode:  # another call may have moved on meanwhile
                    self._mode = MODES[MODES.index(mode) + 1]

    async def _ask_again(
        self, messages: list[dict[str, str]], prompt: Prompt, reply: Reply, wrong: str
    ) -> Reply:
        """Show the model its answer and what is wrong with it, once."""
        again = [
            *messages,
            {"role": "assistant", "content": reply.content[:2000]},
            {"role": "user", "content": f"That is not valid: {wrong}. {PLAIN_REMINDER.strip()}"},
        ]
        return await self._ask(again, prompt, reply.spent)

    async def _call(
        self, messages: list[dict[str, str]], prompt: Prompt, mode: Mode, before: Spent
    ) -> Reply:
        create: Any = self._client.chat.completions.with_raw_response.create
        failed = before + Spent(call_count=1)
        try:
            raw = await create(**self._request(messages, prompt, mode))
            data = json.loads(raw.content)
        except tuple(MEANINGS) as error:
            request_id = getattr(error, "request_id", None)
            spent = replace(failed, request_id=request_id or failed.request_id)
            raise translate(error, spent=spent, now=self._wall_time()) from error
        except (ValueError, RecursionError) as error:
            raise TransientError(
                "malformed_response", "the server's response is not JSON", spent=failed
            ) from error
        request_id = raw.headers.get("x-request-id")
        return self._read(data, messages, before, request_id)

    def _request(
        self, messages: list[dict[str, str]], prompt: Prompt, mode: Mode
    ) -> dict[str, Any]:
        settings = self._settings
        request: dict[str, Any] = {"model": self.model, "messages": messages}
        limit = settings.max_output_tokens
        if is_reasoning(settings):
            request["max_completion_tokens"] = limit * REASONING_FACTOR
            if settings.reasoning_effort is not None:
                request["reasoning_effort"] = settings.reasoning_effort
        else:
            # Servers other than OpenAI's mostly know only the older name.
            request["max_completion_tokens" if is_official(settings) else "max_tokens"] = limit
            if settings.temperature is not None:
                request["temperature"] = settings.temperature
        if mode == "schema":
            schema = {"name": "enrichment", "strict": True, "schema": prompt.schema}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif mode == "json":
            request["response_format"] = {"type": "json_object"}
        if mode != "schema":
            instructions = messages[0] | {"content": messages[0]["content"] + PLAIN_REMINDER}
            request["messages"] = [instructions, *messages[1:]]
        return request

    def _read(
        self, data: Any, messages: list[dict[str, str]], before: Spent, request_id: str | None
    ) -> Reply:
        """The reply in a response, read tolerantly: compatible servers leave fields out."""
        choice = _first(_get(data, "choices"))
        message = _get(choice, "message")
        content = _get(message, "content")
        content = content if isinstance(content, str) else ""
        usage = self._usage(_get(data, "usage"), messages, content)
        spent = before + replace(usage, request_id=request_id or _text(_get(data, "id")))
        finish = _text(_get(choice, "finish_reason")) or ""
        refusal = _text(_get(message, "refusal"))
        if choice is None:
            raise TransientError("malformed_response", "the response holds no choice", spent=spent)
        _raise_if_unfinished(finish, refusal, spent)
        return Reply(content, finish, refusal, spent)

    def _usage(self, usage: Any, messages: list[dict[str, str]], content: str) -> Spent:
        """Tokens and their price; estimated at four characters a token where none are reported."""
        settings = self._settings
        shown = sum(len(message["content"]) for message in messages)
        input_tokens = _count(_get(usage, "prompt_tokens"), shown // CHARACTERS_PER_TOKEN)
        output_tokens = _count(_get(usage, "completion_tokens"), len(content) // 4)
        cached = _count(_get(_get(usage, "prompt_tokens_details"), "cached_tokens"), 0)
        cached = min(cached, input_tokens)
        cached_price = settings.cached_usd_per_million
        if cached_price is None:
            cached_price = settings.input_usd_per_million
        cost = (
            (input_tokens - cached) * settings.input_usd_per_million
            + cached * cached_price
            + output_tokens * settings.output_usd_per_million
        ) / 1e6
        return Spent(1, input_tokens, output_tokens, cost)


def make_client(settings: ModelSettings, api_key: str) -> AsyncOpenAI:
    """A client that tries once and gives up in time."""
    return AsyncOpenAI(
        api_key=api_key or "none",
        base_url=settings.base_url,
        max_retries=0,
        timeout=settings.timeout_seconds,
    )


def is_reasoning(settings: ModelSettings) -> bool:
    """Whether the model thinks before it answers: as set, else by its name."""
    if settings.reasoning is not None:
        return settings.reasoning
    name = settings.model.rsplit("/", 1)[-1].lower()
    return name.startswith(REASONING_NAMES)


def is_official(settings: ModelSettings) -> bool:
    """Whether the server is OpenAI's own."""
    return urlsplit(settings.base_url).hostname == "api.openai.com"


def instructing_role(settings: ModelSettings) -> str:
    """Whose word the instructions are: OpenAI wants `developer` for reasoning models."""
    return "developer" if is_reasoning(settings) and is_official(settings) else "system"


def read_verdict(content: str, taxonomy: Taxonomy) -> Verdict | str:
    """The verdict in a model's text, or what is wrong with it. Code fences and chatter are cut."""
    start, end = content.find("{"), content.rfind("}")
    if start < 0 or end < start:
        return "the answer holds no JSON object"
    try:
        data = json.loads(content[start : end + 1])
    except (ValueError, RecursionError):
        return "the answer is not valid JSON"
    if not isinstance(data, dict):
        return "the answer is not a JSON object"
    return clean_verdict(data, taxonomy)


def _raise_if_unfinished(finish: str, refusal: str | None, spent: Spent) -> None:
    problem: EnrichError | None = None
    if refusal:
        problem = UnprocessableError("refused", "the model refused to answer", spent=spent)
    elif finish == "content_filter":
        problem = UnprocessableError(
            "content_filtered", "the provider's filter stopped the answer", spent=spent
        )
    elif finish == "length":
        problem = TransientError(
            "cut_off",
            "the answer was cut off at the token limit; raise max_output_tokens",
            spent=spent,
        )
    if problem is not None:
        raise problem


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else None


def _text(value: Any) -> str | None:
    return value[:200] if isinstance(value, str) and value else None


def _count(value: Any, otherwise: int) -> int:
    fine = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS
    return value if fine else otherwise
