"""Recorded deliveries: values that providers publish, and the shared collection where it lies."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.verification.vectors import verify_vector

SHARED = Path(__file__).parents[2].parent / "shared" / "vectors" / "signatures.json"
SHARED_VECTORS: list[dict[str, Any]] = json.loads(SHARED.read_text()) if SHARED.exists() else []

GITHUB = {
    "id": "github documentation",
    "provider": "github",
    "secret": "It's a Secret to Everybody",
    "method": "POST",
    "url": "https://h.example/x",
    "headers": {
        "X-Hub-Signature-256": "sha256="
        "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        "X-GitHub-Delivery": "d-9",
        "X-GitHub-Event": "ping",
    },
    "body": "Hello, World!",
    "now": 0,
}


def test_the_example_in_githubs_documentation_is_verified() -> None:
    assert verify_vector(GITHUB) == {
        "id": "github documentation",
        "valid": True,
        "reason": None,
        "event_id": "d-9",
        "event_type": "ping",
    }


def test_a_changed_body_is_judged_with_its_reason() -> None:
    assert verify_vector({**GITHUB, "body": "Hello, World?"})["reason"] == "signature_mismatch"


def test_several_secrets_may_be_given() -> None:
    assert verify_vector({**GITHUB, "secret": ["other", GITHUB["secret"]]})["valid"]


def test_an_unknown_provider_is_named() -> None:
    judged = verify_vector({**GITHUB, "provider": "nobody"})
    assert (judged["valid"], judged["reason"]) == (False, "unknown_preset")


def test_an_unusable_secret_is_a_reason_and_not_an_error() -> None:
    assert verify_vector({**GITHUB, "secret": ""})["reason"] == "bad_secret"


@pytest.mark.parametrize("vector", SHARED_VECTORS, ids=lambda vector: str(vector["id"]))
def test_a_shared_vector_is_judged_as_it_says(vector: dict[str, Any]) -> None:
    judged = verify_vector(vector)
    assert judged["valid"] == (vector["expect"] == "valid"), judged
    assert judged["reason"] == vector.get("reason"), judged
    if judged["valid"]:
        for key in ("event_id", "event_type"):
            assert vector.get(key) in (None, judged[key])
