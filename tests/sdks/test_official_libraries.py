"""What we sign, judged by the providers' own Python and JavaScript libraries.

They are installed into a temporary folder: too many, and too heavy, for the locked environment.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from deliveries import flipped, request_from, scene

from service.preset import load_preset
from service.receiving.request import Refused
from service.signing.new_keys import new_keys
from service.signing.sign import sign

PYTHON_LIBRARIES = [
    *("twilio", "sendgrid", "hubspot-api-client", "squareup", "paddle-python-sdk"),
    *("discord-interactions", "box-sdk-gen", "line-bot-sdk"),
    *("stripe", "slack_sdk", "standardwebhooks", "svix"),
]
JAVASCRIPT_LIBRARIES = [
    *("@octokit/webhooks-methods", "stripe", "standardwebhooks", "@slack/bolt", "twilio"),
    *("@notionhq/client", "@contentful/node-apps-toolkit", "discord-interactions", "@linear/sdk"),
    *("sns-validator", "svix", "@shopify/shopify-api", "@hubspot/api-client", "square"),
    *("@paddle/paddle-node-sdk", "@sendgrid/eventwebhook", "@line/bot-sdk"),
]
PYTHON_PRESETS = [
    *("twilio", "sendgrid", "hubspot", "square", "paddle", "discord", "box", "line"),
    *("stripe", "slack", "standard_webhooks", "svix"),
]
JAVASCRIPT_PRESETS = [
    *("github", "stripe", "standard_webhooks", "slack", "notion", "contentful", "discord"),
    *("twilio", "linear", "aws_sns", "svix", "shopify", "hubspot", "square", "paddle"),
    *("sendgrid", "line"),
]
URL = "https://hooks.example.com/v1/webhooks/here"
HERE = Path(__file__).parent
pytestmark = pytest.mark.heavy


def deliveries(presets: list[str]) -> list[dict[str, Any]]:
    """For each preset one that is right, and one for each byte of the body that is wrong."""
    found = []
    for name in presets:
        preset = load_preset(name)
        keys = new_keys(preset)
        now = time.time()
        body = preset.sample.body.encode()
        named = {"event_type": preset.sample.type, "delivery_id": "d-1"}
        outgoing = sign(preset, keys.sender, body, url=URL, now=now, **named)
        entry = {
            "preset": name,
            "secret": keys.sender,
            "publicKey": keys.receiver,
            "certificate": keys.known.certificate_pem,
            "method": outgoing.method,
            "url": outgoing.url,
            "headers": dict(outgoing.headers),
            "now": now,
        }
        found.append({**entry, "id": f"{name} right", "body": outgoing.body.decode()})
        for index, spoiled in enumerate(flipped(outgoing.body)):
            found.append(
                {**entry, "id": f"{name} wrong {index}", "body": spoiled.decode("latin-1")}
            )
    return found


def run(command: list[str], entries: list[dict[str, Any]], **options: Any) -> dict[str, bool]:
    done = subprocess.run(
        command, input=json.dumps(entries), capture_output=True, text=True, check=True, **options
    )
    verdicts: dict[str, bool] = json.loads(done.stdout.splitlines()[-1])
    return verdicts


@pytest.fixture(scope="module")
def python_verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    folder = str(tmp_path_factory.mktemp("python"))
    uv = str(Path(sys.executable).with_name("uv"))
    install = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", folder]
    subprocess.run([*install, *PYTHON_LIBRARIES], check=True)
    command = [sys.executable, "-W", "ignore", str(HERE / "oracle.py")]
    return run(command, deliveries(PYTHON_PRESETS), env={"PYTHONPATH": folder})


@pytest.fixture(scope="module")
def javascript_verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    folder = tmp_path_factory.mktemp("javascript")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run([*install, *JAVASCRIPT_LIBRARIES], check=True, cwd=folder)
    oracle = HERE.parent / "javascript" / "oracle.mjs"
    return run(["node", str(oracle)], deliveries(JAVASCRIPT_PRESETS), cwd=folder)


def agreed(verdicts: dict[str, bool], name: str) -> list[bool]:
    return [verdict for key, verdict in verdicts.items() if key.startswith(f"{name} ")]


@pytest.mark.parametrize("name", PYTHON_PRESETS)
def test_the_python_library_believes_what_we_sign_and_nothing_else(
    python_verdicts: dict[str, bool], name: str
) -> None:
    assert agreed(python_verdicts, name) == [True, False, False, False]


@pytest.mark.parametrize("name", JAVASCRIPT_PRESETS)
def test_the_javascript_library_believes_what_we_sign_and_nothing_else(
    javascript_verdicts: dict[str, bool], name: str
) -> None:
    assert agreed(javascript_verdicts, name) == [True, False, False, False]


@pytest.mark.parametrize("name", [*PYTHON_PRESETS, *JAVASCRIPT_PRESETS])
def test_we_judge_the_same_deliveries_as_the_libraries_do(name: str) -> None:
    here = scene(name)
    now = time.time()
    outgoing = here.outgoing(now=now)
    assert here.reader.verify(request_from(outgoing), now).secret_index == 0
    for spoiled in flipped(outgoing.body):
        with pytest.raises(Refused):
            here.reader.verify(request_from(outgoing._replace(body=spoiled)), now)
