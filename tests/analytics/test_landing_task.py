"""Landing as a stage: until told to stop, behind a leader, through a history that is away."""

import asyncio
import os
import resource
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb
import pytest
from structlog.testing import capture_logs

from analytics.errors import LandingFailed
from analytics.history import connect
from analytics.landing_process import LandingProcess, niceness_beside
from analytics.landing_task import counted_in, pause_seconds, run_landing
from analytics.landing_worker import LandingWorker, Turn, Worker
from analytics.lock import lock_of
from analytics.place import Place, place_of
from analytics.settings import HistorySettings
from analytics.upkeep import FEW_FILES, MANY_FILES
from hooksift import Settings, begin_lander, run_lander
from service.metrics import Metrics
from service.store import Store
from tests.analytics.store_facts import put_events
from tests.servers.process import Process
from tests.servers.receiver import until

QUICK = HistorySettings(interval_seconds=0.01, standby_seconds=0.01, upkeep_seconds=0.02)


def count(place: Place) -> int:
    with connect(place) as history:
        return int(history.sql("SELECT count(*) AS n FROM events").item())


@pytest.mark.parametrize(
    ("took", "failures", "leads", "pause"),
    [(0.25, 0, True, 0.75), (9, 0, True, 0.25), (0.25, 2, True, 4), (0.25, 0, False, 5)],
    ids=["to the next interval", "a quarter of it at least", "longer after failures", "standby"],
)
def test_a_pause_lasts(took: float, failures: int, leads: bool, pause: float) -> None:
    settings = HistorySettings(interval_seconds=1, standby_seconds=5)
    assert pause_seconds(settings, failures, took, leads=leads) == pause


@pytest.fixture
def worker(store: Store, store_url: str, place: Place) -> Iterator[LandingWorker]:
    """Lands the store on the thread that asks."""
    made = LandingWorker(store_url, place, QUICK)
    yield made
    made.close()


@pytest.fixture
def process(store: Store, store_url: str, place: Place) -> Iterator[LandingProcess]:
    """Lands the store in a process of its own."""
    made = LandingProcess(store_url, place, QUICK, "info")
    yield made
    made.kill()
    made.close()


@pytest.fixture(params=["worker", "process"])
def either(request: pytest.FixtureRequest) -> Worker:
    """Both, one after the other."""
    worker: Worker = request.getfixturevalue(request.param)
    return worker


def test_what_was_written_before_the_stop_is_landed(
    either: Worker, store: Store, place: Place
) -> None:
    async def scene() -> None:
        stop = asyncio.Event()
        put_events(store, 5)
        stop.set()
        await asyncio.wait_for(run_landing(either, place, QUICK, stop), 30)
        assert count(place) == 5

    asyncio.run(scene())


def test_another_lander_may_lead_after_the_stop(either: Worker, place: Place) -> None:
    async def scene() -> None:
        stop = asyncio.Event()
        stop.set()
        await asyncio.wait_for(run_landing(either, place, QUICK, stop), 30)

    asyncio.run(scene())
    lock = lock_of(place, "lander")
    assert lock.take()
    lock.give_back()


def test_each_landing_is_told(worker: Worker, store: Store, place: Place) -> None:
    async def scene() -> None:
        stop, told = asyncio.Event(), list[Turn]()

        def turned(done: Turn) -> None:
            told.append(done)
            if len(told) == 3:
                stop.set()

        put_events(store, 5)
        await asyncio.wait_for(run_landing(worker, place, QUICK, stop, turned), 30)
        assert [done.rows for done in told[:3]] == [{"events": 5}, {}, {}]

    asyncio.run(scene())


def test_a_second_lander_waits_and_takes_over(worker: Worker, store: Store, place: Place) -> None:
    async def scene() -> None:
        leader = lock_of(place, "lander")
        assert leader.take()
        stop, told = asyncio.Event(), asyncio.Event()

        def turned(done: Turn) -> None:
            if done.leads:
                told.set()

        put_events(store, 5)
        standby = asyncio.create_task(run_landing(worker, place, QUICK, stop, turned))
        await asyncio.wait([standby], timeout=0.2)
        waited = not told.is_set()
        leader.give_back()
        await asyncio.wait_for(told.wait(), 30)
        stop.set()
        await asyncio.wait_for(standby, 30)
        assert (waited, count(place)) == (True, 5)

    with capture_logs() as logged:
        asyncio.run(scene())
    assert [line["event"] for line in logged] == ["landing_waits", "landing_leads"]


def test_turn_by_turn_small_files_are_merged(worker: Worker, store: Store, place: Place) -> None:
    def file_count() -> int:
        with connect(place) as history:
            files = history.sql("SELECT count(*) FROM ducklake_list_files('history', 'events')")
            return int(files.item())

    for _ in range(MANY_FILES + FEW_FILES):
        put_events(store, 1)
        worker.turn()
    until(lambda: worker.turn() and file_count() <= FEW_FILES)


def test_another_process_lands_where_one_was_killed(process: LandingProcess, store: Store) -> None:
    process.turn()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    put_events(store, 5)
    assert process.turn().rows == {"events": 5}


def test_a_turn_that_is_cancelled_ends_at_once(process: LandingProcess, place: Place) -> None:
    """What lands is stopped, so that its turn lasts until somebody kills it."""
    late = threading.Event()

    def kill_late() -> None:
        late.set()
        process.kill()

    async def scene() -> None:
        leads = asyncio.Event()
        landing = asyncio.create_task(
            run_landing(process, place, QUICK, asyncio.Event(), lambda _: leads.set())
        )
        await asyncio.wait_for(leads.wait(), 30)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        leads.clear()
        await asyncio.wait([landing], timeout=0.2)  # by then it asks for the next one
        rescue = threading.Timer(20, kill_late)
        rescue.start()
        landing.cancel()
        await asyncio.wait([landing], timeout=30)
        rescue.cancel()
        assert landing.cancelled()

    asyncio.run(scene())
    assert not late.is_set()


def test_a_stop_waits_for_what_hangs_no_longer_than_the_deadline(
    process: LandingProcess, place: Place, store_url: str, tmp_path: Path
) -> None:
    settings = Settings.model_validate(
        {"data": tmp_path, "store": store_url, "history": QUICK, "enrich": {"drain_seconds": 0.1}}
    )
    process.turn()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)

    async def scene() -> None:
        stop = asyncio.Event()
        stop.set()
        await run_lander(process, settings, place, Metrics(), stop)

    assert ends_by_itself(process, lambda: asyncio.run(scene()))


def test_a_process_that_hangs_is_closed(
    process: LandingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics.landing_process.CLOSE_SECONDS", 0.1)
    process.turn()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    assert ends_by_itself(process, process.close)


def ends_by_itself(process: LandingProcess, act: Callable[[], object]) -> bool:
    """Whether it ends before somebody kills the process."""
    late = threading.Event()

    def kill_late() -> None:
        late.set()
        process.kill()

    rescue = threading.Timer(20, kill_late)
    rescue.start()
    act()
    rescue.cancel()
    return not late.is_set()


def test_a_failure_in_its_process_is_told(store_url: str, tmp_path: Path) -> None:
    (tmp_path / "history").write_text("in the way")
    process = LandingProcess(store_url, place_of(HistorySettings(), tmp_path), QUICK, "info")
    with pytest.raises(LandingFailed, match="history"):
        process.turn()
    process.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_leaves_the_landing_to_the_one_that_stops_it(
    number: signal.Signals, process: LandingProcess, store: Store
) -> None:
    put_events(store, 5)
    process.begin()
    assert process.pid is not None
    os.kill(process.pid, number)
    assert process.turn().rows == {"events": 5}


@contextmanager
def no_more_files() -> Iterator[None]:
    """None may be opened meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_process_that_cannot_be_begun_is_said(process: LandingProcess) -> None:
    with no_more_files(), pytest.raises(LandingFailed, match="Too many open files"):
        process.turn()


def test_a_service_starts_without_the_process_that_cannot_be_begun_yet(
    store: Store, store_url: str, place: Place, tmp_path: Path
) -> None:
    put_events(store, 5)
    settings = Settings(data=tmp_path, store=store_url)
    with ExitStack() as opened:
        with no_more_files():
            process = opened.enter_context(begin_lander(settings, place))
        assert process.turn().rows == {"events": 5}


def test_a_process_that_ends_each_time_is_said(store_url: str, place: Place) -> None:
    process = LandingProcess(store_url, place, QUICK, "no such level")  # at which its start fails
    with pytest.raises(LandingFailed, match="was ended"):
        process.turn()
    process.close()


def test_its_process_gives_way_to_all_others(process: LandingProcess, store_url: str) -> None:
    process.turn()
    assert process.pid is not None
    more = os.getpriority(os.PRIO_PROCESS, process.pid) - os.getpriority(os.PRIO_PROCESS, 0)
    assert more == niceness_beside(store_url) > 0


def test_no_lander_outlives_the_service_that_began_it(tmp_path: Path) -> None:
    (tmp_path / "hooksift.toml").write_text(f'data = "{tmp_path}"\n[receive]\nport = 0\n')
    log = tmp_path / "log"
    service = Process(tmp_path / "hooksift.toml", log)
    until(lambda: "landing_leads" in log.read_text())
    service.end(signal.SIGKILL)
    lock = lock_of(place_of(HistorySettings(), tmp_path), "lander")
    until(lock.take)
    lock.give_back()


def test_a_history_that_cannot_be_written_does_not_end_the_task(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    """A file stands where the folder should be; once it is gone, landing goes on."""

    async def scene() -> None:
        (tmp_path / "data").mkdir()
        blocker = tmp_path / "data" / "history"
        blocker.write_text("in the way")
        place = place_of(HistorySettings(), tmp_path / "data")
        stop, told = asyncio.Event(), asyncio.Event()
        put_events(store, 5)
        worker = LandingWorker(store_url, place, QUICK)
        task = asyncio.create_task(run_landing(worker, place, QUICK, stop, lambda _: told.set()))
        await asyncio.wait([task], timeout=0.2)
        blocker.unlink()
        await asyncio.wait_for(told.wait(), 30)
        stop.set()
        await asyncio.wait_for(task, 30)
        assert count(place) == 5

    asyncio.run(scene())


def test_where_upkeep_fails_landing_goes_on_and_says_so(
    worker: LandingWorker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket may take files and let none be deleted."""

    def refuses(*_: object) -> None:
        raise duckdb.IOException("DeleteObject is not allowed")

    monkeypatch.setattr("analytics.landing.drop_old", refuses)
    put_events(store, 2)
    landed: Counter[str] = Counter()
    with capture_logs() as logged:
        until(lambda: landed.update(worker.turn().rows) or logged)
    put_events(store, 3)
    landed.update(worker.turn().rows)
    assert ([line["event"] for line in logged], landed["events"]) == (["upkeep_failed"], 5)


def test_where_small_files_cannot_be_looked_for_what_was_landed_is_told(
    store: Store, store_url: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise duckdb.IOException("the catalog is busy")

    monkeypatch.setattr("analytics.landing.small_files", refuses)
    put_events(store, 2)
    worker = LandingWorker(store_url, place, HistorySettings(upkeep_seconds=3600))
    with capture_logs() as logged:
        landed = worker.turn().rows
    worker.close()
    assert (landed, [line["event"] for line in logged]) == ({"events": 2}, ["upkeep_failed"])


class Scraped:
    """How far behind the history is, as /metrics says, by a clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.metrics = Metrics()
        self.turned = counted_in(self.metrics, lambda: self.now)

    def turn(self, store_url: str, place: Place) -> None:
        """One turn of a lander."""
        stop = asyncio.Event()
        stop.set()
        worker = LandingWorker(store_url, place, QUICK)
        asyncio.run(run_landing(worker, place, QUICK, stop, self.turned))

    @property
    def lag_seconds(self) -> float | None:
        return self.metrics.registry.get_sample_value("hooksift_landing_lag_seconds")


def test_the_lag_grows_while_landing_fails(store_url: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "history").write_text("in the way")
    scraped = Scraped()
    scraped.now = 1000
    scraped.turn(store_url, place_of(HistorySettings(), tmp_path / "data"))
    scraped.now = 2000
    assert scraped.lag_seconds == 2000


def test_the_lag_ends_with_a_landing_that_goes_well(
    store: Store, store_url: str, place: Place
) -> None:
    scraped = Scraped()
    scraped.now = 1000
    scraped.turn(store_url, place)
    assert scraped.lag_seconds == 0


def test_a_standby_is_not_behind(store_url: str, place: Place) -> None:
    leader = lock_of(place, "lander")
    assert leader.take()
    scraped = Scraped()
    scraped.now = 1000
    scraped.turn(store_url, place)
    leader.give_back()
    assert scraped.lag_seconds == 0


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_its_process_does_without_pandas(process: LandingProcess, store: Store) -> None:
    put_events(store, 5)
    process.turn()
    assert "pandas" not in Path(f"/proc/{process.pid}/maps").read_text()
