"""Everything that `analytics` raises on purpose.

HistoryError              the history cannot do what was asked; says why and what to do
├── HistoryMissing        there is no history at that place yet
└── HistoryBusy           another lander holds the history
"""

import re

# Up to the last @: a password may hold one, or a slash.
CREDENTIALS = re.compile(r"(?<=://)\S*@|(?<=password=)[^\s&\"']+")


class HistoryError(Exception):
    """The root of what the history raises on purpose; its text is for the person who reads it."""


class HistoryMissing(HistoryError):  # noqa: N818 - a state of the history
    """No history at that place yet: nothing has been landed."""


class HistoryBusy(HistoryError):  # noqa: N818 - a state of the history
    """Another process lands into this history."""


def without_credentials(said: object) -> str:
    """An address, or a database's words that may repeat it, without user and password."""
    return CREDENTIALS.sub("", str(said))
