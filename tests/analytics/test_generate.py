"""Made-up histories: the same for a seed, and as bulky as real ones."""

import json
import random
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from analytics.generate import generate
from analytics.generated_plan import plan
from analytics.history import History, connect
from analytics.place import Place
from enrich.taxonomy import built_in_taxonomy
from service.preset import preset_names

SHARED = Path(__file__).parents[2].parent / "shared" / "payloads"
# Bytes over zstd-3 bytes of real deliveries of the same providers in the same proportion
# (91 recorded payloads): each body alone, and all in one block.
REAL_ALONE, REAL_TOGETHER = 4.96, 15.30
REAL_COUNTS = {
    "alertmanager": 8, "github": 30, "grafana": 3, "intercom": 2, "jira": 19, "linear": 3,
    "pagerduty": 3, "sentry": 4, "stripe": 17, "zendesk": 2,
}  # fmt: skip


def ratios(bodies: list[bytes]) -> tuple[float, float]:
    """How much smaller zstd makes the bodies: each alone, and all in one block."""
    codec = pa.Codec("zstd", compression_level=3)
    random.Random(1).shuffle(bodies)
    size = sum(map(len, bodies))
    alone = sum(len(codec.compress(body, asbytes=True)) for body in bodies)
    return size / alone, size / len(codec.compress(b"\n".join(bodies), asbytes=True))


def made_bodies(made: History, counts: dict[str, int]) -> list[bytes]:
    found = []
    for preset, count in counts.items():
        rows = made.sql(
            f"SELECT body FROM events WHERE preset = '{preset}' ORDER BY hash(id) LIMIT {count}"
        )
        found += [body.encode() for body in rows["body"]]
    return found


def test_bodies_compress_like_real_ones(made: History) -> None:
    alone, together = ratios(made_bodies(made, REAL_COUNTS))
    assert (alone, together) == (
        pytest.approx(REAL_ALONE, rel=0.2),
        pytest.approx(REAL_TOGETHER, rel=0.2),
    )


def test_the_figures_for_real_bodies_are_those_of_the_recorded_payloads() -> None:
    if not SHARED.is_dir():
        return
    real = defaultdict(list)
    for file in sorted(SHARED.glob("*__*.json")):
        body = json.dumps(json.loads(file.read_text()), separators=(",", ":"), ensure_ascii=False)
        real[file.name.split("__")[0]].append(body.encode())
    alone, together = ratios([body for name in REAL_COUNTS for body in real[name]])
    assert (alone, together) == (
        pytest.approx(REAL_ALONE, rel=0.02),
        pytest.approx(REAL_TOGETHER, rel=0.02),
    )


def test_every_body_is_json(made: History) -> None:
    bodies = made.sql("SELECT body FROM events ORDER BY hash(id) LIMIT 2000")["body"]
    assert all(isinstance(json.loads(body), dict) for body in bodies)


@pytest.mark.parametrize(
    "table",
    ["events", "attempts", "enrichments", "actions", "labels", "redeliveries", "refusals"],
)
def test_ids_are_unique(table: str, made: History) -> None:
    counts = made.sql(f"SELECT count(*) AS n, count(DISTINCT id) AS d FROM {table}").row(0)
    assert counts[0] == counts[1] > 0


def test_categories_are_those_of_the_built_in_taxonomies(made: History) -> None:
    for kind, name in {"%-errors": "errors", "support": "support", "orders": "support"}.items():
        said = made.sql(f"SELECT DISTINCT category FROM enrichments WHERE source LIKE '{kind}'")
        assert set(said["category"]) == set(built_in_taxonomy(name).category_names)


def test_presets_are_those_that_there_are(made: History) -> None:
    assert set(made.sql("SELECT DISTINCT preset FROM events")["preset"]) <= set(preset_names())


def test_an_event_s_id_holds_its_arrival(made: History) -> None:
    off = made.sql(
        "SELECT count(*) FILTER (epoch_ms(received_at) <> (id >> 22) + 1704067200000) FROM events"
    )
    assert off.item() == 0


def test_about_as_many_events_are_planned_as_are_wanted() -> None:
    counts = plan(50_000, 20, datetime(2026, 1, 1, tzinfo=UTC), 1).minutes["count"]
    assert counts.sum() == pytest.approx(50_000, rel=0.03)


def test_more_is_planned_about_midday_than_at_night() -> None:
    minutes = plan(50_000, 20, datetime(2026, 1, 1, tzinfo=UTC), 1).minutes
    hour = pl.col("ms") // 3_600_000 % 24
    noon, night = (minutes.filter(hour == at, theme=-1)["count"].sum() for at in (13, 2))
    assert noon > 2 * night


def test_the_same_seed_makes_the_same_history(tmp_path: Path) -> None:
    shown = []
    for name in ("a", "b"):
        place = Place(str(tmp_path / name / "catalog.sqlite"), str(tmp_path / name / "files"))
        generate(place, 500, days=1, until=datetime(2026, 1, 1, tzinfo=UTC), seed=3)
        with connect(place) as history:
            shown.append(history.sql("SELECT * EXCLUDE (landed_at) FROM events ORDER BY id"))
    assert shown[0].equals(shown[1])
