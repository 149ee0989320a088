"""Log lines leave a little later, whole and all of them."""

import errno
import io
import json
import subprocess
import sys
import threading

import pytest

from service.logs import Clock, DelayedStream, told


class Waiting(io.StringIO):
    """A stream that tells when it has so many lines."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.complete = threading.Event()

    def flush(self) -> None:
        if self.getvalue().count("\n") >= self.count:
            self.complete.set()


def test_lines_of_many_threads_arrive_whole() -> None:
    stream = Waiting(4_000)
    delayed = DelayedStream(stream)

    def write(number: int) -> None:
        for line in range(1_000):
            delayed.write(f"{number}-{line}\n")

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    assert stream.complete.wait(30)
    expected = {f"{number}-{line}" for number in range(4) for line in range(1_000)}
    assert set(stream.getvalue().split()) == expected


def test_a_process_that_ends_writes_its_last_line() -> None:
    code = "import structlog, service.logs as l; l.set_up(); structlog.get_logger().info('x')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr)["event"] == "x"


class Full(Waiting):
    """A stream on a disk that is full until somebody makes room: a line is cut where it ended."""

    def __init__(self) -> None:
        super().__init__(1)
        self.room = threading.Event()
        self.refused = threading.Event()

    def write(self, text: str) -> int:
        if self.room.is_set():
            return super().write(text)
        super().write(text[: len(text) // 2])
        self.refused.set()
        raise OSError(errno.ENOSPC, "No space left on device")


def test_lines_are_written_again_once_there_is_room() -> None:
    stream = Full()
    delayed = DelayedStream(stream)
    delayed.write("lost\n")
    assert stream.refused.wait(30)
    stream.room.set()
    delayed.write("next\n")
    assert stream.complete.wait(30)
    assert stream.getvalue().splitlines()[-1] == "next"


class Unsayable:
    """What cannot even be shown."""

    def __repr__(self) -> str:
        raise ValueError("not to be shown")


@pytest.mark.parametrize("word", ["\ud800", {1, 2}, ValueError("x"), Unsayable()])
def test_a_word_that_json_does_not_know_costs_no_line(word: object) -> None:
    stream = Waiting(2)
    delayed = DelayedStream(stream)
    delayed.put(told("info", {"event": "odd", "word": word}))
    delayed.put(told("info", {"event": "next"}))
    assert stream.complete.wait(30)
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["odd", "next"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_772_442_900.000_001, "2026-03-02T09:15:00.000001Z"),
        (1_772_442_900.999_999, "2026-03-02T09:15:00.999999Z"),
        (1_772_442_901, "2026-03-02T09:15:01.000000Z"),
    ],
)
def test_the_time_of_a_line_is_in_utc_to_the_microsecond(seconds: float, text: str) -> None:
    times = iter([round(seconds * 1_000_000) * 1_000] * 2)
    clock = Clock(lambda: next(times))
    assert [clock.text(), clock.text()] == [text, text]
