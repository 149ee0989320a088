"""A person who was erased is nowhere in the store, stays away, and everybody else stays."""

import gzip
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, text

import hooksift
from service.errors import HooksiftError, StoreUnavailable
from service.lifecycle.erasure import (
    ErasureError,
    erase,
    erase_deliveries,
    plan_erasure,
    wanted_words,
)
from service.lifecycle.person_scan import files_that_hold, holds
from service.lifecycle.shredding import shred
from service.store import Store, open_store
from service.store.intake import Receipt, digest_of
from service.store.queue import ACT, ENRICH, ClaimRequest, NewWork, bury, claim, enqueue
from service.store.store import words_of
from service.store.tables import to_microseconds
from tests.analytics.store_facts import put, put_event_rows, put_events
from tests.contract.costs import cost_of
from tests.contract.test_intake import DAY, arrival, keep
from tests.servers.receiver import Clock, Source, receiving, rows
from tests.service.command_line import CommandLine

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PERSON = "zoe.adler@mail.example"
OF_AN_EVENT = ("attempts", "enrichments", "actions", "labels", "work_items", "dead_letters")


def do(store: Store, verb: Any) -> Any:
    """Run `verb(connection)` in a writing transaction."""

    def handler(connection: Connection, _tx: int, payloads: Sequence[Any]) -> list[Any]:
        return [verb(connection) for _ in payloads]

    return store.write_now(handler, None)


def put_plain(store: Store, table: str, **values: Any) -> None:
    """A row of a table that holds no facts."""
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    statement = text(f"INSERT INTO {table} ({names}) VALUES ({marks})")
    do(store, lambda connection: connection.execute(statement, values).rowcount)


def everything_of(store: Store, event: int) -> None:
    """Every kind of row that an event can have."""
    for table in ("attempts", "enrichments", "actions", "labels"):
        put(store, table, {"event_id": event})
    at = to_microseconds(NOW)
    put_plain(store, "own_tags", target="desk", ticket="7", tag="t", state="ours", field="tag",
              value="v", event_id=event, digest="d", changed_at=at)  # fmt: skip
    do(
        store,
        lambda c: enqueue(c, [NewWork(event, k, "", "support", 1, at) for k in (ENRICH, ACT)]),
    )
    request = ClaimRequest(ENRICH, 1, NOW, 60, store.new_ids())
    claims = do(store, lambda c: claim(c, request))
    do(store, lambda c: bury(c, [(one, NOW, "died") for one in claims]))


def counts(store: Store, *tables: str) -> dict[str, int]:
    with store.read() as connection:
        return {
            table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            for table in tables
        }


def test_all_that_hung_on_the_person_s_event_goes(store: Store) -> None:
    (event,) = put_events(store, 1, customer=PERSON)
    everything_of(store, event)
    erase(store, [PERSON], NOW)
    tables = ("events", "deliveries", "own_tags", *OF_AN_EVENT)
    assert counts(store, *tables) == dict.fromkeys(tables, 0)


def test_everybody_else_stays_with_all_that_is_theirs(store: Store) -> None:
    (event,) = put_events(store, 1)
    everything_of(store, event)
    put_events(store, 1, customer=PERSON)
    erase(store, [PERSON], NOW)
    tables = ("events", "deliveries", "own_tags", *OF_AN_EVENT)
    assert counts(store, *tables) == dict.fromkeys(tables, 1)
    assert bytes(rows(store, "deliveries")[0].body) == b'{"ticket": 7}'


PLACES: list[tuple[str, str]] = [
    *(("deliveries", c) for c in ("body", "headers", "url", "delivery_key", "address")),
    *(("events", c) for c in ("subject", "title", "text", "url", "customer", "payload")),
    ("attempts", "error"),
    ("enrichments", "summary"),
    ("actions", "detail"),
    ("labels", "value"),
]


def written_in(store: Store, table: str, column: str) -> int:
    """An event with the person in one column of one of its rows."""
    (event,) = put_events(store, 1)
    value = PERSON.encode() if column == "body" else f"by {PERSON}"
    if table in ("deliveries", "events"):
        statement = text(f"UPDATE {table} SET {column} = :value WHERE id = :id")
        do(store, lambda c: c.execute(statement, {"value": value, "id": event}).rowcount)
    else:
        put(store, table, {"event_id": event, column: value})
    return event


def test_the_person_is_found_wherever_they_stand(store: Store) -> None:
    places = {written_in(store, *place): place for place in PLACES}
    erase(store, [PERSON], NOW)
    assert [places[row.id] for row in rows(store, "events")] == []
    assert [places[row.id] for row in rows(store, "deliveries")] == []


FORMS: dict[str, str | bytes] = {
    "as it is": f"from {PERSON}",
    "in capitals": PERSON.upper(),
    "as bytes": PERSON.encode(),
    "in a form": b"from=zoe.adler%40mail.example&a=1",
    "escaped in JSON": rb'{"from": "zoe.adler\u0040mail.example"}',
    "compressed": gzip.compress(f'{{"from": "{PERSON}"}}'.encode()),
    "compressed and escaped": gzip.compress(rb'{"from": "zoe.adler\u0040mail.example"}'),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_person_is_recognised(form: str) -> None:
    assert holds(FORMS[form], wanted_words([PERSON]))


@pytest.mark.parametrize("other", ["zoe.adlers@mail.example", "", None, 7, b"\x1f\x8b broken"])
def test_others_are_not_recognised(other: Any) -> None:
    assert not holds(other, wanted_words([PERSON]))


def test_case_is_no_hiding_place() -> None:
    assert holds("ÉLODIE Straße", wanted_words(["élodie strasse"]))


@pytest.mark.parametrize("written", ["Mu\u0308ller", r"Mu\u0308ller", "Mu%CC%88ller"])
def test_a_letter_with_a_combining_accent_is_the_letter(written: str) -> None:
    assert holds(written, wanted_words(["Müller"]))


def test_a_person_may_be_named_with_combining_accents() -> None:
    assert holds("Müller", wanted_words(["Mu\u0308ller"]))


@pytest.mark.parametrize("words", [[], ["e"], [PERSON, "   a  "]])
def test_words_that_would_hit_everybody_are_refused(words: list[str]) -> None:
    with pytest.raises(ErasureError, match="at least 4 letters"):
        wanted_words(words)


def test_of_a_batch_only_the_person_s_event_goes_and_the_body_is_emptied(store: Store) -> None:
    first = store.new_ids(2)
    put_event_rows(store, [first], body=f"[{PERSON}, other]".encode(), text="other")
    put(store, "events", {"id": first + 1, "delivery_id": first, "item_index": 1, "text": PERSON})
    erase(store, [PERSON], NOW)
    assert [row.id for row in rows(store, "events")] == [first]
    assert [bytes(row.body) for row in rows(store, "deliveries")] == [b""]


def test_where_a_batch_names_the_person_for_all_its_events_all_go(store: Store) -> None:
    first = store.new_ids(2)
    put_event_rows(store, [first], body=PERSON.encode())
    put(store, "events", {"id": first + 1, "delivery_id": first, "item_index": 1})
    erase(store, [PERSON], NOW)
    assert counts(store, "events", "deliveries") == {"events": 0, "deliveries": 0}


def test_facts_whose_event_is_gone_already_go_too(store: Store) -> None:
    put(store, "enrichments", {"event_id": 77, "summary": PERSON})
    erase(store, [PERSON], NOW)
    assert rows(store, "enrichments") == []


def test_copies_of_an_erased_enrichment_are_not_made_any_more(store: Store) -> None:
    (event,) = put_events(store, 1, text=PERSON)
    (enrichment,) = put(store, "enrichments", {"event_id": event})
    put_plain(store, "reuse", digest=b"d", source="support", fingerprint="f",
              enrichment_id=enrichment, expires_at=0)  # fmt: skip
    erase(store, [PERSON], NOW)
    assert rows(store, "reuse", "source") == []


def test_the_quarantine_is_searched(store: Store) -> None:
    for number, body in enumerate((PERSON.encode(), b"other")):
        put_plain(store, "quarantine", id=number, source="support", reason="r", received_at=0,
                  method="POST", url="/", headers="[]", body=body, address="::1",
                  concealed=False)  # fmt: skip
    erase(store, [PERSON], NOW)
    assert [row.id for row in rows(store, "quarantine")] == [1]


def test_a_redelivery_does_not_bring_the_person_back(store: Store) -> None:
    source = Source("github")
    delivery = source.delivery({"comment": {"body": f"call {PERSON}"}}, key="d-7")
    with receiving(store, {"gh": source}) as running:
        first = running.send("gh", delivery)
        erase(store, [PERSON], NOW)
        again = running.send("gh", delivery)
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")
    assert again.json()["id"] == first.json()["id"]
    assert rows(store, "events") == []


def test_a_redelivery_after_the_dedup_key_was_forgotten_neither(
    open_a_store: Callable[[], Store],
) -> None:
    source = Source("github")
    delivery = source.delivery({"comment": {"body": f"call {PERSON}"}}, key="d-7")
    first = open_a_store()
    with receiving(first, {"gh": source}) as running:
        running.send("gh", delivery)
    forget_the_keys(first)
    again = open_a_store()
    with receiving(again, {"gh": source}) as running:
        erase(again, [PERSON], NOW)
        assert running.send("gh", delivery).json()["status"] == "duplicate"


def forget_the_keys(store: Store) -> None:
    """As retention does in time."""
    for table in ["dedup_keys", *(["dedup_recent"] if store.dialect == "sqlite" else [])]:
        do(store, lambda c, table=table: c.execute(text(f"DELETE FROM {table}")).rowcount)


@pytest.mark.parametrize(
    ("preset", "settings"), [("happyfox", {}), ("freshdesk", {"authentication": "path"})]
)
def test_nor_where_a_secret_is_a_part_of_what_a_delivery_without_an_id_is_known_by(
    open_a_store: Callable[[], Store], preset: str, settings: dict[str, str]
) -> None:
    source = Source(preset, settings)
    path = f"/v1/webhooks/desk/{source.keys.receiver}"
    body = {"subject": f"call {PERSON}"}
    first = open_a_store()
    with receiving(first, {"desk": source}) as running:
        assert running.client.post(path, json=body).status_code < 300
    forget_the_keys(first)
    again = open_a_store()
    with receiving(again, {"desk": source}) as running:
        erase(again, [PERSON], NOW)
        assert running.client.post(path, json=body).json()["status"] == "duplicate"


def alert(*titles: str) -> dict[str, Any]:
    """A delivery whose items have no ids."""
    return {"attachments": [{"title": title} for title in titles]}


def test_nor_an_item_that_is_known_by_its_content(open_a_store: Callable[[], Store]) -> None:
    source = Source("glitchtip")
    path = f"/v1/webhooks/desk/{source.keys.receiver}"
    first = open_a_store()
    with receiving(first, {"desk": source}) as running:
        running.client.post(path, json=alert("one", PERSON))
    forget_the_keys(first)
    again = open_a_store()
    with receiving(again, {"desk": source}) as running:
        erase(again, [PERSON], NOW)
        running.client.post(path, json=alert("two", PERSON))
    assert [row.title for row in rows(again, "events")] == ["one", "two"]


def test_an_item_that_stays_may_come_again_once_its_key_has_expired(store: Store) -> None:
    source, clock = Source("glitchtip"), Clock()
    path = f"/v1/webhooks/desk/{source.keys.receiver}"
    with receiving(store, {"desk": source}, now=clock) as running:
        running.client.post(path, json=alert("one", PERSON))
        erase(store, [PERSON], NOW)
        clock.ahead = 7 * 86_400
        running.client.post(path, json=alert("one", PERSON))
    assert [row.title for row in rows(store, "events")] == ["one", "one"]


def test_the_keys_of_an_erased_deliverys_items_hold_for_ever(store: Store) -> None:
    made = arrival(store, None, "item")
    made.events = [replace(made.events[0], customer=PERSON)]
    keep(store, made)
    erase(store, [PERSON], NOW)
    much_later = arrival(store, None, "item", received_at=made.received_at + 1_000 * DAY)
    assert keep(store, much_later) == Receipt(made.id, 0, duplicate=True)


def test_a_key_that_had_expired_and_came_again_is_its_new_owners(store: Store) -> None:
    """The owner has a tombstone, by which the same content is known under another id."""
    key = digest_of("delivery", "a", "k")
    old = f"INSERT INTO dedup_keys VALUES (:digest, 7, {to_microseconds(NOW) - DAY})"
    do(store, lambda c: c.execute(text(old), {"digest": key}).rowcount)
    made = arrival(store, "k", received_at=to_microseconds(NOW))
    keep(store, made)
    do(store, lambda c: erase_deliveries(c, 0, [([made.id], set(), {}, [], NOW)]))
    much_later = arrival(store, "k", received_at=to_microseconds(NOW) + 1_000 * DAY)
    assert keep(store, much_later) == Receipt(made.id, 0, duplicate=True)


def test_the_same_content_under_another_id_neither(store: Store) -> None:
    source = Source("github")
    body = {"comment": {"body": f"call {PERSON}"}}
    with receiving(store, {"gh": source}) as running:
        running.send("gh", source.delivery(body, key="d-7"))
        erase(store, [PERSON], NOW)
        assert running.send("gh", source.delivery(body, key="d-8")).json()["status"] == "duplicate"
    assert rows(store, "events") == []


def test_an_erasure_leaves_a_tombstone_and_a_note_without_the_person(store: Store) -> None:
    (event,) = put_events(store, 1, customer=PERSON)
    erase(store, [PERSON], NOW)
    assert [row.delivery_id for row in rows(store, "tombstones", "delivery_id")] == [event]
    (deed,) = rows(store, "audit")
    assert deed.deed == "erase"
    assert PERSON not in str(deed)


def test_a_later_event_of_the_person_is_taken(store: Store) -> None:
    put_events(store, 1, customer=PERSON)
    erase(store, [PERSON], NOW)
    put_events(store, 1, customer=PERSON)
    assert len(rows(store, "events")) == 1


def test_more_than_one_transaction_s_worth_goes(store: Store) -> None:
    put_events(store, 450, customer=PERSON)
    kept = put_events(store, 600)
    erase(store, [PERSON], NOW)
    assert [row.id for row in rows(store, "events")] == kept


def test_of_everything_only_the_words_asked_for_are_planned(store: Store) -> None:
    put_events(store, 600)
    with store.read() as connection:
        assert plan_erasure(connection, wanted_words([PERSON])).empty


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_no_byte_of_the_person_stays_in_the_files(store: Store, tmp_path: Path) -> None:
    put_events(store, 300)
    put_events(store, 50, text=f"{PERSON} " * 500, body=PERSON.encode() * 700)
    put_events(store, 300)
    erase(store, [PERSON], NOW)
    assert shred(store, [PERSON]) == []
    held = [f.name for f in tmp_path.iterdir() if f.is_file() and b"zoe.adler" in f.read_bytes()]
    assert held == []


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_what_was_deleted_before_the_erasure_is_shredded_too(store: Store, tmp_path: Path) -> None:
    put_events(store, 300, text=f"{PERSON} " * 50)
    do(store, lambda c: c.exec_driver_sql("PRAGMA secure_delete = OFF").fetchall())
    do(store, lambda c: c.execute(text("DELETE FROM events")).rowcount)
    erase(store, [PERSON], NOW)
    assert shred(store, [PERSON]) == []
    assert b"zoe.adler" not in (tmp_path / "store.sqlite").read_bytes()


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_what_is_deleted_is_overwritten(store: Store, tmp_path: Path) -> None:
    """Whoever deletes it: the file need not be rewritten for what retention has taken."""
    put_events(store, 300, text=f"{PERSON} " * 50, body=PERSON.encode() * 700)
    for table in ("events", "deliveries"):
        do(store, lambda c, table=table: c.execute(text(f"DELETE FROM {table}")).rowcount)
    do(store, lambda c: put_nothing(c))
    store.close()  # which empties the log
    assert b"zoe.adler" not in (tmp_path / "store.sqlite").read_bytes()


def put_nothing(connection: Connection) -> None:
    """A further transaction."""


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_large_file_is_rewritten_only_when_asked(store: Store, tmp_path: Path) -> None:
    """Nobody can write meanwhile."""
    put_events(store, 3, body=b"x" * (25 << 20))
    do(store, lambda c: c.exec_driver_sql("PRAGMA secure_delete = OFF").fetchall())
    put_events(store, 3, text=PERSON)
    do(store, lambda c: c.execute(text("DELETE FROM events")).rowcount)
    assert shred(store, [PERSON]) == ["store.sqlite"]
    assert shred(store, [PERSON], rewrite=True) == []


def test_an_erasure_costs_the_same_however_many_keys_there_are(store: Store) -> None:
    keys = [(b"%016d" % n, n, 0) for n in range(3_000)]
    do(store, lambda c: words_of(c).claim_keys(c, keys, 0))
    (event,) = put_events(store, 1, customer=PERSON)
    with store.read() as connection:
        (delivery,) = plan_erasure(connection, [PERSON]).deliveries
    piece = ([delivery], {event}, {delivery: [b"%016d" % 5]}, ["enrichments"], NOW)
    assert do(store, lambda c: cost_of(c, lambda c: erase_deliveries(c, 0, [piece]))) < 2_000


@pytest.mark.parametrize(
    "written",
    [
        "zoë.adler@example.com",
        "ZOË.ADLER@example.com",
        "Zo\\u00eb.Adler",
        "zo%C3%AB.adler%40example",
        "Zoe\u0308.Adler@example.com",
        "Zoe\\u0308.Adler",
    ],
)
def test_free_space_is_shredded_however_the_person_is_written_there(
    tmp_path: Path, written: str
) -> None:
    file = tmp_path / "store.sqlite"
    file.write_text(f"{'x' * 1000}{written}{'x' * 1000}", encoding="utf-8")
    assert files_that_hold([file], ["zoë.adler"]) == ["store.sqlite"]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file may grow above so many bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_where_there_is_no_room_to_rewrite_the_file_what_to_do_is_told(store: Store) -> None:
    put_events(store, 3, body=b"x" * (5 << 20))
    with (
        files_of_at_most(1 << 20),
        pytest.raises(StoreUnavailable, match="free as much space as the store takes"),
    ):
        shred(store, [PERSON], rewrite=True)


def test_postgresql_is_vacuumed_and_stays_usable(store: Store) -> None:
    put_events(store, 3, customer=PERSON)
    erase(store, [PERSON], NOW)
    assert shred(store, [PERSON], rewrite=True) == []
    assert len(put_events(store, 2)) == 2


@pytest.mark.parametrize("begun", ["SELECT pg_current_xact_id()", "SELECT 1"])
def test_postgresql_is_not_vacuumed_while_somebody_could_see_what_was_deleted(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    monkeypatch.setattr("service.lifecycle.shredding.CHECKPOINT_SECONDS", 0.2)
    with closing(open_store(postgres_url)) as store:
        with psycopg.connect(postgres_url) as other:
            other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            other.execute(begun)
            put_events(store, 1)  # as an erasure, something that it might still see otherwise
            with pytest.raises(StoreUnavailable, match="erase again"):
                shred(store, [PERSON])
        assert shred(store, [PERSON]) == []


@pytest.fixture
def command(store: Store, store_url: str, tmp_path: Path) -> CommandLine:
    line = CommandLine(tmp_path)
    line.configure(store=store_url)
    return line


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_by_command_it_says_what_went_and_what_it_cannot_reach(
    store: Store, command: CommandLine
) -> None:
    put_events(store, 2, customer=PERSON)
    printed = command.run("erase", "--subject", PERSON, "--yes", code=0)
    assert "removed from the store: 2 events, 2 deliveries" in printed
    assert printed.count("nothing is left") == 2  # in the store, in the history
    assert "backups, exports" in printed


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_by_command_the_history_is_erased_after_the_store(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    """Once, as nothing more of the person can be landed then."""
    left = []

    def eraser(settings: Any, words: Any, events: Any, *, dry_run: bool) -> dict[str, int]:
        if not dry_run:
            left.append((words, len(rows(store, "events"))))
        return {}

    command = CommandLine(tmp_path, eraser)
    command.configure(store=store_url)
    put_events(store, 2, customer=PERSON)
    command.run("erase", "--subject", PERSON, "--subject", "Zoe Adler", "--yes")
    assert left == [([PERSON, "Zoe Adler"], 0)]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_by_command_the_history_is_told_which_events_went(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    told = []

    def eraser(settings: Any, words: Any, events: Any, *, dry_run: bool) -> dict[str, int]:
        told.append(sorted(events))
        return {}

    command = CommandLine(tmp_path, eraser)
    command.configure(store=store_url)
    ids = put_events(store, 2, headers=PERSON)
    command.run("erase", "--subject", PERSON, "--yes")
    assert told == [ids] * 2  # found, removed


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_by_command_the_history_is_looked_through_again_where_something_went(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    """A removal that finds nothing has just looked."""
    acts = []

    def eraser(settings: Any, words: Any, events: Any, *, dry_run: bool) -> dict[str, int]:
        acts.append("look" if dry_run else "remove")
        return {"events": 1 if len(acts) < 3 else 0}

    command = CommandLine(tmp_path, eraser)
    command.configure(store=store_url)
    assert command.run("erase", "--subject", PERSON, "--yes").count("nothing is left") == 2
    assert acts == ["look", "remove", "look"]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_by_command_what_is_left_in_the_history_is_told(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    command = CommandLine(tmp_path, lambda *_, dry_run: {"events": 1})
    command.configure(store=store_url)
    printed = command.run("erase", "--subject", PERSON, "--yes", code=1)
    assert "still in the history, run erase again: 1 events" in printed


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("how", [["--dry-run"], []], ids=["a dry run", "a no"])
def test_by_command_nothing_goes_after(store: Store, command: CommandLine, how: list[str]) -> None:
    put_events(store, 2, customer=PERSON)
    printed = command.run("erase", "--subject", PERSON, *how, code=None, given="n\n")
    assert "found in the store: 2 events, 2 deliveries" in printed
    assert "found in the history: 1 events" in printed
    assert (len(rows(store, "events")), command.erased) == (2, [])


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_nothing_goes_while_the_history_cannot_be_reached(
    store: Store, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATALOG", "postgresql://ada:hunter22@127.0.0.1:1/nobody")
    command = CommandLine(tmp_path, hooksift.erase_from_history)
    command.configure('[history]\ncatalog = "env:CATALOG"\n', store=store_url)
    put_events(store, 2, customer=PERSON)
    with pytest.raises(
        HooksiftError, match=r"at postgresql://127\.0\.0\.1:1/nobody cannot"
    ) as told:
        command.run("erase", "--subject", PERSON, "--yes")
    assert len(rows(store, "events")) == 2
    assert "hunter22" not in str(told.value)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_history_that_went_away_meanwhile_is_told_with_what_to_do(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    def eraser(settings: Any, words: Any, events: Any, *, dry_run: bool) -> dict[str, int]:
        if not dry_run:
            raise HooksiftError("the catalog cannot be reached")
        return {"events": 2}

    command = CommandLine(tmp_path, eraser)
    command.configure(store=store_url)
    put_events(store, 2, headers=PERSON)
    told = "gone from the store, but NOT wholly from the history; run the same command"
    with pytest.raises(HooksiftError, match=told):
        command.run("erase", "--subject", PERSON, "--yes")
