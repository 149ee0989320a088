"""`hooksift demo`, as `make demo` runs it."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from analytics.history import packaged_extension

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    """One run of the demo."""
    folder: Path = tmp_path_factory.mktemp("demo") / "data"
    return subprocess.run(
        [sys.executable, "-m", "hooksift", "demo", "--data", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_demo_succeeds(demo: "subprocess.CompletedProcess[str]") -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr


def test_the_demo_says_that_all_adds_up(demo: "subprocess.CompletedProcess[str]") -> None:
    assert "All of it adds up" in demo.stdout


@pytest.mark.parametrize(
    "heading",
    [
        "What became of what each source sent",
        "One event of each source, and what was made of it",
        "Events by category and severity",
        "Latency, milliseconds",
        "Failures by reason",
        "Calls made against events enriched",
    ],
)
def test_the_demo_prints_its_tables(demo: "subprocess.CompletedProcess[str]", heading: str) -> None:
    assert heading in demo.stdout


def test_the_demo_says_what_to_type_next(demo: "subprocess.CompletedProcess[str]") -> None:
    assert "make lab" in demo.stdout
    assert "make serve" in demo.stdout


def test_no_line_of_the_demo_is_wider_than_a_terminal(
    demo: "subprocess.CompletedProcess[str]",
) -> None:
    folder = demo.args[-1]
    lines = demo.stdout.replace(folder, "hooksift-demo").splitlines()
    assert [line for line in lines if len(line) > 100] == []


def test_duckdb_itself_opens_the_history_with_the_file_that_the_demo_names(
    demo: "subprocess.CompletedProcess[str]",
) -> None:
    opening = Path(demo.args[-1]) / "history.sql"
    assert f"duckdb -init {opening}" in demo.stdout
    with duckdb.connect() as connection:
        for name in ("ducklake", "sqlite_scanner"):  # which the command line fetches by itself
            connection.execute(f"LOAD '{packaged_extension(name)}'")
        connection.execute(opening.read_text())
        assert connection.execute("SELECT count(*) FROM wide_events").fetchall() == [(319,)]


def test_the_readme_shows_what_the_demo_prints(demo: "subprocess.CompletedProcess[str]") -> None:
    shown = README.partition("<!-- demo -->\n```\n")[2].partition("```")[0]
    printed = " ".join(demo.stdout.split())
    table, _, summary = shown.strip().partition("\n\n")
    assert " ".join(table.split()) in printed
    assert " ".join(summary.split()) in printed


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("do not remove")
    run = subprocess.run(
        [sys.executable, "-m", "hooksift", "demo", "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert (tmp_path / "precious").exists()
