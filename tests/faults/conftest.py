"""The fault tests say their counts; a table at the end shows them."""

from collections.abc import Iterator
from typing import Any

import pytest
from faults.counting import COLUMNS, Count, table
from faults.crashing_postgres import Server


@pytest.fixture
def count(record_property: Any) -> Count:
    """Say what was counted: acknowledged, refused, stored and so on, as in `counting.COLUMNS`."""

    def say(**counts: int) -> None:
        for name, value in counts.items():
            assert name in COLUMNS
            record_property(name, value)

    return say


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A PostgreSQL of the test's own."""
    made = Server(tmp_path_factory.mktemp("crashing"))
    yield made
    made.stop()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Every test that counted something."""
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if report.when == "call" and any(name in COLUMNS for name, _ in report.user_properties)
    ]
    if reports:
        terminalreporter.section("faults")
        tests = [(r.nodeid, r.outcome, dict(r.user_properties)) for r in reports]
        for line in table(tests):
            terminalreporter.write_line(line)
