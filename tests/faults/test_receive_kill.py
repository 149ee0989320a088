"""SIGKILL of the receiver: nothing acknowledged is lost, nothing is stored twice."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faults.counting import Count
from faults.senders import many, send_once
from servers.receiver import Source, receiving, rows

from service.store import Store
from service.store.store import words_of

SCRIPT = Path(__file__).with_name("dying_receiver.py")


@contextmanager
def dying(url: str, source: Source, moment: str, commits: int) -> Iterator[str]:
    """Its base URL; on leaving it must have died by its own hand."""
    command = [sys.executable, str(SCRIPT), url, source.keys.receiver, moment, str(commits)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        assert process.wait(60) == -9


@pytest.mark.parametrize("moment", ["before-commit", "after-commit"])
@pytest.mark.parametrize("commits", [1, 4])
def test_what_was_acknowledged_before_sigkill_is_there_and_known(
    open_a_store: Callable[[], Store], store_url: str, moment: str, commits: int, count: Count
) -> None:
    source = Source()
    deliveries = many(source, 60)
    open_a_store().new_ids()
    with dying(store_url, source, moment, commits) as url:
        before = send_once(url, deliveries)
    assert before.lost_connections
    store = open_a_store()
    stored = {row.delivery_key: row.id for row in rows(store, "deliveries")}
    assert before.acknowledged.items() <= stored.items()
    with receiving(store, {"a": source}) as again:
        after = send_once(again.url, deliveries)
    assert len(after.acknowledged) == 60
    assert stored.items() <= after.acknowledged.items()
    kept = [row.delivery_key for row in rows(store, "deliveries")]
    count(acknowledged=len(before.acknowledged), stored=len(kept))
    assert sorted(kept) == sorted(deliveries)


def test_what_was_on_disk_but_never_answered_is_recognised_as_a_duplicate(
    open_a_store: Callable[[], Store], store_url: str
) -> None:
    source = Source()
    deliveries = many(source, 1)
    open_a_store().new_ids()
    with dying(store_url, source, "after-commit", 1) as url:
        assert send_once(url, deliveries).acknowledged == {}
    store = open_a_store()
    with receiving(store, {"a": source}) as again:
        after = send_once(again.url, deliveries)
    assert len(rows(store, "redeliveries")) == 1
    assert [row.id for row in rows(store, "deliveries")] == list(after.acknowledged.values())


def test_a_group_commit_that_was_cut_off_left_nothing(
    open_a_store: Callable[[], Store], store_url: str
) -> None:
    source = Source()
    open_a_store().new_ids()
    with dying(store_url, source, "before-commit", 1) as url:
        send_once(url, many(source, 20))
    store = open_a_store()
    with store.read() as connection:
        left = [
            connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
            for table in ("deliveries", "events", "work_items", "dedup_keys")
        ]
        left.append(len(list(words_of(connection).recent_keys(connection))))
    assert left == [0, 0, 0, 0, 0]
