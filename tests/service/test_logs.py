"""Log lines leave a little later, whole and all of them."""

import io
import json
import subprocess
import sys
import threading

from service.logs import DelayedStream


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
