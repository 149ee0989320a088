"""Find the words of a body that no path describes: a user's own sender, or a new kind of event."""

from typing import Any

TITLES = ("title", "subject", "summary", "name", "alert_name", "headline", "label", "check_name")
TEXTS = (
    *("text", "body", "message", "description", "details", "content", "comment", "reason"),
    *("error", "msg", "note", "long_description", "plain_text"),
)
INNER = (
    *("data", "event", "payload", "object", "alert", "incident", "issue", "ticket", "item"),
    *("resource", "attributes", "conversation", "error", "detail", "notification", "check"),
    *("monitor", "record", "context", "alarm", "build", "event-data", "message", "subscription"),
)
MAX_LINES = 40
MAX_LINE_CHARACTERS = 300
MAX_LEVELS = 3


def guess_title(body: Any) -> str:
    """The first likely title, near the top first; '' when there is none."""
    return _find(body, TITLES, MAX_LEVELS) or (body.strip() if type(body) is str else "")[:200]


def guess_text(body: Any) -> str:
    """The first likely text; else the body's own scalar fields, one a line."""
    if type(body) is str:
        return str(body)
    return _find(body, TEXTS, MAX_LEVELS) or "\n".join(_scalar_lines(body))


def _find(body: Any, keys: tuple[str, ...], levels: int) -> str:
    if type(body) is list:
        body = body[0] if body else None
    if type(body) is not dict or levels == 0:
        return ""
    for key in keys:
        value = body.get(key)
        if type(value) is str and value.strip():
            return str(value)
    for key in INNER:
        found = _find(body.get(key), keys, levels - 1)
        if found:
            return found
    return ""


def _scalar_lines(body: Any) -> list[str]:
    if type(body) is not dict:
        return []
    lines = [
        f"{key}: {value}"[:MAX_LINE_CHARACTERS]
        for key, value in body.items()
        if type(value) in (str, int, float) and value != ""
    ]
    for key in INNER:
        if type(body.get(key)) is dict:
            lines += _scalar_lines(body[key])
    return lines[:MAX_LINES]
