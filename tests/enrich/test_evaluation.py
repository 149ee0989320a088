"""Enrichers measured against labelled texts."""

import asyncio
import io
import random
from collections import deque
from pathlib import Path

import pytest
from rich.console import Console, RenderableType
from work import Scripted, no_sleep, verdict

from enrich.chain import Chain, Link, OpenGate
from enrich.enricher import Enricher
from enrich.errors import UnprocessableError
from enrich.evaluation import (
    LabelledText,
    Result,
    evaluate,
    index_of,
    read_labelled,
    split,
    taxonomy_for,
)
from enrich.measures import (
    Judged,
    accuracy,
    calibration,
    calibration_error,
    class_scores,
    confusion,
    macro_f1,
    percentile,
)
from enrich.reports import matrix, side_by_side
from enrich.retry import RetryPolicy
from enrich.stub import StubEnricher
from enrich.taxonomy import built_in_taxonomy
from service.errors import SettingsError

JUDGED = [
    Judged("a", "a", 0.9),
    Judged("a", "a", 0.8),
    Judged("a", "b", 0.6),
    Judged("b", "b", 0.55),
]


def test_accuracy_is_the_share_that_is_right() -> None:
    assert accuracy(JUDGED) == 0.75


def test_precision_recall_and_f1_are_those_of_the_books() -> None:
    first = class_scores(JUDGED)[0]
    assert (first.precision, first.recall, first.f1) == (1.0, 2 / 3, 0.8)


def test_macro_f1_is_the_mean_of_the_classes() -> None:
    assert macro_f1(JUDGED) == pytest.approx((0.8 + 2 / 3) / 2)


def test_confusion_counts_pairs() -> None:
    assert confusion(JUDGED) == {("a", "a"): 2, ("a", "b"): 1, ("b", "b"): 1}


def test_calibration_compares_confidence_with_accuracy() -> None:
    found = calibration(JUDGED)
    assert [(b.low, b.text_count, b.accuracy) for b in found] == [
        (0.5, 1, 1.0),
        (0.6, 1, 0.0),
        (0.8, 1, 1.0),
        (0.9, 1, 1.0),
    ]


def test_the_calibration_error_is_the_mean_distance() -> None:
    assert calibration_error(JUDGED) == pytest.approx((0.45 + 0.6 + 0.2 + 0.1) / 4)


def test_of_nothing_every_measure_is_zero() -> None:
    measures = (accuracy([]), macro_f1([]), calibration_error([]), percentile([], 0.5))
    assert measures == (0.0, 0.0, 0.0, 0.0)


def test_csv_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('text,category\n"Hi, there",a\n')
    assert read_labelled(tmp_path / "x.csv") == [LabelledText("", "Hi, there", "a")]


def test_json_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"message": "Hi", "label": "a", "title": "T"}\n')
    assert read_labelled(tmp_path / "x.jsonl") == [LabelledText("T", "Hi", "a")]


@pytest.mark.parametrize("content", ["nonsense\n1\n", "text,category\nx,\n"])
def test_a_file_without_texts_and_labels_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(SettingsError, match="row 1 needs a text"):
        read_labelled(tmp_path / "x.csv")


def test_labels_outside_the_taxonomy_are_refused() -> None:
    with pytest.raises(SettingsError, match="labels zoo are not of taxonomy support"):
        taxonomy_for([LabelledText("", "x", "zoo")], built_in_taxonomy("support"), "f")


def test_what_is_learned_is_never_judged() -> None:
    texts = [LabelledText("", str(i), "a") for i in range(100)]
    learn, test = split(texts, 50, 50, seed=3)
    assert not set(learn) & set(test)


RETRY = RetryPolicy(call_tries=1)
TEXTS = [LabelledText("", "a frobnicator wobbles", "gadgets"), LabelledText("", "I paid", "money")]


def judged(enricher: Enricher) -> list[str]:
    chain = Chain((Link(enricher, OpenGate()),), RETRY, no_sleep, random.random)
    taxonomy = taxonomy_for(TEXTS, None, "f")
    result = asyncio.run(evaluate("x", chain, taxonomy, TEXTS, concurrency=1))
    return [j.given for j in result.judged]


def test_every_text_is_judged() -> None:
    model = Scripted(deque([verdict(category="gadgets"), verdict(category="money")]))
    assert judged(model) == ["gadgets", "money"]


def test_a_text_that_fails_is_wrong_with_its_reason() -> None:
    model = Scripted(deque([UnprocessableError("refused", "no"), verdict(category="money")]))
    assert judged(model) == ["(refused)", "money"]


def test_examples_help_the_rules() -> None:
    index = index_of([LabelledText("", "the frobnicator wobbles again", "gadgets")])
    assert judged(StubEnricher(index))[0] == "gadgets"


def shown(table: RenderableType) -> str:
    """As a terminal of 80 columns shows it."""
    out = io.StringIO()
    Console(width=80, file=out).print(table)
    return out.getvalue()


def test_three_enrichers_fit_a_terminal_side_by_side() -> None:
    names = ["stub, 3000 examples", "gpt-4.1-mini", "o4-mini, 12 examples"]
    assert "…" not in shown(side_by_side([Result(name, JUDGED, [1.0]) for name in names]))


def test_a_matrix_of_fourteen_names_fits_a_terminal() -> None:
    names = [f"a_rather_long_name_{number}" for number in range(14)]
    assert "…" not in shown(matrix({(names[0], names[13]): 12}, names))
