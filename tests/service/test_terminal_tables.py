"""Tables on a terminal of 80 columns: nothing is cut, nothing runs over."""

from datetime import UTC, datetime

import pytest

from service.cli.looking import cell_of, print_events, print_table

ID = "384878600177848321"
TITLES = ["id", "received (UTC)", "source", "type", "title", "state"]
LONG = "The export of the orders report is cut off at exactly 10,000 rows"
ROW = [ID, "01-28 01:30:08", "github-issues", "issues.opened", LONG, "other/medium"]


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")


def test_a_row_that_is_too_wide_puts_one_column_below(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(TITLES, [ROW], below="title")
    assert capsys.readouterr().out.splitlines() == [
        "id                  received (UTC)  source         type           state",
        f"{ID}  01-28 01:30:08  github-issues  issues.opened  other/medium",
        f"  {LONG}",
    ]


def test_a_table_that_fits_keeps_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["id", "title"], [[ID, "short"]], below="title")
    assert f"{ID}  short" in capsys.readouterr().out


def test_a_long_word_is_folded_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    reason, address = "timestamp_out_of_tolerance", "2001:db8:abcd:ef01::/64"
    print_table(["id", "source", "reason", "from"], [[ID, "github-issues", reason, address]])
    _, first, second = (line.split() for line in capsys.readouterr().out.splitlines())
    assert first[:2] == [ID, "github-issues"]
    assert [a + b for a, b in zip(first[2:], second, strict=True)] == [reason, address]


def test_a_senders_long_type_widens_no_other_row(capsys: pytest.CaptureFixture[str]) -> None:
    row: dict[str, object] = {
        "received_at": None,
        "source": "own",
        "title": "",
        "dead": "",
        "category": "other",
    }
    row |= {"severity": "low", "degraded": False, "waiting": ""}
    print_events([{**row, "id": n, "event_type": "t" * n} for n in (1, 1000)])
    assert max(map(len, capsys.readouterr().out.splitlines())) < 120


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(TITLES, [], below="title")
    assert capsys.readouterr().out == "nothing found\n"


def test_a_time_of_another_year_is_told_with_its_year() -> None:
    assert cell_of(datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)) == "2001-02-03 04:05:06"


def test_a_time_of_this_year_is_told_without() -> None:
    now = datetime.now(UTC)
    assert cell_of(now) == f"{now:%m-%d %H:%M:%S}"
