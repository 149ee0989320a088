"""hooksift.toml: wrong values are named with file, key, value and remedy; secrets never shown."""

from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hooksift
from service.errors import SettingsError


def complaint(tmp_path: Path, text: str) -> str:
    """What is said of a configuration that cannot be read."""
    path = tmp_path / "hooksift.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        hooksift.load_settings(path)
    return str(caught.value)


def test_a_wrong_value_is_named_with_file_key_and_value(tmp_path: Path) -> None:
    said = complaint(tmp_path, "[receive]\nport = 99999\n")
    assert said == (
        f"{tmp_path / 'hooksift.toml'}: receive.port:"
        " Input should be less than or equal to 65535 (got '99999')"
    )


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    assert "receive.prot: no such key" in complaint(tmp_path, "[receive]\nprot = 1\n")


NEAR = {
    "[receive]\nprot = 1\n": "receive.prot: no such key; did you mean 'port'?",
    "[recieve]\nport = 1\n": "recieve: no such key; did you mean 'receive'?",
    '[targets.a]\nadapter = "slak"\n': "targets.a: no such adapter 'slak'; did you mean 'slack'?",
    '[sources.a]\npreset = "x"\nsecrt = "y"\n': "a.secrt: no such key; did you mean 'secret'?",
    '[enrich.models.m]\nmodel = "m"\nbase = "y"\n': "did you mean 'base_url'?",
    '[targets.t]\nadapter = "slack"\nurl = "env:U"\ntimeout_second = 1\n': "'timeout_seconds'?",
    "[receive]\nxyz = 1\n": "receive.xyz: no such key; see `hooksift settings`",
}


@pytest.mark.parametrize("text", NEAR)
def test_an_unknown_key_comes_with_the_one_that_was_probably_meant(
    tmp_path: Path, text: str
) -> None:
    assert NEAR[text] in complaint(tmp_path, text)


SOURCE = '[sources.a]\npreset = "github"\n'
TOO_LONG = {
    "[receive]\ndedup_days": 1e6,
    "[retention]\nkeep_bodies_days": 1e6,
    "[retention]\nkeep_rows_days": 1e6,
    "[retention]\nkeep_refusals": 10**20,
    f"{SOURCE}keep_bodies_days": 1e6,
    f"{SOURCE}keep_rows_days": 1e6,
    "[enrich]\nlease_seconds": 1e15,
    "[enrich]\nreuse_lifetime_seconds": 1e15,
    "[enrich]\nmax_retry_seconds": 1e15,
    "[act]\nretry_after": "[1e15]",
    "[history]\nsnapshot_hours": 1e9,
    "[history]\nfile_hours": 1e9,
}


@pytest.mark.parametrize("key", TOO_LONG)
def test_a_time_that_no_clock_could_tell_is_refused(tmp_path: Path, key: str) -> None:
    said = complaint(tmp_path, f"{key} = {TOO_LONG[key]}\n")
    assert "Input should be less than or equal to" in said


NOT_FINITE = (
    "[receive]\nbody_timeout_seconds = inf\n",
    "[retention]\ninterval_minutes = nan\n",
    f"{SOURCE}per_second = inf\n",
    "[enrich]\npoll_seconds = inf\n",
    '[enrich.models.m]\nmodel = "m"\ninput_usd_per_million = inf\n',
    '[targets.t]\nadapter = "slack"\nurl = "env:U"\ncalls_per_second = inf\n',
    "[history]\nupkeep_seconds = inf\n",
)


@pytest.mark.parametrize("text", NOT_FINITE)
def test_a_number_without_end_is_refused(tmp_path: Path, text: str) -> None:
    assert "Input should be a finite number" in complaint(tmp_path, text)


def test_a_rule_is_named_by_its_name(tmp_path: Path) -> None:
    said = complaint(tmp_path, '[[rules]]\nname = "page"\nactions = []\nwhen = { sorce = "a" }\n')
    assert "rules.page.when.sorce: no such key; did you mean 'source'?" in said


@pytest.mark.parametrize("has_file", [True, False])
def test_a_wrong_variable_is_named_and_no_file_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_file: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    if has_file:
        (tmp_path / "hooksift.toml").write_text("[receive]\nport = 1\n")
    monkeypatch.setenv("HOOKSIFT_RECEIVE__PROT", "1")
    with pytest.raises(SettingsError, match=r"^HOOKSIFT_RECEIVE__PROT: receive.prot: no such key"):
        hooksift.load_settings()


def test_a_section_in_a_variable_that_is_no_json_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOOKSIFT_RECEIVE", "port")
    with pytest.raises(SettingsError, match=r"receive.*write JSON"):
        hooksift.load_settings()


def test_a_variable_that_is_no_setting_is_told_by_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hooksift.toml"
    path.write_text('admin_token = "env:HOOKSIFT_ADMIN"\n')
    fine = ("RECEIVE__PORT", "ADMIN", "HISTORY_PATH", "CONFIG", "TEST_NO_SKIP")
    for name in ("RECIEVE__PORT", *fine):
        monkeypatch.setenv(f"HOOKSIFT_{name}", "1")
    told = [(p.where, p.remedy) for p in hooksift.check_environment(hooksift.load_settings(path))]
    assert told == [("HOOKSIFT_RECIEVE__PORT", "did you mean 'RECEIVE'?")]


def test_the_version_can_be_asked() -> None:
    said = CliRunner().invoke(hooksift.app, ["--version"]).output
    assert said == f"hooksift {version('hooksift')}\n"


def test_each_thing_wrong_gets_its_own_line(tmp_path: Path) -> None:
    said = complaint(tmp_path, '[receive]\nport = "x"\nprot = 1\nlog = 2\n')
    assert len(said.splitlines()) == 3


def test_a_file_that_is_no_toml_is_named_with_the_place(tmp_path: Path) -> None:
    assert "line 1" in complaint(tmp_path, "[receive\n")


def test_a_file_that_is_not_utf_8_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "hooksift.toml"
    path.write_bytes('[receive]\nhost = "büro"\n'.encode("latin-1"))
    with pytest.raises(SettingsError) as caught:
        hooksift.load_settings(path)
    assert str(caught.value) == f"{path}: not UTF-8 in line 2; save it as UTF-8"


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hooksift.toml"
    path.write_text("[receive]\nport = 8081\n")
    monkeypatch.setenv("HOOKSIFT_RECEIVE__PORT", "8082")
    assert hooksift.load_settings(path).receive.port == 8082


@pytest.mark.parametrize(
    "text",
    [
        '[sources.a]\npreset = "github"\nsecret = { a = "hunter2" }\n',
        '[targets.t]\nadapter = "slack"\nurl = ["hunter2"]\n',
        '[enrich.models.m]\nmodel = "m"\napi_key = ["hunter2"]\n',
        '[sources.a]\nprest = "github"\nsecret = "hunter2"\n',
        '[enrich.models.stub]\napi_key = "hunter2"\nmodel = "m"\n',
    ],
)
def test_a_secret_in_the_wrong_place_is_not_shown(tmp_path: Path, text: str) -> None:
    assert "hunter2" not in complaint(tmp_path, text)
