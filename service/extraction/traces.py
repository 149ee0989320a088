"""Stack traces in the shapes error trackers send, as the lines a developer reads."""

from typing import Any

MAX_FRAMES = 60
MAX_EXCEPTIONS = 10
FILE = ("filename", "file", "fileName", "abs_path", "path", "module", "className")
LINE = ("lineno", "line", "lineNumber", "number", "line_number")
CODE = ("function", "method", "methodName", "name")
CONTEXT = ("context_line", "code_line")


def trace_text(value: Any) -> str | None:
    """Exceptions with their frames, newest last as the body has them; None for other shapes."""
    if type(value) is str:
        return str(value)
    if type(value) is dict:
        value = _list_in(value) or [value]
    if type(value) is not list:
        return None
    lines: list[str] = []
    if all(type(element) is str for element in value):
        lines = [str(element) for element in value[:MAX_FRAMES]]
    else:
        for element in value[: MAX_FRAMES if _is_frame(value[0]) else MAX_EXCEPTIONS]:
            lines += _frame_lines(element) if _is_frame(element) else _exception_lines(element)
    return "\n".join(lines) or None


def _list_in(value: dict[str, Any]) -> list[Any] | None:
    for key in ("values", "frames", "trace_chain", "stacktrace", "exceptions"):
        if type(value.get(key)) is list:
            return list(value[key])
    return None


def _is_frame(value: Any) -> bool:
    return (
        type(value) is dict
        and any(key in value for key in FILE)
        and (any(key in value for key in LINE) or any(key in value for key in CODE))
    )


def _exception_lines(value: Any) -> list[str]:
    if type(value) is not dict:
        return []
    inner = value.get("exception")
    named = inner if type(inner) is dict else value
    name = _text(named, ("type", "class", "errorClass", "exceptionClass", "className"))
    message = _text(named, ("value", "message", "reason"))
    lines = [": ".join(part for part in (name, message) if part)] if name or message else []
    frames = _frames_of(value)
    for frame in frames[-MAX_FRAMES:]:
        lines += _frame_lines(frame)
    return lines


def _frames_of(value: dict[str, Any]) -> list[Any]:
    for key in ("stacktrace", "rawStacktrace", "frames", "backtrace", "stackTrace"):
        inner = value.get(key)
        if type(inner) is dict:
            inner = inner.get("frames")
        if type(inner) is list:
            return inner
    return []


def _frame_lines(frame: Any) -> list[str]:
    if type(frame) is not dict:
        return [str(frame)] if type(frame) is str else []
    place, line, code = _text(frame, FILE), _text(frame, LINE), _text(frame, CODE)
    where = f"{place}:{line}" if line else place
    lines = [f"  at {code} ({where})" if code else f"  at {where}"] if where or code else []
    context = _text(frame, CONTEXT).strip()
    return [*lines, f"    {context}"] if context else lines


def _text(value: dict[str, Any], keys: tuple[str, ...]) -> str:
    for key in keys:
        found = value.get(key)
        if type(found) is str and found:
            return str(found)
        if type(found) is int:
            return str(found)
    return ""
