"""A real worker that SIGKILLs itself: argv CONFIG MOMENT.

MOMENT is before-commit (the model has answered, its enrichment is written and not yet on disk) or
after-commit (enrichment and action are on disk, the action is not begun).
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from faults.dying_receiver import Death, before_commits
from sqlalchemy import Connection

from hooksift import load_settings, make_workers, run_workers
from service.metrics import Metrics
from service.receiving.assembly import open_configured_store
from service.store.queue import ACT


async def main() -> None:
    config, moment = sys.argv[1:]
    settings = load_settings(Path(config))
    store = open_configured_store(settings)
    death = Death(1)

    def die_with_an_enrichment(connection: Connection) -> None:
        cursor: Any = connection.connection.cursor()
        cursor.execute("SELECT count(*) FROM enrichments")
        if cursor.fetchone()[0]:
            death()

    if moment == "before-commit":
        before_commits(store, die_with_an_enrichment)
    else:
        store.subscribe(ACT, death)
    await run_workers(make_workers(settings, store, Metrics()), asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main())
