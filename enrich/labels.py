"""Labels: what people say an event is. Facts, appended; the newest of an event and field counts."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from enrich.examples import Labelled
from enrich.tables import Label
from enrich.taxonomy import Taxonomy
from service.errors import SettingsError
from service.nearest import nearest
from service.store.store import words_of
from service.store.tables import Rows, to_microseconds

MAX_LOADED = 5_000  # of the newest labelled events: the index stays within a millisecond
FIELDS = ("category", "severity", "tag")
COLUMNS = ("id", "event_id", "source", "field", "value", "author", "origin", "recorded_at", "tx")


class NewLabel(NamedTuple):
    """A person's word on one field of one event."""

    id: int
    event_id: int
    source: str
    field: str
    value: str
    author: str
    origin: str
    recorded_at: datetime


def record_labels(
    connection: Connection, tx: int, batches: Sequence[Sequence[NewLabel]]
) -> list[int]:
    """The handler for `store.write`: how many labels of each batch were news."""
    counts = []
    for batch in batches:
        fresh = [label for label in batch if _is_news(connection, label)]
        rows = [(*label[:-1], to_microseconds(label.recorded_at), tx) for label in fresh]
        words_of(connection).insert_rows(connection, Rows(Label.__tablename__, COLUMNS, rows))
        counts.append(len(fresh))
    return counts


def _is_news(connection: Connection, label: NewLabel) -> bool:
    """Whether the label says something else than the newest of its event and field.

    A ticket system sends the same state with every change; only changes are facts. Tags are kept
    one by one, so a tag said before is no news whenever it was said.
    """
    statement = (
        "SELECT value FROM labels WHERE event_id = :event_id AND field = :field"
        + (" AND value = :value" if label.field == "tag" else "")
        + " ORDER BY recorded_at DESC, id DESC LIMIT 1"
    )
    known = {"event_id": label.event_id, "field": label.field}
    if label.field == "tag":
        known["value"] = label.value
    return connection.execute(text(statement), known).scalar() != label.value


def check_label(taxonomy: Taxonomy, field: str, value: str) -> None:
    """Raises SettingsError for a field or a name that the taxonomy does not know."""
    known: Mapping[str, Sequence[str]] = {
        "category": taxonomy.category_names,
        "severity": taxonomy.severity_names,
        "tag": taxonomy.tag_names,
    }
    if field not in known:
        raise SettingsError(f"no field {field!r}; labels are of {', '.join(FIELDS)}")
    if value not in known[field]:
        meant = nearest(value, known[field]) or f"there are {', '.join(known[field])}"
        raise SettingsError(f"{field} {value!r} is not of taxonomy {taxonomy.name}; {meant}")


def load_labelled(
    connection: Connection, group_of: Callable[[str], str], limit: int = MAX_LOADED
) -> list[Labelled]:
    """The newest labelled events with their text, one each, oldest first."""
    rows = connection.execute(
        text(
            "SELECT l.event_id, l.source, l.field, l.value, e.title, substr(e.text, 1, 2000)"
            " FROM labels l JOIN events e ON e.id = l.event_id"
            " WHERE l.field IN ('category', 'severity')"
            " ORDER BY l.recorded_at DESC, l.id DESC LIMIT :limit"
        ),
        {"limit": limit * 2},
    )
    said: dict[int, dict[str, str]] = {}
    texts: dict[int, tuple[str, str]] = {}
    for event_id, source, field, value, title, body in rows:
        said.setdefault(event_id, {}).setdefault(field, value)
        texts[event_id] = (source, f"{title}\n{body}".strip())
    return [
        Labelled(
            group_of(source), words, said[event_id]["category"], said[event_id].get("severity")
        )
        for event_id, (source, words) in reversed(texts.items())
        if "category" in said[event_id]
    ][-limit:]


def labels_mark(connection: Connection) -> tuple[int | None, int]:
    """Changes when a label was added or has gone: the newest one's id, and how many there are."""
    newest, count = connection.execute(text("SELECT max(id), count(*) FROM labels")).one()
    return newest, count
