"""Bodies that break a source's JSON Schema are named by place and rule, never by value."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.receiving.request import Payload, Request, Unfit
from service.receiving.schema import SchemaError, compile_schemas

STRICT = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}


def request(version: str | None = None) -> Request:
    headers = [] if version is None else [("x-schema-version", version)]
    return Request("POST", "https://h.example/x", headers, b"")


def written(tmp_path: Path, schema: Any, name: str = "one.json") -> str:
    path = tmp_path / name
    path.write_text(json.dumps(schema))
    return str(path)


def reason(tmp_path: Path, body: Any, version: str | None = None) -> tuple[str, str]:
    files = {"1": written(tmp_path, STRICT)}
    schemas = compile_schemas(files, "header:X-Schema-Version")
    assert schemas is not None
    with pytest.raises(Unfit) as caught:
        schemas.check(request(version), Payload(body, "json"))
    return caught.value.reason, caught.value.message


def test_a_body_that_fits_passes(tmp_path: Path) -> None:
    schemas = compile_schemas({"*": written(tmp_path, STRICT)})
    assert schemas is not None
    assert schemas.check(request(), Payload({"id": 1}, "json")) is None


def test_a_body_that_breaks_a_rule_is_told_where(tmp_path: Path) -> None:
    said = reason(tmp_path, {"id": "4111 secret"}, "1")
    assert said == ("schema_violation", "id breaks the schema's properties/id/type")


def test_a_version_without_a_schema_is_named(tmp_path: Path) -> None:
    assert reason(tmp_path, {"id": 1}, "2")[0] == "unknown_schema_version"


def test_a_version_may_be_in_the_body(tmp_path: Path) -> None:
    files = {"1": written(tmp_path, STRICT), "*": written(tmp_path, {}, "any.json")}
    schemas = compile_schemas(files, "json:version")
    assert schemas is not None
    schemas.check(request(), Payload({"version": 2}, "json"))
    with pytest.raises(Unfit):
        schemas.check(request(), Payload({"version": 1}, "json"))


def test_without_schemas_there_is_nothing_to_check() -> None:
    assert compile_schemas({}) is None


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"$ref": "http://127.0.0.1:1/x"}])
def test_a_file_that_is_no_schema_or_leads_elsewhere_is_named(tmp_path: Path, schema: Any) -> None:
    with pytest.raises(SchemaError, match=r"one\.json is not a JSON Schema"):
        compile_schemas({"*": written(tmp_path, schema)})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="No such file"):
        compile_schemas({"*": str(tmp_path / "none.json")})


def test_versions_need_a_place(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="schema_version is empty"):
        compile_schemas({"1": written(tmp_path, STRICT)})
