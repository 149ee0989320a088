"""The data dictionary: every table and column of the history, with type, unit and meaning.

One place says it; the tables (`create_statement`), the landing's column order and
docs/dictionary.md are made from it. A column added here is added to an older history by the next
landing, and reads as NULL in one that nothing has landed into since.
"""

from typing import NamedTuple


class Column(NamedTuple):
    """One column: its SQL type, its unit (empty where a name or word has none), its meaning."""

    name: str
    type: str
    unit: str
    meaning: str


class Table(NamedTuple):
    """One table: what a row is, and its columns in order.

    `apart_by`: the column whose every value has files of its own, so that a question about a rare
    one (a later revision, a failed attempt) opens only those.
    """

    name: str
    row: str
    columns: tuple[Column, ...]
    apart_by: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)


ID, COUNT, MOMENT, WORD, FLAG = "BIGINT", "INTEGER", "TIMESTAMPTZ", "VARCHAR", "BOOLEAN"
LANDED = Column("landed_at", MOMENT, "UTC", "when this row was copied into the history")
SOURCE = Column("source", WORD, "", "the configured source that the event came to")
EVENT = Column("event_id", ID, "", "the event it belongs to; its time is in its upper 41 bits")
ERROR_KIND = Column("error_kind", WORD, "", "stable word for what went wrong; NULL on success")
ERROR = Column("error", WORD, "", "what went wrong, in words")

EVENTS = Table(
    "events",
    "One item of an accepted delivery: most deliveries hold one, alert batches several.",
    (
        Column("id", ID, "", "the event; time-ordered (milliseconds since 2024 << 22)"),
        Column("delivery_id", ID, "", "the delivery that brought it"),
        Column("item_index", COUNT, "", "its place in the delivery, from 0"),
        SOURCE,
        Column("preset", WORD, "", "the kind of provider, e.g. github"),
        Column("event_type", WORD, "", "the provider's word, e.g. issues.opened"),
        Column("subject", WORD, "", "the ticket, issue or alert group it is about"),
        Column("received_at", MOMENT, "UTC", "when its delivery arrived"),
        Column("sent_at", MOMENT, "UTC", "when the provider says it happened"),
        Column("title", WORD, "", "one line"),
        Column("text", WORD, "", "the human text: ticket body, stack trace, log lines"),
        Column("url", WORD, "", "where a person opens it"),
        Column("customer", WORD, "", "who it is from, as the provider names them"),
        Column("level", WORD, "", "the provider's own severity word"),
        Column("method", WORD, "", "HTTP method of the delivery"),
        Column("request_url", WORD, "", "path and query of the delivery"),
        Column("address_prefix", WORD, "", "/24 of the IPv4, /48 of the IPv6 sender"),
        Column("delivery_key", WORD, "", "the provider's own id of the delivery"),
        Column("verified", FLAG, "", "a signature or secret bound it to its sender"),
        Column("suspected_replay", FLAG, "", "its signed content was seen under another id"),
        Column("body_bytes", COUNT, "bytes", "size of `body` as it came"),
        Column(
            "body",
            WORD,
            "",
            "the item's JSON, or the delivery's body as text; of a packed one 1 MiB",
        ),
        LANDED,
    ),
)

ATTEMPTS = Table(
    "attempts",
    "One call to an enricher, or one reuse of an earlier enrichment, and how it ended.",
    (
        Column("id", ID, "", "the attempt; time-ordered"),
        EVENT,
        SOURCE,
        Column("number", COUNT, "", "1 for the first claim of this event"),
        Column("outcome", WORD, "", "enriched, retry or dead"),
        ERROR_KIND,
        ERROR,
        Column("available_at", MOMENT, "UTC", "when the work became claimable"),
        Column("claimed_at", MOMENT, "UTC", "when a worker took it"),
        Column("finished_at", MOMENT, "UTC", "when the enricher answered or gave up"),
        Column("latency_ms", "DOUBLE", "ms", "inside the enricher, all calls together"),
        Column("call_count", COUNT, "calls", "calls made to the provider; 0 for a reuse"),
        Column("provider", WORD, "", "who was asked, e.g. stub or openai"),
        Column("model", WORD, "", "the model that answered"),
        Column("prompt_version", WORD, "", "the prompt it was asked with"),
        Column("input_tokens", COUNT, "tokens", "read by the model"),
        Column("output_tokens", COUNT, "tokens", "written by the model"),
        Column("cost_usd", "DOUBLE", "USD", "what the calls cost"),
        Column("request_id", WORD, "", "the provider's id of the call"),
        LANDED,
    ),
    apart_by="outcome",
)

ENRICHMENTS = Table(
    "enrichments",
    "What an attempt found out about an event. A later revision supersedes an earlier one.",
    (
        Column("id", ID, "", "the enrichment; time-ordered"),
        EVENT,
        SOURCE,
        Column("revision", COUNT, "", "1 for an event's first, then 2, 3, ..."),
        Column("candidate", FLAG, "", "a trial of another prompt or model, not in force"),
        Column("category", WORD, "", "from the source's taxonomy"),
        Column("severity", WORD, "", "from the source's taxonomy"),
        Column("sentiment", WORD, "", "negative, neutral or positive"),
        Column("language", WORD, "", "ISO 639-1, or und"),
        Column("tags", "VARCHAR[]", "", "tags from the taxonomy"),
        Column("summary", WORD, "", "a sentence or two"),
        Column("confidence", "DOUBLE", "0 to 1", "how sure the enricher said it was"),
        Column("suspicious", FLAG, "", "the text tried to give the model orders"),
        Column("degraded", FLAG, "", "the fall-back answered instead of the model"),
        Column("cache_hit", FLAG, "", "copied from an earlier event's enrichment"),
        Column("copied_from", ID, "", "that enrichment's id"),
        Column("fingerprint", WORD, "", "the text with its volatile parts masked, as a digest"),
        Column("provider", WORD, "", "who answered, e.g. stub or openai"),
        Column("model", WORD, "", "the model that answered"),
        Column("prompt_version", WORD, "", "the prompt it was asked with"),
        Column("input_tokens", COUNT, "tokens", "read by the model"),
        Column("output_tokens", COUNT, "tokens", "written by the model"),
        Column("cost_usd", "DOUBLE", "USD", "what it cost; 0 for a copy"),
        Column("latency_ms", "DOUBLE", "ms", "inside the enricher"),
        Column("redacted_count", COUNT, "", "secrets and personal data masked before sending"),
        Column("twin_category", WORD, "", "what the stub said about the same text"),
        Column("twin_severity", WORD, "", "what the stub said about the same text"),
        Column("recorded_at", MOMENT, "UTC", "when the transaction that keeps it wrote it"),
        LANDED,
    ),
    apart_by="revision",
)

ACTIONS = Table(
    "actions",
    "One try of a write-back or notification, and how it ended.",
    (
        Column("id", ID, "", "the try; time-ordered"),
        EVENT,
        SOURCE,
        Column("name", WORD, "", "which work it was: rule and action"),
        Column("rule", WORD, "", "the rule that asked for it"),
        Column("adapter", WORD, "", "what carried it out, e.g. github or slack"),
        Column("target", WORD, "", "what it changed; validated ids only"),
        Column("number", COUNT, "", "1 for the first try"),
        Column(
            "outcome",
            WORD,
            "",
            "done, unchanged, suggested, grouped, skipped, echo, labelled, noted, retry or dead",
        ),
        ERROR_KIND,
        ERROR,
        Column("detail", WORD, "", "JSON: what was added, removed or sent"),
        Column("started_at", MOMENT, "UTC", "when the try began"),
        Column("finished_at", MOMENT, "UTC", "when it ended"),
        LANDED,
    ),
)

LABELS = Table(
    "labels",
    "A person's correction of one field of an event's enrichment.",
    (
        Column("id", ID, "", "the label; time-ordered"),
        EVENT,
        SOURCE,
        Column("field", WORD, "", "category, severity or tag"),
        Column("value", WORD, "", "what the person says it is"),
        Column("author", WORD, "", "who said so"),
        Column("origin", WORD, "", "command or webhook"),
        Column("recorded_at", MOMENT, "UTC", "when the store took it"),
        LANDED,
    ),
)

REFUSALS = Table(
    "refusals",
    "How many deliveries of one address prefix were refused for one reason, within a second.",
    (
        Column("id", ID, "", "the count; time-ordered"),
        Column("source", WORD, "", "'(unknown)' for every source that is not configured"),
        Column("reason", WORD, "", "stable word, e.g. signature_mismatch"),
        Column("address_prefix", WORD, "", "/24 of the IPv4, /48 of the IPv6 sender"),
        Column("refused_count", COUNT, "deliveries", "how many"),
        Column("first_at", MOMENT, "UTC", "the first of them"),
        Column("last_at", MOMENT, "UTC", "the last of them"),
        LANDED,
    ),
)

REDELIVERIES = Table(
    "redeliveries",
    "A verified delivery that was a duplicate: acknowledged and counted, not stored again.",
    (
        Column("id", ID, "", "the redelivery; time-ordered"),
        Column("delivery_id", ID, "", "the first delivery with the same key"),
        SOURCE,
        Column("received_at", MOMENT, "UTC", "when the duplicate arrived"),
        LANDED,
    ),
)

ACKNOWLEDGEMENTS = Table(
    "acknowledgements",
    "How long the accepted deliveries of one source waited for their answer, within a second.",
    (
        Column("id", ID, "", "the second; time-ordered"),
        SOURCE,
        Column("window_at", MOMENT, "UTC", "when these were counted"),
        Column("ack_ms", "DOUBLE[]", "ms", "one for each delivery, request headers to answer"),
        LANDED,
    ),
)

LANDINGS = Table(
    "landings",
    "How far the landing of one store has come; the lander's own book-keeping.",
    (
        Column("store", WORD, "", "which store"),
        Column("cursor", WORD, "", "JSON: what has been landed up to"),
        Column("landing_count", ID, "", "commits so far"),
        LANDED,
    ),
)

FACTS = (
    EVENTS,
    REDELIVERIES,
    ACKNOWLEDGEMENTS,
    REFUSALS,
    ATTEMPTS,
    ENRICHMENTS,
    ACTIONS,
    LABELS,
)
TABLES = (*FACTS, LANDINGS)


def create_statement(table: Table) -> str:
    """The CREATE TABLE of a table; does nothing where it exists."""
    columns = ", ".join(f'"{column.name}" {column.type}' for column in table.columns)
    return f"CREATE TABLE IF NOT EXISTS {table.name} ({columns})"
