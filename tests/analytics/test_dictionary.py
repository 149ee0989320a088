"""The dictionary, the docs and the store agree."""

from pathlib import Path

import pytest
from sqlmodel import SQLModel

import enrich.tables  # noqa: F401 - its tables must be known to SQLModel
from analytics.dictionary import FACTS, TABLES, Table
from analytics.dictionary_page import MEANT, as_markdown
from analytics.history import History
from analytics.views import VIEWS

NOT_LANDED = {"events": {"tx", "payload"}}  # the payload is the body's other form
TABLE_NAMES = [table.name for table in TABLES]


def test_the_docs_are_the_dictionary() -> None:
    docs = Path(__file__).parents[2] / "docs" / "dictionary.md"
    assert docs.read_text(encoding="utf-8") == as_markdown(), (
        "run python -m analytics.dictionary_page"
    )


def test_the_docs_have_every_view() -> None:
    assert MEANT.keys() == VIEWS.keys()


@pytest.mark.parametrize("table", FACTS, ids=[table.name for table in FACTS])
def test_every_fact_of_the_store_has_its_column(table: Table) -> None:
    stored = set(SQLModel.metadata.tables[table.name].c.keys())
    assert stored - NOT_LANDED.get(table.name, {"tx"}) <= set(table.names)


@pytest.mark.parametrize("table", TABLES, ids=TABLE_NAMES)
def test_every_column_says_what_it_means(table: Table) -> None:
    assert all(column.meaning for column in table.columns)


@pytest.mark.parametrize("table", TABLES, ids=TABLE_NAMES)
def test_the_history_s_tables_are_as_the_dictionary_says(table: Table, made: History) -> None:
    found = made.sql(
        "SELECT column_name, data_type FROM duckdb_columns()"
        f" WHERE database_name = 'history' AND table_name = '{table.name}' ORDER BY column_index"
    ).rows()
    said = [(c.name, c.type.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"))
            for c in table.columns]  # fmt: skip
    assert found == said
