"""Ctrl-C while a command's service starts: what had begun ends in its order, without a traceback.

The signal comes from the process itself, while it imports what takes the longest.
"""

import subprocess
import sys
from pathlib import Path

import pytest

INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from hooksift import main
main()
"""


def interrupted(folder: Path, command: str, module: str) -> "subprocess.CompletedProcess[str]":
    """The command, to which Ctrl-C comes as it imports the module."""
    (folder / "data").mkdir()
    config = folder / "hooksift.toml"
    config.write_text(f'data = "{folder / "data"}"\n[receive]\nport = 0\n')
    code = INTERRUPTED.format(module=module)
    return subprocess.run(
        [sys.executable, "-c", code, "--config", str(config), command],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("serve", "litestar"),
        ("receive", "litestar"),
        ("work", "enrich.actions.worker"),
        ("land", "analytics.landing_task"),
    ],
)
def test_ctrl_c_while_it_starts_is_a_graceful_stop(
    tmp_path: Path, command: str, module: str
) -> None:
    ended = interrupted(tmp_path, command, module)
    assert (ended.returncode, '"event":"stopping"' in ended.stderr) == (0, True), ended.stderr


@pytest.mark.parametrize("command", ["serve", "receive", "work", "land"])
def test_ctrl_c_before_that_ends_it_without_a_traceback(tmp_path: Path, command: str) -> None:
    ended = interrupted(tmp_path, command, "service.stopping")
    assert (ended.returncode, "Traceback" in ended.stderr) == (130, False), ended.stderr
