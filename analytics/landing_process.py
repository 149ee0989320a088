"""Landing in a process of its own, beside one that receives.

Most of a landing is done by DuckDB and Arrow, in steps that hold Python's lock: on a thread it was
most of what the slowest acknowledgements waited for. And where the system ends a process that ran
out of memory, that is not the receiver.
"""

import multiprocessing
import os
import signal
import sys
import threading
from contextlib import suppress
from importlib.abc import MetaPathFinder
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from analytics.errors import LandingFailed
from analytics.landing_worker import LandingWorker, Turn, said_by
from analytics.place import Place
from analytics.settings import HistorySettings
from service.garbage import settle_memory
from service.logs import set_up

CLOSE_SECONDS = 10.0
STOPS = {signal.SIGINT, signal.SIGTERM}


class LandingProcess:
    """A `LandingWorker` in a process of its own; another one where that one was killed.

    It hears of no signal to stop that reaches all processes of a service: what is still enriched
    then is to be landed. It ends with whoever began it, however that ended.
    """

    def __init__(
        self, store_url: str, place: Place, settings: HistorySettings, log_level: str
    ) -> None:
        self._arguments = (store_url, place, settings, log_level)
        self._process: SpawnProcess | None = None
        self._line: Connection | None = None
        self._is_killed = False

    @property
    def pid(self) -> int | None:
        """Its number; None while there is none."""
        return self._process.pid if self._process else None

    def turn(self) -> Turn:
        """Have it land once, and tidy up a little when it is time.

        Raises LandingFailed, also where no process can be begun, or another was ended meanwhile.
        """
        try:
            try:
                return self._ask()
            except (EOFError, ConnectionError):  # it was ended, perhaps since the last turn
                self._drop()
                return self._ask()
        except (EOFError, ConnectionError):
            self._drop()
            raise LandingFailed("the process that lands was ended") from None
        except (OSError, RuntimeError) as error:  # no memory, or no more processes allowed
            self._drop()
            raise LandingFailed(f"no process to land in: {error}") from error

    def _ask(self) -> Turn:
        if self._is_killed:
            raise LandingFailed("the process that lands was ended")
        line = self.begin()
        line.send("turn")
        answer: Turn | str = line.recv()
        if isinstance(answer, Turn):
            return answer
        raise LandingFailed(answer)

    def begin(self) -> Connection:
        """Begin it, where there is none: the line to it."""
        if self._line is not None:
            return self._line
        self._line, line = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=land_when_asked, args=(line, *self._arguments), name="landing", daemon=True
        )
        resource_tracker.ensure_running()  # which would end the mask
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # a new process takes it over
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            line.close()  # so that the end of the process is the end of the line
        self._process = process
        return self._line

    def close(self) -> None:
        """Let it close everything, and wait for its end; kill it where that does not come."""
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            self._process.join(CLOSE_SECONDS)
            self._process.kill()
            self._process.join()
        self._line = self._process = None

    def kill(self) -> None:
        """End it for good: a landing under way has not happened, and its turn fails."""
        self._is_killed = True
        if self._process is not None:
            self._process.kill()

    def _drop(self) -> None:
        if self._process is not None:
            self._process.kill()
        self.close()


class WithoutPandas(MetaPathFinder):
    """Arrow and DuckDB load pandas where it is installed, though none of it is given to them.

    It takes 40 MB.
    """

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """Raises ModuleNotFoundError for pandas."""
        if name == "pandas":
            raise ModuleNotFoundError("the lander does without pandas", name=name)


def land_when_asked(
    line: Connection, store_url: str, place: Place, settings: HistorySettings, log_level: str
) -> None:
    """Answer each message with a Turn, or with what went wrong, until the other end is closed."""
    set_up(log_level)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    sys.meta_path.insert(0, WithoutPandas())
    import analytics.landing  # noqa: F401 - before it gives way: half a second of work

    settle_memory()
    os.nice(niceness_beside(store_url))
    worker = LandingWorker(store_url, place, settings)
    while True:
        try:
            line.recv()
        except EOFError:
            break
        try:
            answer: Turn | str = worker.turn()
        except Exception as error:  # noqa: BLE001 - whatever it was, the next turn begins anew
            answer = said_by(error)
        line.send(answer)
    with suppress(Exception):  # its locks are free with its end
        worker.close()


def niceness_beside(store_url: str) -> int:
    """How much it gives way. With less, acknowledgements on a busy core took longer, sooner beside
    PostgreSQL's own processes; with more the history fell behind.
    """
    return 12 if store_url.startswith("postgresql") else 8


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # a landing under way has not happened
