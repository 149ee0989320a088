"""What fingerprinters learned: kept, seen, forgotten."""

import asyncio
from datetime import timedelta
from typing import Any

from work import NOW, Clock, Scripted, event, make_worker, one, put, rows, step

from enrich.learned import (
    FingerprintMemory,
    Forget,
    begin_states,
    forget,
    load_patterns,
    save_states,
    shared,
)
from enrich.worker import Worker
from service.lifecycle.erasure import erase
from service.store import Store

USERS = ("ann", "bob", "cat", "dan", "eve", "fay", "gil", "hal", "ida", "jon", "kim", "lea", "max")


def taught(store: Store) -> FingerprintMemory:
    """A memory that saw who logs in, saved."""
    memory = FingerprintMemory(store)
    printer = memory.fingerprinter_for("errors")
    for name in USERS * 2:
        printer.fingerprint(f"session opened for user {name} by root")
    memory.save(memory.states(), NOW)
    return memory


def test_a_restarted_worker_knows_what_was_learned(store: Store) -> None:
    message = "session opened for user zoe by root"
    before = taught(store).fingerprinter_for("errors").fingerprint(message).print
    again = FingerprintMemory(store).fingerprinter_for("errors")
    assert again.fingerprint(message).print == before


def test_what_was_learned_can_be_seen(store: Store) -> None:
    taught(store)
    with store.read() as connection:
        texts = [text for _, _, text in load_patterns(connection, "errors", 10)]
    assert texts == ["session opened for user <*> by root"]


def test_a_damaged_state_is_started_over(store: Store) -> None:
    mine = store.write_now(begin_states, "errors")
    store.write_now(save_states, ("errors", mine._replace(state='{"version": -1}')))
    assert FingerprintMemory(store).fingerprinter_for("errors").learned() == []


def test_forgetting_a_source_drops_what_was_learned(store: Store) -> None:
    taught(store)
    store.write_now(forget, Forget("errors", None, NOW))
    with store.read() as connection:
        assert load_patterns(connection, "errors", 10) == []


def test_a_running_worker_notices(store: Store) -> None:
    memory = taught(store)
    store.write_now(forget, Forget("errors", None, NOW))
    edited = memory.adopt(memory.stored(["errors"]))
    assert (edited, memory.fingerprinter_for("errors").learned()) == (["errors"], [])


def test_what_a_person_edited_meanwhile_is_not_overwritten(store: Store) -> None:
    memory = taught(store)
    store.write_now(forget, Forget("errors", None, NOW))
    memory.fingerprinter_for("errors").fingerprint("disk full")
    memory.save(memory.states(), NOW + timedelta(minutes=1))
    assert FingerprintMemory(store).fingerprinter_for("errors").learned() == []


def share(memory: FingerprintMemory) -> None:
    """What a worker does now and then."""
    memory.adopt(memory.stored(memory.sources()))
    memory.save(memory.states(), NOW)


def two_workers(store: Store) -> list[FingerprintMemory]:
    """Two that each saw half of those who logged in, and shared it."""
    memories = [FingerprintMemory(store), FingerprintMemory(store)]
    for number, name in enumerate(USERS):
        printer = memories[number % 2].fingerprinter_for("errors")
        printer.fingerprint(f"session opened for user {name} by root")
    for memory in (*memories, *memories):
        share(memory)
    return memories


def test_workers_that_shared_give_the_same_prints(store: Store) -> None:
    first, second = (
        [
            memory.fingerprinter_for("errors").fingerprint(
                f"session opened for user {name} by root"
            )
            for name in ("zoe", *USERS)
        ]
        for memory in two_workers(store)
    )
    assert first == second


def test_what_a_worker_knew_alone_survives_sharing(store: Store) -> None:
    message = "volume backup of node archive failed on tape alpha"
    first, second = FingerprintMemory(store), FingerprintMemory(store)
    second.fingerprinter_for("errors").fingerprint("disk full")
    before = first.fingerprinter_for("errors").fingerprint(message)
    for memory in (first, second):
        share(memory)
    assert second.fingerprinter_for("errors").fingerprint(message) == before


def erased(store: Store) -> None:
    """Whoever stands in the patterns of `taught` is erased."""
    erase(store, ["session opened"], NOW)


def test_a_running_worker_forgets_what_was_erased(store: Store) -> None:
    memory = taught(store)
    erased(store)
    edited = memory.adopt(memory.stored(["errors"]))
    assert (edited, memory.fingerprinter_for("errors").learned()) == (["errors"], [])


def test_a_worker_that_saves_twice_at_once_forgets_once(store: Store) -> None:
    """As it does where it is told to stop while it saves."""
    put(store, event(1, "errors", "disk full on node 1", ""))
    worker = make_worker(store, Clock(), Scripted(), reuses=True)
    casework = worker._casework

    async def work() -> None:
        await worker.step()
        await casework.save_fingerprints()
        await asyncio.to_thread(store.write_now, forget, Forget("errors", None, NOW))
        await asyncio.gather(casework.save_fingerprints(), casework.save_fingerprints())

    asyncio.run(work())
    assert casework._memory.sources() == []


def test_what_was_erased_meanwhile_is_not_saved_again(store: Store) -> None:
    memory = taught(store)
    erased(store)
    memory.fingerprinter_for("errors").fingerprint("disk full")
    memory.save(memory.states(), NOW + timedelta(minutes=1))
    assert rows(store, "SELECT * FROM fingerprint_states") == []


def test_what_was_erased_does_not_come_into_the_row_of_another_worker(store: Store) -> None:
    first, second = two_workers(store)
    erased(store)
    for worker in (first, second):
        worker.fingerprinter_for("errors").fingerprint("disk full")
    first.adopt(first.stored(["errors"]))
    first.fingerprinter_for("errors").fingerprint("disk full")
    for worker in (first, second):
        worker.save(worker.states(), NOW + timedelta(minutes=1))
    assert "session" not in one(store, "SELECT state FROM fingerprint_states")


def put_sessions_of(store: Store, person: str) -> None:
    """Events from which a pattern is learned in which the person stands."""
    titles = [f"session of {person} opened for user {name} by root" for name in USERS * 2]
    put(store, *[event(number, "errors", title, "") for number, title in enumerate(titles, 1)])


def test_what_a_worker_learned_from_erased_events_is_not_saved(store: Store) -> None:
    """The store holds nothing of it that an erasure could find, but the events."""
    put_sessions_of(store, "zoe adler")
    worker = make_worker(store, Clock(), Scripted(), reuses=True)
    step(worker)
    erase(store, ["zoe adler"], NOW)
    stop_at_once(worker)
    assert "zoe" not in one(store, "SELECT state FROM fingerprint_states")


def test_what_a_worker_learns_from_events_while_they_are_erased_is_not_saved(store: Store) -> None:
    """They are read before the erasure, and looked into once the worker has noticed that."""
    put_sessions_of(store, "zoe adler")
    worker = make_worker(store, Clock(), Scripted(), reuses=True)
    casework = worker._casework
    read = casework._read

    def erase_then(query: Any) -> Any:
        found = read(query)
        if isinstance(found, dict) and 1 in found:
            erase(store, ["zoe adler"], NOW)
            asyncio.run_coroutine_threadsafe(casework.save_fingerprints(), loop[0]).result()
        return found

    loop: list[asyncio.AbstractEventLoop] = []
    casework._read = erase_then  # type: ignore[method-assign]

    async def work() -> None:
        loop.append(asyncio.get_running_loop())
        await worker.step()
        await casework.save_fingerprints()

    asyncio.run(work())
    assert "zoe" not in one(store, "SELECT state FROM fingerprint_states")


def test_what_a_worker_learned_before_another_saved_survives_sharing(store: Store) -> None:
    message = "volume backup of node archive failed on tape alpha"
    first, second = FingerprintMemory(store), FingerprintMemory(store)
    before = first.fingerprinter_for("errors").fingerprint(message)
    second.fingerprinter_for("errors").fingerprint("disk full")
    for memory in (second, first):
        share(memory)
    assert first.fingerprinter_for("errors").fingerprint(message) == before


def test_a_forgotten_fingerprint_is_asked_about_again(store: Store) -> None:
    clock = Clock()
    put(store, event(1, "errors", "disk full on node 1", ""))
    step(make_worker(store, clock, Scripted(), reuses=True))
    ((print_,),) = rows(store, "SELECT fingerprint FROM reuse")
    store.write_now(forget, Forget("errors", print_, NOW))
    put(store, event(2, "errors", "disk full on node 2", ""))
    model = Scripted()
    step(make_worker(store, clock, model, reuses=True))
    assert len(model.asked) == 1


def test_what_is_shared_can_be_seen_with_its_copies(store: Store) -> None:
    put(store, *[event(i, "errors", f"disk full on node {i}", "") for i in (1, 2, 3)])
    step(make_worker(store, Clock(), Scripted(), reuses=True))
    with store.read() as connection:
        (found,) = shared(connection, "errors", 10)
    assert (found.category, found.copy_count) == ("billing", 2)


def test_a_worker_saves_what_it_learned(store: Store) -> None:
    put(store, event(1, "errors", "disk full on node 1", ""))
    worker = make_worker(store, Clock(), Scripted(), reuses=True)
    step(worker)
    stop_at_once(worker)
    assert one(store, "SELECT saved_at FROM fingerprint_states") > 0


def stop_at_once(worker: Worker) -> None:
    """Start it and tell it to stop: it saves what it has learned."""

    async def work() -> None:
        stop = asyncio.Event()
        stop.set()
        await worker.run(stop)

    asyncio.run(work())
