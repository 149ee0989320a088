"""What deploy/ holds fits the program: metrics that exist, rules that fire, services that start."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import hooksift
from service.metrics import Metrics, QueueCollector
from service.store import open_store

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="module")
def metric_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every metric that /metrics can show, with the suffixes of histograms."""
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('deploy') / 'store.sqlite'}")
    metrics = Metrics()
    metrics.registry.register(QueueCollector(store))
    names = set()
    for family in metrics.registry.collect():
        ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        names.update(family.name + end for end in ends.get(family.type, [""]))
    store.close()
    return names


def named(file: str) -> set[str]:
    """The metrics that a file names."""
    return set(re.findall(r"\bhooksift_[a-z_]+", (DEPLOY / file).read_text()))


def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yml").read_text())
    return read


@pytest.mark.parametrize(
    "file", ["prometheus-rules.yml", "prometheus-rules-test.yml", "grafana-dashboard.json"]
)
def test_every_metric_that_it_names_exists(file: str, metric_names: set[str]) -> None:
    assert named(file)
    assert named(file) - metric_names == set()


def test_every_metric_has_a_panel(metric_names: set[str]) -> None:
    shown = {re.sub(r"_bucket$", "", name) for name in named("grafana-dashboard.json")}
    ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in metric_names}
    assert ours - shown == set()


def test_the_panels_of_the_dashboard_have_numbers_of_their_own() -> None:
    numbers = [
        p["id"] for p in json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]
    ]
    assert len(set(numbers)) == len(numbers)


def test_every_stage_of_the_compose_file_is_a_command() -> None:
    hooksift.register_commands()
    group = typer.main.get_command(hooksift.app)
    services = compose()["services"]
    stages = {s["command"] for name, s in services.items() if name != "postgres"}
    assert stages == {"receive", "work", "land"}
    assert stages <= set(getattr(group, "commands", {}))


def test_the_environment_of_the_compose_file_is_read_by_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in compose()["x-hooksift"]["environment"].items():
        monkeypatch.setenv(name, value)
    settings = hooksift.load_settings(DEPLOY / "example.toml")
    assert (settings.receive.host, str(settings.data)) == ("0.0.0.0", "/data")
    assert (settings.metrics.host, settings.metrics.port) == ("0.0.0.0", 9100)
    assert settings.store_url.startswith("postgresql://hooksift:")


def test_the_image_copies_only_what_exists() -> None:
    lines = re.findall(r"^COPY (.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    copied = [name for line in lines for name in line.split()]
    assert copied
    assert [name for name in copied if not (DEPLOY.parent / name).exists()] == []


@pytest.mark.heavy
@pytest.mark.parametrize(
    "asked", ["check rules prometheus-rules.yml", "test rules prometheus-rules-test.yml"]
)
def test_the_alerting_rules_are_valid_and_fire_when_they_should(asked: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    run = subprocess.run(
        [promtool, *asked.split()], cwd=DEPLOY, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
