"""The moment a sender says a request was made, and the window in which it is believed."""

from datetime import UTC, datetime
from typing import Any

from service.receiving.request import Refused

UNITS = {"s": 1.0, "ms": 1_000.0, "us": 1_000_000.0, "auto": 1.0}
"""What a timestamp counts; auto tells seconds from ms by the number of digits."""
MAX_DIGITS = 17


def check_window(moment: float, now: float, tolerance_seconds: float) -> None:
    """Raises `Refused("timestamp_out_of_tolerance")` outside the window, in both directions."""
    age = now - moment
    if age > tolerance_seconds:
        raise Refused(
            "timestamp_out_of_tolerance",
            f"timestamp is {age:.0f} s old; limit is {tolerance_seconds:.0f} s",
        )
    check_not_ahead(moment, now, tolerance_seconds)


def check_not_ahead(moment: float, now: float, limit_seconds: float) -> None:
    """Raises `Refused("timestamp_out_of_tolerance")` for a time that is too far in the future."""
    if moment - now > limit_seconds:
        raise Refused(
            "timestamp_out_of_tolerance",
            f"timestamp is {moment - now:.0f} s in the future; limit is {limit_seconds:.0f} s",
        )


def seconds_of(text: str, unit: str) -> float:
    """Seconds since 1970 of a timestamp's text. Raises `Refused("malformed_timestamp")`."""
    if unit == "iso":
        return _iso_seconds(text)
    if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS:
        divisor = UNITS[unit] if unit != "auto" else UNITS["ms" if len(text) > 11 else "s"]
        return int(text) / divisor
    raise Refused("malformed_timestamp", f"timestamp {text[:40]!r} is not a whole number of {unit}")


def seconds_of_value(value: Any, unit: str) -> float:
    """The same for a value in a parsed body: a whole number or its text."""
    if type(value) is int and value >= 0:
        value = str(value)
    if type(value) is str:
        return seconds_of(value, unit)
    raise Refused("malformed_timestamp", f"timestamp is a {type(value).__name__}, not a number")


def _iso_seconds(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise Refused(
            "malformed_timestamp", f"timestamp {text[:40]!r} is not an ISO 8601 time"
        ) from None
