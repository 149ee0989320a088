"""A lander as a process of its own, for tests that kill it."""

import sys
from itertools import count
from math import inf
from pathlib import Path

from analytics.landing import Lander
from analytics.place import place_of
from analytics.settings import HistorySettings
from service.store import open_store

TIDY_EACH = 40  # landings: many of their files are merged before


def main(store_url: str, data: str) -> None:
    """Land without a pause and tidy up often, so that a kill hits any moment of either."""
    settings = HistorySettings(page_rows=150, snapshot_hours=0, file_hours=0)
    with Lander(open_store(store_url), place_of(settings, Path(data)), settings) as lander:
        print("ready", flush=True)
        for number in count():
            lander.land()
            lander.merge(inf)
            if number % TIDY_EACH == 0:
                lander.maintain()


if __name__ == "__main__":
    main(*sys.argv[1:])
