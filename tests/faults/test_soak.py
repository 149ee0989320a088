"""The short form of `make soak`: too short to judge the growth of memory, which has its bound."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.heavy
def test_two_minutes_at_a_fixed_rate_stay_within_their_bounds() -> None:
    command = [sys.executable, "-m", "tests.bench.soak", "--minutes", "2", "--rate", "50"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    print(ended.stdout)
    assert ended.returncode == 0, ended.stdout + ended.stderr
