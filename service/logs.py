"""Logs: one JSON line each on standard error, never a body, a header or a secret."""

import atexit
import io
import json
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

import msgspec
import structlog

DELAY_SECONDS = 0.05
LAST_SECONDS = 1.0  # at the end of the process, for a reader who has stalled
MAX_LINES = 100_000  # that wait for a reader who has stalled; older ones are dropped


Words = structlog.typing.EventDict


class DelayedStream(io.TextIOBase):
    """Lines for a stream, made and written by a thread of their own, all of 50 ms together.

    A system call for each line cost a twelfth of an acknowledgement, and a reader of standard
    error that stalls would stall the intake. A process that is killed loses its last 50 ms of
    lines; one that ends writes them.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: deque[str | Words] = deque(maxlen=MAX_LINES)
        self._begun = threading.Event()
        self._writing = threading.Lock()
        self._is_cut = False  # perhaps, what was written last
        threading.Thread(target=self._run, name="log", daemon=True).start()
        atexit.register(self.write_out, LAST_SECONDS)

    def write(self, text: str) -> int:
        """Take a line; it is written soon."""
        self._take(text)
        return len(text)

    def put(self, words: Words) -> None:
        """Take a line's words, which nobody changes any more."""
        self._take(words)

    def _take(self, line: str | Words) -> None:
        self._lines.append(line)
        if not self._begun.is_set():
            self._begun.set()

    def write_out(self, timeout_seconds: float = -1) -> None:
        """Write what waits, after whoever writes now; where that takes too long, let it be."""
        if not self._writing.acquire(timeout=timeout_seconds):
            return
        try:
            taken = []
            while self._lines:
                line = self._lines.popleft()
                taken.append(line if isinstance(line, str) else line_of(line))
            self._write("".join(taken))
        finally:
            self._writing.release()

    def _write(self, lines: str) -> None:
        """Write what a full disk, or a reader who has gone, may refuse: that is lost.

        Its last line may be cut. The next one does not go on where it ended.
        """
        try:
            self._stream.write(f"\n{lines}" if self._is_cut else lines)
            self._stream.flush()
        except (OSError, ValueError):  # the latter where the stream is closed
            self._is_cut = True
        else:
            self._is_cut = False

    def _run(self) -> None:
        while True:
            self._begun.wait()
            time.sleep(DELAY_SECONDS)
            self._begun.clear()
            self.write_out()


def set_up(level: str = "info", stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's logging to one stream of JSON lines."""
    number = logging.getLevelNamesMapping()[level.upper()]
    delayed = DelayedStream(sys.stderr) if stream is None else None
    out: Any = delayed or stream
    put = delayed.put if delayed else lambda words: out.write(line_of(words))
    structlog.configure(
        wrapper_class=lines_from(number),
        logger_factory=lambda *_: put,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(number, logging.INFO))
    # It warns of each request that is not HTTP: strangers would fill the disk with its lines.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    for noisy in ("uvicorn.access", "httpx", "httpx2", "openai", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class Lines(structlog.BoundLoggerBase):
    """A logger of three levels; each call is one step from its words to whoever makes the line.

    The several steps of structlog's own cost a tenth of an acknowledgement.
    """

    def info(self, event: str, **words: Any) -> None:
        """Say what went well."""
        self._write("info", event, words)

    def warning(self, event: str, **words: Any) -> None:
        """Say what somebody should look at."""
        self._write("warning", event, words)

    def error(self, event: str, **words: Any) -> None:
        """Say what failed; `exc_info=True` adds the traceback."""
        self._write("error", event, words)

    def _write(self, level: str, event: str, words: dict[str, Any]) -> None:
        words["event"] = event
        if self._context:
            words = {**self._context, **words}
        self._logger(told(level, words))


def lines_from(number: int) -> type[Lines]:
    """The logger that is silent below a level of the standard library's."""

    def silent(_self: Lines, _event: str, **_words: Any) -> None:
        pass

    levels = ("info", "warning", "error")
    quiet = [name for name in levels if logging.getLevelNamesMapping()[name.upper()] < number]
    return type("Lines", (Lines,), dict.fromkeys(quiet, silent))


def told(level: str, words: Words) -> Words:
    """The words with their level and the time, and what can only be asked now: a traceback."""
    if words.get("exc_info"):
        words = structlog.processors.format_exc_info(None, level, words)
    words["level"] = level
    words["timestamp"] = clock.text()
    return words


def line_of(words: Words) -> str:
    """The line of one event."""
    try:
        return f"{_encode(words).decode()}\n"
    except Exception:  # noqa: BLE001 - a lone surrogate, in a file's name perhaps
        return f"{_plainly(words)}\n"


def _plainly(words: Words) -> str:
    """The words in ASCII, or what of them can be said: no line may end the thread of all lines."""
    try:
        return json.dumps(words, default=repr, skipkeys=True)
    except Exception as error:  # noqa: BLE001
        said = {name: words[name] for name in ("event", "level", "timestamp")}
        return json.dumps({**said, "unwritten": type(error).__name__}, default=str)


def render(_logger: Any, level: str, words: Words) -> str:
    """The same for the standard library's logging, which ends its lines itself."""
    return line_of(told(level, words))[:-1]


class Clock:
    """The time as text in UTC, of which only the microseconds are new within a second."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._known = (0, "1970-01-01T00:00:00")

    def text(self) -> str:
        """ISO 8601 with microseconds."""
        second, microsecond = divmod(self._now_ns() // 1_000, 1_000_000)
        known, text = self._known
        if second != known:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._known = (second, text)
        return f"{text}.{microsecond:06d}Z"


clock = Clock()
_encode = msgspec.json.Encoder(enc_hook=repr).encode
