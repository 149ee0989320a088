"""hooksift check: what is wrong, where, and what ends in an exit code."""

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text

from service.checking import Problem, problems
from service.store import Store
from tests.certificates import Authority
from tests.service.command_line import CommandLine

LONG = "a-secret-that-is-long-enough"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setenv("GOOD", LONG)
    monkeypatch.setenv("OTHER", LONG + "-too")
    monkeypatch.setenv("SHORT", "abc")
    monkeypatch.setenv("README", "replace-me-by-32-random-letters")
    return CommandLine(tmp_path)


def node(store: Store) -> int:
    """The last number that a process took to write."""
    with store.read() as connection:
        fact = text("SELECT number FROM store_facts WHERE name = 'node'")
        return int(connection.execute(fact).scalar_one())


def found(command: CommandLine, config: str, where: str) -> Problem:
    """The one problem at that place of that config."""
    command.configure(config)
    (problem,) = [p for p in problems(command.settings()) if p.where == where]
    return problem


GOOD = '[sources.a]\npreset = "github"\nsecret = "env:GOOD"\n'


def test_a_good_config_has_no_problems(command: CommandLine) -> None:
    command.configure(GOOD)
    assert problems(command.settings()) == []


def test_a_good_config_ends_in_zero_and_says_what_it_comes_to(command: CommandLine) -> None:
    command.configure(GOOD)
    printed = command.run("check", code=0)
    assert "a (github)" in printed
    assert "0 errors, 0 warnings" in printed


ERRORS = {
    'preset = "githb"': ("sources.b.preset", "did you mean 'github'?"),
    'preset = "github"': ("sources.b", "a secret"),
    'preset = "twilio"\npublic_url = "https://h.example/"': ("sources.b", "a secret"),
    'preset = "contentful"\npublic_url = "https://h.example/"': ("sources.b", "a secret"),
    'preset = "meta"\nsecret = "env:OTHER"\nverify_token = "env:NOT_SET"': (
        "sources.b.verify_token",
        "export it",
    ),
    'preset = "github"\nsecret = "env:NOT_SET"': ("sources.b.secret", "export it"),
    'preset = "github"\nsecret = "file:/no/such"': ("sources.b.secret", "create the file"),
    'preset = "github"\nsecret = "env:GOOD"\n[sources.b.override]\nack = 7': ("sources.b", "ack"),
    'preset = "square"\nsecret = "env:OTHER"': ("sources.b.public_url", "receive.public_url"),
    'preset = "twilio"\nsecret = "env:OTHER"': ("sources.b.public_url", "receive.public_url"),
    'preset = "github"\nsecret = "env:OTHER"\nschema_failure = "quarantine"\n'
    'schemas = {"*" = "SCHEMA"}': ("sources.b.schema_failure", "set quarantine"),
    'preset = "github"\nsecret = "env:OTHER"\nschemas = {"*" = "/no/such"}': (
        "sources.b",
        "/no/such",
    ),
}


@pytest.mark.parametrize("config", ERRORS)
def test_a_source_that_cannot_receive_is_an_error(
    command: CommandLine, tmp_path: Path, config: str
) -> None:
    (tmp_path / "schema").write_text("{}")
    where, words = ERRORS[config]
    written = config.replace("SCHEMA", str(tmp_path / "schema"))
    problem = found(command, f"{GOOD}[sources.b]\n{written}\n", where)
    assert problem.severity == "error"
    assert words in f"{problem.what} {problem.remedy}"


@pytest.mark.parametrize("name", ["bad name", "a/b", "a%20b", "\u00fcber", "a?b", ".."])
def test_a_name_that_a_url_cannot_hold_as_it_is_is_an_error(
    command: CommandLine, name: str
) -> None:
    config = GOOD.replace("sources.a", f'sources."{name}"')
    assert found(command, config, f"sources.{name}").severity == "error"


def test_an_unknown_preset_does_not_hide_that_the_secret_is_not_set(command: CommandLine) -> None:
    config = '[sources.b]\npreset = "githb"\nsecret = "env:NOT_SET"\n'
    assert "export it" in found(command, config, "sources.b.secret").remedy


def test_only_what_authentication_takes_is_proposed_for_it(command: CommandLine) -> None:
    proposed = found(command, '[sources.b]\npreset = "airbrake"\n', "sources.b").remedy
    assert proposed == "set secret, and authentication to one of path"


WARNINGS = {
    'preset = "github"\nsecret = "itself"': ("sources.b.secret", "stands in the config"),
    'preset = "github"\nsecret = "env:SHORT"': ("sources.b.secret", "can be guessed"),
    'preset = "github"\nsecret = "env:README"': ("sources.b.secret", "everybody knows"),
    'preset = "github"\nsecret = "env:GOOD"': (
        "sources.a.secret, sources.b.secret",
        "share a secret",
    ),
    'preset = "meta"\nsecret = "env:OTHER"': ("sources.b.verify_token", "cannot be verified"),
    'preset = "meta"\nsecret = "env:OTHER"\nverify_token = "itself, a long one"': (
        "sources.b.verify_token",
        "stands in the config",
    ),
    'preset = "uptime_kuma"': ("sources.b", "anybody may send"),
}


@pytest.mark.parametrize("config", WARNINGS)
def test_what_works_but_is_unsafe_is_a_warning(command: CommandLine, config: str) -> None:
    where, words = WARNINGS[config]
    problem = found(command, f"{GOOD}[sources.b]\n{config}\n", where)
    assert problem.severity == "warning"
    assert words in problem.what


def test_a_secret_s_file_that_others_may_read_is_a_warning(
    command: CommandLine, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    path.write_text(LONG)
    path.chmod(0o644)
    config = f'[sources.b]\npreset = "github"\nsecret = "file:{path}"\n'
    assert found(command, config, "sources.b.secret").remedy == f"chmod 600 {path}"


def test_a_secret_s_file_of_one_s_own_is_no_problem(command: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(LONG)
    path.chmod(0o600)
    command.configure(f'[sources.b]\npreset = "github"\nsecret = "file:{path}"\n')
    assert problems(command.settings()) == []


PLACES = {
    'tls_cert = "/no/such"\ntls_key = "/etc/hostname"': ("receive.tls_cert", "error"),
    'tls_cert = "/etc/hostname"': ("receive.tls_key", "error"),
    'client_ca = "/etc/hostname"': ("receive.client_ca", "error"),
    'public_url = "hooks.example.com"': ("receive.public_url", "error"),
    'host = "0.0.0.0"': ("admin_token", "warning"),
}


@pytest.mark.parametrize("config", PLACES)
def test_the_http_side_is_looked_at(command: CommandLine, config: str) -> None:
    where, severity = PLACES[config]
    assert found(command, f"{GOOD}[receive]\n{config}\n", where).severity == severity


def test_a_key_of_another_certificate_is_an_error_that_names_both(
    command: CommandLine, tmp_path: Path
) -> None:
    issue = Authority(tmp_path).issue
    cert, key = issue("a").cert, issue("b").key
    problem = found(
        command, f'{GOOD}[receive]\ntls_cert = "{cert}"\ntls_key = "{key}"\n', "receive.tls_cert"
    )
    assert problem.what.startswith(f"{cert}, {key} cannot be used together")


def test_a_certificate_with_its_key_is_no_problem(command: CommandLine, tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("a")
    command.configure(f'{GOOD}[receive]\ntls_cert = "{pair.cert}"\ntls_key = "{pair.key}"\n')
    assert problems(command.settings()) == []


def test_a_config_without_sources_is_a_warning(command: CommandLine) -> None:
    assert found(command, "", "sources").severity == "warning"


def test_a_store_that_cannot_be_opened_is_an_error(command: CommandLine) -> None:
    command.configure(GOOD, store="postgresql://nobody@127.0.0.1:9/none")
    assert [p.where for p in problems(command.settings())] == ["store"]


STORES = {
    "postgresql://u:hunter2@127.0.0.1:notaport/x": "write sqlite:///path or postgresql://",
    "postgres://u:hunter2@127.0.0.1/x": "write sqlite:///path or postgresql://",
    "sqlite:///nonexist/dir/store.sqlite": "correct store or data",
    "sqlite:///{folder}/damaged": "restore it from a backup",
}


@pytest.mark.parametrize("url", STORES)
def test_a_store_that_cannot_be_used_gets_the_remedy_that_fits(
    command: CommandLine, tmp_path: Path, url: str
) -> None:
    (tmp_path / "damaged").write_text("no database at all" * 1000)
    command.configure(GOOD, store=url.format(folder=tmp_path))
    (problem,) = problems(command.settings())
    assert (problem.severity, problem.where) == ("error", "store")
    assert problem.remedy.startswith(STORES[url])
    assert "hunter2" not in problem.what


def test_a_store_that_cannot_be_written_is_an_error(
    command: CommandLine, postgres_url: str
) -> None:
    command.configure(GOOD, store=postgres_url)
    name = conninfo_to_dict(postgres_url)["dbname"]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    (problem,) = problems(command.settings())
    assert (problem.severity, problem.where) == ("error", "store")


def test_a_check_takes_no_number_of_those_that_write(
    command: CommandLine, store: Store, store_url: str
) -> None:
    command.configure(GOOD, store=store_url)
    problems(command.settings())
    assert node(store) == 0


def test_a_store_s_file_that_cannot_be_opened_is_named(command: CommandLine) -> None:
    command.configure(GOOD, store="sqlite:///nonexist/dir/store.sqlite")
    (problem,) = problems(command.settings())
    assert "nonexist/dir/store.sqlite cannot be opened" in problem.what


def test_a_preset_of_the_config_that_is_wrong_is_an_error(command: CommandLine) -> None:
    config = f'{GOOD}[presets.mine]\nextends = "github"\nverify = {{algorithm = "x"}}\n'
    assert "algorithm" in found(command, config, "presets.mine").what


def test_a_wrong_preset_s_remedy_names_no_page_that_is_not_there(command: CommandLine) -> None:
    config = '[presets.mine]\nextends = "github"\nack = 7\n'
    assert "docs/" not in found(command, config, "presets.mine").remedy


def test_errors_end_in_one_and_come_first(command: CommandLine) -> None:
    command.configure('[sources.a]\npreset = "githb"\n[receive]\nhost = "0.0.0.0"\n')
    printed = command.run("check", code=1)
    assert printed.index("error  sources.a.preset") < printed.index("warning  admin_token")


def test_warnings_alone_end_in_zero(command: CommandLine) -> None:
    command.configure("")
    command.run("check", code=0)


def test_no_secret_is_printed(command: CommandLine) -> None:
    command.configure(
        '[sources.a]\npreset = "github"\nsecret = "a-literal-secret-here"\n'
        '[sources.b]\npreset = "stripe"\nsecret = "env:GOOD"\n'
        '[sources.c]\npreset = "slack"\nsecret = "env:GOOD"\n'
    )
    printed = command.run("check")
    assert "a-literal-secret" not in printed
    assert LONG not in printed


def test_what_other_packages_look_at_is_told_too(command: CommandLine) -> None:
    command.configure(GOOD)
    told = Problem("warning", "rules", "a rule never applies", "remove it")
    assert problems(command.settings(), [lambda settings: [told]]) == [told]


def test_a_remedy_that_names_a_section_is_printed_whole(command: CommandLine) -> None:
    command.configure()
    printed = command.run("check")
    assert "add [sources.NAME] with" in printed
    assert "0 errors, 1 warning\n" in printed


@pytest.mark.parametrize(
    ("section", "where"),
    [
        ('[receive]\nhost = "no-such-host.invalid"\n', "receive.host"),
        ('[receive]\nhost = "192.0.2.1"\n', "receive.host"),  # for documentation: nobody's own
        ('[metrics]\nport = 0\nhost = "192.0.2.1"\n', "metrics.host"),
    ],
)
def test_a_host_that_is_not_this_machine_is_an_error(
    command: CommandLine, section: str, where: str
) -> None:
    problem = found(command, GOOD + section, where)
    assert (problem.severity, "cannot listen on" in problem.what) == ("error", True)


def test_a_metrics_host_that_nothing_listens_on_is_none(command: CommandLine) -> None:
    command.configure(GOOD + '[metrics]\nhost = "192.0.2.1"\n')
    assert problems(command.settings()) == []


@pytest.mark.parametrize(
    ("config", "where"),
    [
        (GOOD + "[retention]\nkeep_rows_days = 30\n", "retention.keep_bodies_days"),
        (GOOD + "keep_bodies_days = 500\n", "sources.a.keep_bodies_days"),
        (GOOD + "keep_rows_days = 10\n", "sources.a.keep_bodies_days"),
    ],
)
def test_bodies_that_would_outlive_their_rows_are_a_warning(
    command: CommandLine, config: str, where: str
) -> None:
    problem = found(command, config, where)
    assert (problem.severity, "go with their rows" in problem.what) == ("warning", True)


def test_what_the_retention_of_all_says_is_told_once(command: CommandLine) -> None:
    command.configure(GOOD + "[retention]\nkeep_rows_days = 30\n")
    assert [p.where for p in problems(command.settings())] == ["retention.keep_bodies_days"]
