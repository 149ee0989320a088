"""hooksift.toml: wrong values are named with file, key, value and remedy; secrets never shown."""

from pathlib import Path

import pytest

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


def test_each_thing_wrong_gets_its_own_line(tmp_path: Path) -> None:
    said = complaint(tmp_path, '[receive]\nport = "x"\nprot = 1\nlog = 2\n')
    assert len(said.splitlines()) == 3


def test_a_file_that_is_no_toml_is_named_with_the_place(tmp_path: Path) -> None:
    assert "line 1" in complaint(tmp_path, "[receive\n")


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
