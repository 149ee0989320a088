"""The real program as a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path


class Process:
    """One run of `hooksift serve` (or another command that listens)."""

    def __init__(self, config: Path, log: Path, command: str = "serve", *more: str) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("HOOKSIFT_")}
        with log.open("ab") as out:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "hooksift", "--config", str(config), command, *more],
                stdout=subprocess.PIPE,
                stderr=out,
                text=True,
                env=environment,
            )
        self.url = self._url(log)

    def _url(self, log: Path) -> str:
        assert self.popen.stdout
        for line in self.popen.stdout:
            for word in line.split():
                if word.startswith(("http://", "https://")):
                    return word
        raise AssertionError(f"did not start:\n{log.read_text()[-3000:]}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        code = self.popen.wait(timeout=60)
        if self.popen.stdout:
            self.popen.stdout.close()
        return code
