"""Judges calls and answers by a provider's published OpenAPI description.

A call must be what the description allows, with no name that it does not know. A fake's answer is
judged in part: it may leave things out, but what it tells must be known and of the right type.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote

import jsonschema_rs

from tests.servers.asgi import Answer, Call

METHODS = ("get", "put", "post", "delete", "patch")
NOT_PARAMETERS = {"accept", "content-type", "authorization"}  # so says OpenAPI
NOT_JUDGED = {"example", "examples", "default", "discriminator"}
DRAFT_4 = "http://json-schema.org/draft-04/schema#"
DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True)
class Operation:
    """What a description says of one method of one path."""

    path: str
    spec: dict[str, Any]
    parameters: list[dict[str, Any]]
    found: dict[str, str]


class Description:
    """An OpenAPI 3 document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def faults(self, call: Call, answer: Answer) -> list[str]:
        """What the description does not know of a call and its answer."""
        operation = self.operation_of(call)
        where = f"{call.method} {call.path}"
        if operation is None:
            return [f"{where}: no such operation"]
        faults = [*self._parameters(call, operation), *self._body(call, operation)]
        return [f"{where}: {fault}" for fault in [*faults, *self._answer(answer, operation)]]

    def operation_of(self, call: Call) -> Operation | None:
        """The operation that a call is; a path without parameters wins."""
        for pattern, path, item in self._paths:
            found = pattern.fullmatch(call.raw_path)
            if found and call.method.lower() in item:
                spec = item[call.method.lower()]
                listed = [*item.get("parameters", []), *spec.get("parameters", [])]
                ids = {name[1:]: unquote(value) for name, value in found.groupdict().items()}
                return Operation(path, spec, [self.resolved(p) for p in listed], ids)
        return None

    def resolved(self, node: Any) -> Any:
        """What a reference leads to."""
        while isinstance(node, dict) and "$ref" in node:
            found: Any = self.document
            for part in unquote(node["$ref"]).removeprefix("#/").split("/"):
                name = part.replace("~1", "/").replace("~0", "~")
                found = found[int(name)] if isinstance(found, list) else found[name]
            node = found
        return node

    def schema_faults(self, value: Any, schema: Any, *, in_part: bool) -> list[str]:
        """What is wrong with a value. `in_part` lets it leave out what is required."""
        definitions: dict[str, Any] = {}
        root = self._standalone(schema, definitions, in_part)
        validator = jsonschema_rs.validator_for(
            {"$schema": self._dialect, **root, "definitions": definitions}
        )
        wrong = [f"{'/'.join(map(str, e.instance_path))} {e.message}" for e in
                 validator.iter_errors(value)]  # fmt: skip
        return wrong + [f"{name} is unknown" for name in self._unknown(value, [schema], "")]

    @cached_property
    def _paths(self) -> list[tuple[re.Pattern[str], str, dict[str, Any]]]:
        made = []
        for path, item in sorted(self.document["paths"].items(), key=lambda p: p[0].count("{")):
            parts = re.split(r"\{([^}]+)\}", path)
            pattern = "".join(
                f"(?P<_{re.sub(r'[^a-zA-Z0-9_]', '_', part)}>[^/]+)" if n % 2 else re.escape(part)
                for n, part in enumerate(parts)
            )
            made.append((re.compile(pattern), path, item))
        return made

    @property
    def _dialect(self) -> str:
        return DRAFT_2020 if str(self.document["openapi"]).startswith("3.1") else DRAFT_4

    def _parameters(self, call: Call, operation: Operation) -> Iterator[str]:
        given = {
            "query": call.query,
            "path": operation.found,
            "header": {k.lower(): v for k, v in call.headers.items()},
        }
        for parameter in operation.parameters:
            place, name = parameter["in"], parameter["name"]
            name = name.lower() if place == "header" else name
            if place not in given or (place == "header" and name in NOT_PARAMETERS):
                continue
            value = given[place].get(
                re.sub(r"[^a-zA-Z0-9_]", "_", name) if place == "path" else name
            )
            if value is None:
                if parameter.get("required"):
                    yield f"{place} parameter {name} is missing"
                continue
            schema = parameter.get("schema", {})
            typed = _typed(value, self.resolved(schema).get("type"))
            yield from (f"{name}: {f}" for f in self.schema_faults(typed, schema, in_part=False))
        known = {p["name"] for p in operation.parameters if p["in"] == "query"}
        yield from (f"query parameter {name} is unknown" for name in call.query.keys() - known)

    def _body(self, call: Call, operation: Operation) -> Iterator[str]:
        told = self.resolved(operation.spec.get("requestBody"))
        if not call.body:
            if told and told.get("required"):
                yield "a body is missing"
            return
        if told is None:
            yield "takes no body"
            return
        media = told["content"].get("application/json")
        if media is None:
            yield f"takes no JSON, but {', '.join(told['content'])}"
            return
        for fault in self.schema_faults(call.json, media.get("schema", {}), in_part=False):
            yield f"body: {fault}"

    def _answer(self, answer: Answer, operation: Operation) -> Iterator[str]:
        responses = operation.spec["responses"]
        told = self.resolved(responses.get(str(answer.status)))
        if told is None:
            if answer.status < 400:
                yield f"never answers {answer.status}, but {', '.join(responses)}"
            return
        media = told.get("content", {}).get("application/json")
        if media is None or answer.body is None or answer.status >= 400:
            return
        for fault in self.schema_faults(answer.body, media.get("schema", {}), in_part=True):
            yield f"answer: {fault}"

    def _standalone(self, node: Any, definitions: dict[str, Any], in_part: bool) -> Any:
        """A schema as JSON Schema has it, what it refers to among the definitions."""
        if isinstance(node, list):
            return [self._standalone(item, definitions, in_part) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            name = node["$ref"].removeprefix("#/").replace("/", ".")
            if name not in definitions:
                definitions[name] = {}
                definitions[name] = self._standalone(self.resolved(node), definitions, in_part)
            return {"$ref": f"#/definitions/{name}"}
        made = {}
        for key, value in node.items():
            if key == "properties":
                inner = {n: self._standalone(v, definitions, in_part) for n, v in value.items()}
                made[key] = inner
            elif key in NOT_JUDGED or (in_part and key == "required"):
                continue
            else:
                name = "anyOf" if in_part and key == "oneOf" else key
                made[name] = self._standalone(value, definitions, in_part)
        nullable = made.pop("nullable", None)
        return {"anyOf": [made, {"type": "null"}]} if nullable is True else made

    def _flat(self, schema: Any) -> Iterator[dict[str, Any]]:
        """A schema and all that it is put together from."""
        schema = self.resolved(schema)
        if not isinstance(schema, dict):
            return
        yield schema
        for key in ("allOf", "oneOf", "anyOf"):
            for part in schema.get(key, []):
                yield from self._flat(part)

    def _unknown(self, value: Any, schemas: Iterable[Any], where: str) -> Iterator[str]:
        parts = [part for schema in schemas for part in self._flat(schema)]
        if isinstance(value, list):
            items = [part["items"] for part in parts if "items" in part]
            for item in value:
                yield from self._unknown(item, items, f"{where}[]")
        if not isinstance(value, dict):
            return
        known: dict[str, list[Any]] = {}
        for part in parts:
            for name, schema in part.get("properties", {}).items():
                known.setdefault(name, []).append(schema)
        is_open = not known or any(part.get("additionalProperties") for part in parts)
        for name, inner in value.items():
            if name in known:
                yield from self._unknown(inner, known[name], f"{where}.{name}")
            elif not is_open:
                yield f"{where}.{name}"


def _typed(value: str, kind: Any) -> Any:
    """A parameter's text as the type that its schema names."""
    if kind in ("integer", "number"):
        return int(value) if value.lstrip("-").isdecimal() else value
    if kind == "boolean":
        return {"true": True, "false": False}.get(value, value)
    return value.split(",") if kind == "array" else value
