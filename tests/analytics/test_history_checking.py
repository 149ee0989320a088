"""hooksift check, of [history]: what keeps the history from being written or found."""

import socket
from pathlib import Path

import pytest
from sqlalchemy import make_url

from analytics.checking import problems
from analytics.errors import HistoryError
from analytics.place import Place, place_of
from analytics.settings import HistorySettings, S3Settings
from service.checking import Problem

AWAY = "postgresql://me:hunter2@127.0.0.1:1/history"


def found(settings: HistorySettings, data: Path) -> dict[str, Problem]:
    """The problems by where they are."""
    return {problem.where: problem for problem in problems(settings, data)}


def test_a_fresh_data_folder_is_no_problem(tmp_path: Path) -> None:
    assert found(HistorySettings(), tmp_path) == {}


def test_a_history_that_was_landed_is_no_problem(made_place: Place, tmp_path: Path) -> None:
    assert found(HistorySettings(catalog=made_place.catalog), tmp_path) == {}


@pytest.mark.parametrize(
    "settings", [HistorySettings(catalog="env:X"), HistorySettings(s3=S3Settings(secret="env:X"))]
)
def test_a_variable_that_is_not_set_is_no_empty_value(
    settings: HistorySettings, tmp_path: Path
) -> None:
    with pytest.raises(HistoryError, match="environment variable X is not set; export it"):
        place_of(settings, tmp_path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="/no/such"):
        place_of(HistorySettings(catalog="file:/no/such"), tmp_path)


@pytest.mark.parametrize("key", ["catalog", "s3.secret"])
def test_a_secret_that_is_not_set_is_an_error_of_its_key(key: str, tmp_path: Path) -> None:
    values = {"catalog": "env:X"} if key == "catalog" else {"s3": {"secret": "env:X"}}
    problem = found(HistorySettings.model_validate(values), tmp_path)[f"history.{key}"]
    assert (problem.severity, problem.remedy) == ("error", "export it")


def test_a_catalog_that_is_away_is_an_error_without_its_password(tmp_path: Path) -> None:
    problem = found(HistorySettings(catalog=AWAY, files=str(tmp_path)), tmp_path)["history"]
    assert problem.severity == "error"
    assert "hunter2" not in problem.what


def test_a_catalog_behind_a_silent_firewall_is_an_error_within_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/history"
        problem = found(HistorySettings(catalog=away, files=str(tmp_path)), tmp_path)["history"]
    assert "timeout expired" in problem.what


def test_a_damaged_catalog_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_text("no database at all" * 100)
    settings = HistorySettings(catalog=str(tmp_path / "catalog.sqlite"))
    assert found(settings, tmp_path)["history"].severity == "error"


def test_files_of_one_machine_under_a_shared_catalog_are_a_warning(tmp_path: Path) -> None:
    assert found(HistorySettings(catalog=AWAY), tmp_path)["history.files"].severity == "warning"


def test_a_password_in_the_config_is_a_warning(tmp_path: Path) -> None:
    settings = HistorySettings(catalog=AWAY, s3=S3Settings(secret="hunter2"))
    literal = [p.where for p in problems(settings, tmp_path) if "itself stands" in p.what]
    assert literal == ["history.s3.secret", "history.catalog"]


def test_a_database_that_does_not_exist_is_an_error(empty_database: str, tmp_path: Path) -> None:
    other = make_url(empty_database).set(database="no_such").render_as_string(hide_password=False)
    settings = HistorySettings(catalog=other, files=str(tmp_path / "files"))
    assert found(settings, tmp_path)["history"].severity == "error"


def test_a_catalog_on_postgresql_that_holds_nothing_yet_is_no_problem(
    empty_database: str, tmp_path: Path
) -> None:
    settings = HistorySettings(catalog=empty_database, files=str(tmp_path / "files"))
    assert not [p for p in problems(settings, tmp_path) if p.severity == "error"]
