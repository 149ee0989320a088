"""`hooksift eval`: enrichers against labelled examples, side by side."""

import asyncio
import csv
import json
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from enrich.chain import Chain
from enrich.enricher import EventText
from enrich.examples import ExampleIndex, Labelled
from enrich.measures import Judged
from enrich.taxonomy import Taxonomy, taxonomy_of_labels
from service.errors import SettingsError

TEXT_KEYS = ("text", "message", "body", "description")
LABEL_KEYS = ("category", "label", "intent", "class")


class LabelledText(NamedTuple):
    """One line of an evaluation file."""

    title: str
    text: str
    category: str


@dataclass
class Result:
    """What one enricher did with the test texts."""

    name: str
    judged: list[Judged] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    call_count: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    cost_usd: float = 0.0


def read_labelled(path: Path) -> list[LabelledText]:
    """The labelled texts of a CSV (with a heading) or a JSON lines file."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows: Iterable[dict[str, object]] = (
                (json.loads(line) for line in file if line.strip())
                if path.suffix in (".jsonl", ".ndjson", ".json")
                else csv.DictReader(file)
            )
            return [_labelled(row, number) for number, row in enumerate(rows, 1)]
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from error


def _labelled(row: object, number: int) -> LabelledText:
    if isinstance(row, dict):
        words = next((row[k] for k in TEXT_KEYS if isinstance(row.get(k), str)), None)
        label = next((row[k] for k in LABEL_KEYS if isinstance(row.get(k), str)), None)
        if words is not None and label:
            return LabelledText(str(row.get("title") or ""), words, label)
    raise SettingsError(
        f"row {number} needs a text ({', '.join(TEXT_KEYS)}) and a label ({', '.join(LABEL_KEYS)})"
    )


def taxonomy_for(labelled: Sequence[LabelledText], given: Taxonomy | None, name: str) -> Taxonomy:
    """The given taxonomy if it knows every label, else one made of the file's labels."""
    labels = {item.category for item in labelled}
    if given is None:
        return taxonomy_of_labels(name, labels)
    unknown = sorted(labels - set(given.category_names))
    if unknown:
        raise SettingsError(
            f"labels {', '.join(unknown[:5])} are not of taxonomy {given.name};"
            " leave --taxonomy out to use the file's own labels"
        )
    return given


def split(
    labelled: Sequence[LabelledText], example_count: int, test_count: int, seed: int
) -> tuple[list[LabelledText], list[LabelledText]]:
    """So many as labelled examples, so many to be judged, never the same; by chance, repeatably."""
    mixed = list(labelled)
    random.Random(seed).shuffle(mixed)  # noqa: S311 - a fair split, not a secret
    test = mixed[:test_count]
    return mixed[test_count : test_count + example_count], test


def index_of(examples: Sequence[LabelledText]) -> ExampleIndex:
    """The examples, findable."""
    return ExampleIndex(
        (Labelled("eval", f"{e.title} {e.text}".strip(), e.category) for e in examples),
        lambda _source: "eval",
    )


async def evaluate(
    name: str,
    chain: Chain,
    taxonomy: Taxonomy,
    test: Sequence[LabelledText],
    concurrency: int = 16,
) -> Result:
    """Ask about every test text. A text that fails counts as wrong, with its reason."""
    result = Result(name)
    room = asyncio.Semaphore(concurrency)

    async def judge(number: int, item: LabelledText) -> None:
        event = EventText(number, "eval", "eval", item.title, item.text)
        async with room:
            started = time.perf_counter()
            asked = await chain.ask(event, taxonomy)
            result.latencies_ms.append((time.perf_counter() - started) * 1e3)
        for tried in asked.tried:
            result.cost_usd += tried.spent.cost_usd
            result.call_count += tried.spent.call_count
        if asked.answer is None:
            kind = asked.tried[-1].kind if asked.tried else "failed"
            result.failed[kind] = result.failed.get(kind, 0) + 1
            result.judged.append(Judged(item.category, f"({kind})", 0.0))
            return
        verdict = asked.answer.verdict
        result.cost_usd += asked.answer.spent.cost_usd
        result.call_count += asked.answer.spent.call_count
        result.judged.append(Judged(item.category, verdict.category, verdict.confidence))

    await asyncio.gather(*(judge(number, item) for number, item in enumerate(test, 1)))
    return result
