"""PostgreSQL's knowledge of its tables, which decides how it reads them."""

from service.store import Store


def analyse(store: Store) -> None:
    """Let PostgreSQL know how large its tables are; SQLite plans without."""
    if store.dialect == "postgresql":
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
