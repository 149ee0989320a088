"""Check bodies against a source's JSON Schemas, one for each version of the sender's form.

    schemas = compile_schemas({"1": "v1.json", "*": "any.json"}, "header:X-Schema-Version")
    schemas.check(request, payload)               # None, or raises Unfit

`*` is for bodies that name no version, or one that has no schema of its own. References lead only
within a schema file: nothing is fetched.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec

from service.extraction.expressions import ExpressionError, TextGetter, View, compile_text
from service.receiving.request import Payload, Request, Unfit

ANY = "*"
MAX_PATH_CHARACTERS = 200


class SchemaError(ValueError):
    """A schema file cannot be used. The message names the file and what is wrong with it."""


class Schemas:
    """The schemas of one source, compiled."""

    def __init__(self, validators: Mapping[str, Any], version: TextGetter | None) -> None:
        self._validators = validators
        self._version = version

    def check(self, request: Request, payload: Payload) -> None:
        """Raises `Unfit`: unknown_schema_version, or schema_violation with the place and rule.

        The message names places and rules, never a value of the body.
        """
        version = ANY
        if self._version is not None:
            view = View(request, payload.value, payload.value)
            version = self._version(view) or ANY
        validator = self._validators.get(version, self._validators.get(ANY))
        if validator is None:
            known = ", ".join(self._validators)
            raise Unfit(
                "unknown_schema_version",
                f"schema version {version[:40]!r} is none of {known}",
            )
        error = next(validator.iter_errors(payload.value), None)
        if error is not None:
            place = ".".join(str(step) for step in error.instance_path) or "the body"
            rule = "/".join(str(step) for step in error.schema_path)
            raise Unfit(
                "schema_violation",
                f"{place[:MAX_PATH_CHARACTERS]} breaks the schema's {rule[:MAX_PATH_CHARACTERS]}",
            )


def compile_schemas(files: Mapping[str, str], version: str = "") -> Schemas | None:
    """The schemas of a source's settings; None where it has none. Raises `SchemaError`."""
    if not files:
        return None
    try:
        getter = compile_text(version) if version else None
    except ExpressionError as error:
        raise SchemaError(f"schema_version: {error}") from error
    if getter is None and ANY not in files:
        raise SchemaError("schema_version is empty; say where it is, or give a schema for '*'")
    return Schemas({name: _validator(path) for name, path in files.items()}, getter)


def _validator(path: str) -> Any:
    try:
        schema = msgspec.json.decode(Path(path).read_bytes())
        return jsonschema_rs.validator_for(schema, validate_formats=True, retriever=_refuse)
    except OSError as error:
        raise SchemaError(f"{path}: {error.strerror or error}; create the file") from error
    except (ValueError, RecursionError, jsonschema_rs.ReferencingError) as error:
        raise SchemaError(
            f"{path} is not a JSON Schema: {str(error).partition(chr(10))[0]}"
        ) from error


def _refuse(address: str) -> Any:
    raise ValueError(f"{address} is outside the schema file")
