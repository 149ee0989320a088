"""The commands of the enrich stage, as they are typed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from sqlalchemy import Connection, text
from typer.testing import CliRunner, Result
from work import Clock, event, make_worker, put, rows, step

import enrich.actions.commands
import enrich.commands
from enrich.fingerprint import Fingerprinter
from enrich.prompt import build_prompt, version_of
from enrich.settings import ModelSettings
from enrich.taxonomy import built_in_taxonomy
from hooksift import load_settings
from service.errors import SettingsError
from service.store import Store, open_store

CONFIG = """
store = "sqlite:///{store}"
[sources.tickets]
preset = "standard-webhooks"
secret = "env:NOTHING"
taxonomy = "support"
[enrich.models.main]
model = "gpt-4.1-mini"
api_key = "none"
input_usd_per_million = 1.0
"""
PRINT = "v1-0123456789abcdef0123456789abcdef"
Run = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with one enriched event, closed again."""
    opened = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    put(opened, event(1, title="Charged twice", body="Write to bob@example.com, please refund"))
    step(make_worker(opened, Clock()))
    opened.close()
    return opened


@pytest.fixture
def run(store: Store, tmp_path: Path) -> Run:
    config = tmp_path / "hooksift.toml"
    config.write_text(CONFIG.format(store=tmp_path / "store.sqlite"))
    app = typer.Typer()
    enrich.actions.commands.register(app, lambda: load_settings(config))
    enrich.commands.register(app, lambda: load_settings(config))
    return lambda *words: CliRunner().invoke(app, list(words))


def reread(tmp_path: Path, statement: str) -> list[tuple[object, ...]]:
    opened = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    found = rows(opened, statement)
    opened.close()
    return found


def test_prompt_shows_an_event_as_it_would_leave(run: Run) -> None:
    assert "Write to [email], please refund" in run("prompt", "tickets", "--event", "1").output


def test_prompt_shows_the_examples_that_people_labelled(run: Run) -> None:
    run("label", "1", "--category", "complaint")
    assert '"category": "complaint"' in run("prompt", "tickets", "--event", "1").output


def test_prompt_masks_nothing_where_the_source_is_not_masked(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "hooksift.toml").open("a") as config:
        config.write("[enrich.sources.tickets]\nredact = false\n")
    assert "Write to bob@example.com" in run("prompt", "tickets", "--event", "1").output


def test_prompt_names_the_version_that_answers_are_kept_under(run: Run, tmp_path: Path) -> None:
    config = (tmp_path / "hooksift.toml").read_text()
    (tmp_path / "hooksift.toml").write_text(f'{config}[enrich]\nenrichers = ["main"]\n')
    model = ModelSettings(model="gpt-4.1-mini")
    version = version_of(build_prompt(built_in_taxonomy("support")), model, 6)
    assert f"# asked of main (gpt-4.1-mini) as prompt {version}" in run("prompt", "tickets").output


def test_prompt_says_when_no_model_is_asked(run: Run) -> None:
    assert "# asked of nobody: enrichers of tickets are stub" in run("prompt", "tickets").output


def test_prompt_refuses_an_event_of_another_source(run: Run, tmp_path: Path) -> None:
    with (tmp_path / "hooksift.toml").open("a") as config:
        config.write('[sources.other]\npreset = "standard-webhooks"\nsecret = "env:NOTHING"\n')
    result = run("prompt", "other", "--event", "1")
    assert "is of source 'tickets'" in str(result.exception)


def test_prompt_knows_its_sources(run: Run) -> None:
    result = run("prompt", "nobody")
    assert isinstance(result.exception, SettingsError)


def test_fingerprint_prints_one_for_each_line(run: Run, tmp_path: Path) -> None:
    lines = ["disk 1 full", "disk 2 full", "disk failed"]
    (tmp_path / "log").write_text("".join(json.dumps({"message": m}) + "\n" for m in lines))
    printer = Fingerprinter()
    wanted = [printer.fingerprint(m).print for m in lines]
    assert run("fingerprint", str(tmp_path / "log")).output.split() == wanted


def test_fingerprint_names_a_line_that_is_none(run: Run, tmp_path: Path) -> None:
    (tmp_path / "log").write_text('{"message": "x"}\n{"msg": "y"}\n')
    result = run("fingerprint", str(tmp_path / "log"))
    assert "line 2" in str(result.exception)


def test_label_records_a_persons_word(run: Run, tmp_path: Path) -> None:
    run("label", "1", "--category", "complaint", "--author", "ann")
    assert reread(tmp_path, "SELECT field, value, author FROM labels") == [
        ("category", "complaint", "ann")
    ]


def test_label_refuses_what_the_taxonomy_does_not_know(run: Run) -> None:
    result = run("label", "1", "--category", "nonsense")
    assert "there are billing" in str(result.exception)


def test_eval_compares_side_by_side(run: Run, tmp_path: Path) -> None:
    lines = "".join(
        f"the parcel {i} is late,delivery\nI paid {i} twice,billing\n" for i in range(9)
    )
    (tmp_path / "x.csv").write_text("text,category\n" + lines)
    output = run("eval", str(tmp_path / "x.csv"), "--examples", "0", "--examples", "6").output
    assert "stub, 6 examples" in output


def test_enrich_again_tells_the_price_and_asks_nobody(run: Run, tmp_path: Path) -> None:
    result = run("enrich-again", "--since", "2026-01-01", "--model", "main", "--dry-run")
    assert "calls: 1" in result.output
    assert reread(tmp_path, "SELECT id FROM enrichments WHERE candidate") == []


def test_enrich_again_keeps_candidates_until_applied(run: Run, tmp_path: Path) -> None:
    run("enrich-again", "--since", "2026-01-01", "--prompt", "errors")
    found = reread(tmp_path, "SELECT candidate FROM enrichments ORDER BY revision")
    assert [bool(flag) for (flag,) in found] == [False, True]


def test_enrich_again_applies_when_told(run: Run, tmp_path: Path) -> None:
    run("enrich-again", "--since", "2026-01-01", "--prompt", "errors", "--apply")
    found = reread(tmp_path, "SELECT candidate FROM enrichments ORDER BY revision")
    assert [bool(flag) for (flag,) in found] == [False, True, False]


def stand_for_copies(connection: Connection, _tx: int, _: object) -> list[None]:
    connection.execute(
        text(
            "INSERT INTO reuse (digest, source, fingerprint, enrichment_id, expires_at)"
            " SELECT :digest, 'tickets', :print, id, 1 FROM enrichments"
        ),
        {"digest": b"d", "print": PRINT},
    )
    return [None]


def share(tmp_path: Path) -> str:
    """Let the one enrichment stand for copies of a print."""
    opened = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    opened.write_now(stand_for_copies, None)
    opened.close()
    return PRINT


def test_no_fingerprints_is_said(run: Run) -> None:
    assert "learned patterns, <*> varies: none yet" in run("fingerprints", "list").output


def test_a_shared_fingerprint_is_shown_whole_on_80_columns(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    assert share(tmp_path) in run("fingerprints", "list").output


def test_fingerprints_are_shown_as_json(run: Run, tmp_path: Path) -> None:
    shown = json.loads(run("fingerprints", "list", "--json").output if share(tmp_path) else "")
    assert (shown["fingerprint"], shown["copy_count"]) == (PRINT, 0)


def test_a_fingerprint_is_forgotten(run: Run, tmp_path: Path) -> None:
    assert "1 forgotten" in run("fingerprints", "forget", "tickets", share(tmp_path)).output


def test_forgetting_what_is_not_there_fails(run: Run) -> None:
    result = run("fingerprints", "forget", "tickets", "abc")
    assert (result.exit_code, "nothing matched: source tickets" in result.output) == (1, True)


def test_forgetting_of_an_unknown_source_names_those_there_are(run: Run) -> None:
    said = str(run("fingerprints", "forget", "nope").exception)
    assert said == "no source 'nope'; configured are tickets"


def test_no_actions_is_said_in_words_with_what_to_do(run: Run) -> None:
    assert run("actions").output.startswith("no write-back or notification was tried; `hooksift")
