"""Events that are erased from the store, and not yet from what others keep of it.

Only the store could say which events those were, and it forgets them: their ids are kept until the
others have removed them too, so that an erasure which was cut off is finished by the next.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, text

from service.store import Store

OWED = "erased: "  # in the name of the facts that hold them, before an erasure's number


def owe(store: Store, erasure: int, events: Iterable[int]) -> None:
    """Keep the ids, before the store forgets them."""
    fact = {"name": f"{OWED}{erasure}", "value": json.dumps(sorted(events))}

    def kept(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[None]:
        insert = "INSERT INTO store_facts (name, number, value) VALUES (:name, 0, :value)"
        connection.execute(text(insert), payloads)
        return [None] * len(payloads)

    store.write_now(kept, fact)


def owed_by(store: Store) -> dict[str, set[int]]:
    """The ids, by the name of the fact that holds them."""
    with store.read() as connection:
        rows = connection.execute(
            text("SELECT name, value FROM store_facts WHERE name LIKE :like"), {"like": f"{OWED}%"}
        )
        return {name: set(json.loads(value)) for name, value in rows}


def settle(store: Store, facts: Collection[str]) -> None:
    """Forget the ids that these facts hold."""

    def forgotten(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[None]:
        for name in facts:
            connection.execute(text("DELETE FROM store_facts WHERE name = :name"), {"name": name})
        return [None] * len(payloads)

    store.write_now(forgotten, None)
