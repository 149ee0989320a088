"""A reader as a process of its own: opens once, asks until the history holds `want` events."""

import sys
import time

from analytics.history import connect


def main(folder: str, want: int) -> None:
    """Print how often it asked, and fail on an error, a shrinking count or a doubled event."""
    asked, before, slowest = 0, 0, 0.0
    with connect(folder) as history:
        while before < want:
            started = time.monotonic()
            found = history.sql("SELECT count(*) AS n, count(DISTINCT id) AS d FROM events").row(0)
            slowest = max(slowest, time.monotonic() - started)
            assert found[0] == found[1] >= before, found
            asked, before = asked + 1, found[0]
            if asked == 1:
                print("begun", flush=True)
    print(asked, round(slowest, 3))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
