"""Everything that `analytics` raises on purpose.

HistoryError              the history cannot do what was asked; says why and what to do
├── HistoryMissing        there is no history at that place yet
├── HistoryBusy           another lander holds the history
└── LandingFailed         a landing in the background failed; the next one tries again
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


class LandingFailed(HistoryError):  # noqa: N818 - what became of one turn
    """A landing in the background failed, whatever the reason: the text says it."""


def without_credentials(said: object) -> str:
    """An address, or a database's words that may repeat it, without user and password."""
    return CREDENTIALS.sub("", str(said))
