"""Two fuzzers, a minute each: schemathesis over the running service, atheris over the readers.

They are installed into a temporary folder: too heavy for the locked environment.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.receiver import RunningReceiver, Source, receiving

from service.preset import load_preset, preset_names
from service.store import open_store

pytestmark = pytest.mark.heavy

SECONDS = 60
ROOT = Path(__file__).parents[2]
NAMES = [n for n in preset_names() if not load_preset(n).jwt and not load_preset(n).verify.special]
HEADERS = [
    *("authorization", "content-encoding", "stripe-signature", "x-hub-signature-256"),
    *("x-slack-signature", "x-slack-request-timestamp", "webhook-signature", "webhook-timestamp"),
]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PYTHONPATH with both fuzzers and this project."""
    folder = str(tmp_path_factory.mktemp("fuzzers"))
    uv = str(Path(sys.executable).with_name("uv"))
    install = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", folder]
    subprocess.run([*install, "schemathesis", "atheris"], check=True)
    return os.pathsep.join([str(ROOT), str(ROOT / "tests"), folder])


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[RunningReceiver]:
    """A source of every preset that needs no key of somebody else's; the unsigned ones open."""
    store = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    opened = {name: {} if load_preset(name).signed else {"secret": []} for name in NAMES}
    sources = {name: Source(name, settings) for name, settings in opened.items()}
    with receiving(store, sources, unverified_per_minute=10**9) as running:
        yield running
    store.close()


def description(running: RunningReceiver) -> dict[str, Any]:
    """The service's own OpenAPI description, with the sources, headers and bodies that exist."""
    described: dict[str, Any] = running.client.get("/schema/openapi.json").json()
    receive = described["paths"]["/v1/webhooks/{source}"]["post"]
    receive["parameters"][0]["schema"] = {"type": "string", "enum": NAMES}
    text = {"type": "string"}
    receive["parameters"] += [{"name": n, "in": "header", "schema": text} for n in HEADERS]
    fields = {"type": "object", "additionalProperties": text}
    receive["requestBody"]["content"] = {
        "application/json": {"schema": {}},
        "application/x-www-form-urlencoded": {"schema": fields},
        "text/plain": {"schema": text},
    }
    return described


def test_schemathesis_finds_no_server_error(
    tools: str, receiver: RunningReceiver, tmp_path: Path
) -> None:
    schema = tmp_path / "openapi.json"
    schema.write_text(json.dumps(description(receiver)))
    command = [sys.executable, "-W", "ignore", "-m", "schemathesis.cli", "run", str(schema)]
    options = ["--url", receiver.url, "--checks", "not_a_server_error", "-n", "2000"]
    done = subprocess.run(
        [*command, *options, "--max-time", str(SECONDS), "--no-color"],
        env={"PYTHONPATH": tools},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_atheris_finds_nothing_that_a_reader_does_not_expect(tools: str, tmp_path: Path) -> None:
    fuzzer = str(ROOT / "tests" / "properties" / "fuzz_reader.py")
    command = [sys.executable, "-P", fuzzer, "-seed=1"]
    limits = [f"-max_total_time={SECONDS}", "-timeout=60"]
    # A process inherits the peak memory of the one it comes from, which libFuzzer takes for its
    # own: hence a small shell between this process, which may be large, and the fuzzer.
    done = subprocess.run(
        ["sh", "-c", '"$@"; exit $?', "sh", *command, *limits],
        env={"PYTHONPATH": tools},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
