"""Reading a recorded delivery from files: headers in three forms, bodies as they are."""

import json
from typing import Any

Headers = list[tuple[str, str]]


class RecordingError(ValueError):
    """The file is not what it should hold; the message says what was expected."""


def headers_of(text: str) -> Headers:
    """Headers of a JSON object, of a JSON list of pairs, or of lines `Name: value`.

    Raises RecordingError. A request line (`POST / HTTP/1.1`) before the lines is left out.
    """
    stripped = text.strip()
    if stripped[:1] in ("{", "["):
        return _from_json(stripped)
    lines = [line for line in stripped.splitlines() if line.strip()]
    if lines and lines[0].rpartition(" ")[2].startswith("HTTP/"):
        del lines[0]
    return [_from_line(number, line) for number, line in enumerate(lines, 1)]


def _from_line(number: int, line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise RecordingError(f"header line {number}: expected 'Name: value'")
    return name.strip().lower(), value.strip()


def _from_json(text: str) -> Headers:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"headers are not JSON: {error}") from error
    return pairs_of(data)


def pairs_of(data: Any) -> Headers:
    """Headers of an object, whose values may be lists, or of a list of pairs.

    Raises RecordingError.
    """
    if not isinstance(data, dict | list):
        raise RecordingError("headers are neither an object nor a list of [name, value] entries")
    pairs = data.items() if isinstance(data, dict) else [_pair(entry) for entry in data]
    return [
        (str(name).lower(), str(value))
        for name, values in pairs
        for value in (values if isinstance(values, list) else [values])
    ]


def _pair(entry: Any) -> tuple[Any, Any]:
    if isinstance(entry, dict) and {"name", "value"} <= entry.keys():
        return entry["name"], entry["value"]
    if isinstance(entry, list | tuple) and len(entry) == 2:
        return entry[0], entry[1]
    raise RecordingError("a JSON list of headers holds [name, value] or {name, value} entries")


def vectors_of(text: str) -> list[dict[str, Any]]:
    """A JSON list of recorded deliveries, or an object whose `vectors` or `cases` is one.

    Raises RecordingError.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"not JSON: {error}") from error
    if isinstance(data, dict):
        data = data.get("vectors", data.get("cases"))
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise RecordingError("expected a JSON list of objects, one for each delivery")
    return data
