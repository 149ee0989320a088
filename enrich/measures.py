"""How good answers are, against what people say: precision, recall, F1, confusion, calibration.

Pure: lists of names in, figures out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Judged(NamedTuple):
    """One labelled text and what was answered."""

    wanted: str
    given: str
    confidence: float


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One category's figures. `count` is how many texts people put there."""

    name: str
    precision: float
    recall: float
    f1: float
    count: int


class Bin(NamedTuple):
    """Answers whose confidence is in a range: how confident, and how often right."""

    low: float
    high: float
    text_count: int
    mean_confidence: float
    accuracy: float


def accuracy(judged: Sequence[Judged]) -> float:
    """The share that is right; 0 for none."""
    return sum(j.wanted == j.given for j in judged) / len(judged) if judged else 0.0


def class_scores(judged: Sequence[Judged]) -> list[ClassScore]:
    """Each category that was wanted or given, by name."""
    right = Counter(j.wanted for j in judged if j.wanted == j.given)
    wanted = Counter(j.wanted for j in judged)
    given = Counter(j.given for j in judged)
    scores = []
    for name in sorted(wanted | given):
        precision = right[name] / given[name] if given[name] else 0.0
        recall = right[name] / wanted[name] if wanted[name] else 0.0
        both = precision + recall
        f1 = 2 * precision * recall / both if both else 0.0
        scores.append(ClassScore(name, precision, recall, f1, wanted[name]))
    return scores


def macro_f1(judged: Sequence[Judged]) -> float:
    """The mean F1 of the categories that people used."""
    scores = [score.f1 for score in class_scores(judged) if score.count]
    return sum(scores) / len(scores) if scores else 0.0


def confusion(judged: Sequence[Judged]) -> dict[tuple[str, str], int]:
    """How often each wanted category was given as each: (wanted, given) -> count."""
    return dict(Counter((j.wanted, j.given) for j in judged))


def calibration(judged: Sequence[Judged], bins: int = 10) -> list[Bin]:
    """Confidence against accuracy, in equal ranges; empty ranges are left out."""
    found = []
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [j for j in judged if low <= j.confidence < high or (high == 1 == j.confidence)]
        if inside:
            mean = sum(j.confidence for j in inside) / len(inside)
            found.append(Bin(low, high, len(inside), mean, accuracy(inside)))
    return found


def calibration_error(judged: Sequence[Judged]) -> float:
    """Expected calibration error: the mean distance of confidence from accuracy, by count."""
    if not judged:
        return 0.0
    return sum(
        b.text_count * abs(b.mean_confidence - b.accuracy) for b in calibration(judged)
    ) / len(judged)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; 0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
