"""A real receiver that SIGKILLs itself: argv STORE-URL SECRET MOMENT COUNT.

MOMENT is before-commit (inside the COUNT-th group commit, all its rows written) or after-commit
(on disk, nobody answered). Deliveries reach it at /v1/webhooks/a, preset standard_webhooks.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable

from sqlalchemy import Connection

from service.metrics import Metrics
from service.preset import load_presets
from service.receiving.app import create_app
from service.receiving.endpoint import compile_endpoint
from service.receiving.serving import serve_http
from service.settings import ReceiveSettings, SourceSettings
from service.store import Store, open_store
from service.store.queue import ENRICH
from service.store.store import DIALECTS


class Death:
    """Comes at the COUNT-th call."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def before_commits(store: Store, act: Callable[[Connection], None]) -> None:
    """From now on act in each transaction of this process: all its rows written, none on disk."""
    words = DIALECTS[store.dialect]
    commit = words.commit

    def commit_late(connection: Connection, *, go_on: bool) -> int | None:
        words.insert_waiting(connection)
        act(connection)
        number: int | None = commit(connection, go_on=go_on)
        return number

    words.commit = commit_late  # type: ignore[attr-defined]


async def main() -> None:
    url, secret, moment, count = sys.argv[1:]
    store = open_store(url)
    store.new_ids()
    death = Death(int(count))
    if moment == "before-commit":
        before_commits(store, death)
    else:
        store.subscribe(ENRICH, death)  # told after the commit, before any caller is answered
    receive = ReceiveSettings(port=0)
    settings = SourceSettings(preset="standard_webhooks", secret=secret)
    endpoint = compile_endpoint("a", settings, receive, load_presets(), b"k" * 32)
    app = create_app({"a": endpoint}, receive, store, Metrics())
    await serve_http(app, receive, asyncio.Event(), lambda base: print(base, flush=True))


if __name__ == "__main__":
    asyncio.run(main())
