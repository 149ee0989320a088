"""Times as providers write them."""

from datetime import UTC, datetime
from typing import Any


def moment(value: Any) -> datetime | None:
    """An aware UTC time from ISO 8601 text or from seconds or milliseconds; None for the rest."""
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value)
            return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None
