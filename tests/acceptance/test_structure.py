"""The architecture that the folders promise."""

import subprocess
import sys
from pathlib import Path

import pytest


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a statement loads, in a new interpreter."""
    code = f"import sys\n{statement}\nprint(' '.join({{m.split('.')[0] for m in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_imports_point_left() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([linter], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("absent", ["openai", "duckdb", "polars", "enrich", "analytics"])
def test_the_receiver_loads_no_later_stage(absent: str) -> None:
    assert absent not in loaded_by(
        "import service.receiving.app, service.receiving.assembly, service.receiving.serving"
    )


@pytest.mark.parametrize("absent", ["litestar", "service", "enrich", "openai"])
def test_a_notebook_loads_no_earlier_stage(absent: str) -> None:
    assert absent not in loaded_by("import analytics")


@pytest.mark.parametrize("absent", ["openai", "duckdb", "polars"])
def test_the_command_line_loads_a_stage_only_when_it_is_needed(absent: str) -> None:
    assert absent not in loaded_by("import hooksift; hooksift.register_commands()")


@pytest.mark.parametrize("absent", ["duckdb", "pyarrow", "polars"])
def test_who_only_asks_for_landings_loads_nothing_of_the_history(absent: str) -> None:
    assert absent not in loaded_by("import analytics.landing_task")


def test_the_lander_does_without_polars() -> None:
    assert "polars" not in loaded_by("import analytics.landing")
