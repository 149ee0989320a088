"""SQL that turns the plan of a made-up history into rows of every table, a stretch at a time.

Chance is `hash(row, salt, seed)`, so the same seed makes the same history.
"""

from analytics.generated_bodies import TEMPLATES, body_expression
from analytics.generated_plan import CAUSES, SOURCES
from analytics.generated_words import FIRST, LAST, WORDS
from analytics.scope import quoted
from analytics.views import EPOCH_MS, ID_SHIFT
from enrich.taxonomy import Taxonomy, built_in_taxonomy

TAXONOMIES = {"ticket": "support", "error": "errors", "other": "support"}  # by kind of source
SERVICES = ("checkout", "accounts", "catalog", "shipping", "search", "mailer", "reports", "gateway")
EXCEPTIONS = (
    "TimeoutError", "KeyError", "ConnectionReset", "HighLatency", "DiskAlmostFull", "ValueError",
    "PodCrashLooping", "IntegrityError", "RateLimited", "OutOfMemory", "CertificateExpiring",
)  # fmt: skip
FUNCTIONS = (
    "charge_card", "load_basket", "send_receipt", "refresh_token", "reserve_stock", "quote_rate",
    "render_invoice", "sync_ledger", "match_address", "index_page", "merge_accounts", "book_pickup",
)  # fmt: skip
OPENINGS = (
    "Since this morning", "After the last update", "For the third time this week", "Suddenly",
    "On our staging account", "When I use the phone app", "Every time", "With two of my customers",
)  # fmt: skip
NOTE_WORDS = 30  # of the free part; tunes how well bodies compress (see tests/analytics)


def taxonomies() -> dict[str, Taxonomy]:
    """The built-in taxonomy of each kind of source."""
    return {kind: built_in_taxonomy(name) for kind, name in TAXONOMIES.items()}


def category_by_kind(number: str) -> str:
    """SQL: one of the categories that a source of that kind knows, chosen by a whole number."""
    return _case("kind", {k: words(t.category_names, number) for k, t in taxonomies().items()})


def words(values: tuple[str, ...] | list[str], number: str) -> str:
    """SQL: one of the values, chosen by a whole number."""
    return f"[{', '.join(map(quoted, values))}][({number}) % {len(values)} + 1]"


def macros(seed: int) -> list[str]:
    """Macros that the statements below use."""
    return [
        f"CREATE OR REPLACE TEMP MACRO dice(x, salt) AS (hash(x, salt, {int(seed)}) >> 2)::BIGINT",
        (
            "CREATE OR REPLACE TEMP MACRO share(x, salt) AS"
            " (dice(x, salt) % 1000003)::DOUBLE / 1000003"
        ),
        (
            "CREATE OR REPLACE TEMP MACRO bell(x, salt) AS"
            " sqrt(-2 * ln(share(x, salt) + 1e-7)) * cos(6.2831853 * share(x, salt + 7919))"
        ),
        "CREATE OR REPLACE TEMP MACRO at_ms(x) AS make_timestamptz(CAST(x * 1000 AS BIGINT))",
    ]


def made_statement() -> str:
    """The table `made` for the rows of `stretch`: a row for each event, with all its chances."""
    kinds = _case("source", {s.name: quoted(s.kind) for s in SOURCES})
    presets = _case("source", {s.name: quoted(s.preset) for s in SOURCES})
    place = _case("source", {s.name: str(n) for n, s in enumerate(SOURCES)})
    themes = _case("theme", {str(c.fingerprint): quoted(c.category) for c in CAUSES}, "NULL")
    return f"""
CREATE OR REPLACE TEMP TABLE made AS
WITH spread AS (
    SELECT ms + (60000 * (k + share(ms + k, 1)) / count)::BIGINT AS ms, source, theme,
           {place} AS place, k
    FROM stretch, unnest(range(count)) AS t(k)),
named AS (
    SELECT (((ms - {EPOCH_MS}) << {ID_SHIFT}) | (place << 17)
            | (((row_number() OVER (PARTITION BY ms, place)) % 512) << 6)) AS id,
           ms, source, theme, {kinds} AS kind, {presets} AS preset FROM spread),
chances AS (
    SELECT *, dice(id, 1) % 1000003 AS h1, dice(id, 2) % 1000003 AS h2, dice(id, 3) % 1000003 AS h3,
           dice(id, 4) % 1000003 AS h4, share(id, 5) AS u5, share(id, 6) AS u6,
           CASE WHEN theme >= 0 THEN theme
                ELSE (power(share(id, 8), 3) * 3000)::BIGINT + 20 END AS fault
    FROM named),
told AS (
    SELECT *, CASE WHEN kind = 'ticket' AND theme >= 0 THEN {themes}
                     WHEN kind = 'error' THEN {category_by_kind("fault")}
                     ELSE {category_by_kind("h4")} END AS category,
           (power(u5, 3) * 40000)::BIGINT AS person FROM chances)
SELECT *, md5(id::VARCHAR || 'x') || substr(md5(id::VARCHAR), 1, 8) AS hex40,
       uuid_of(md5(id::VARCHAR || 'u')) AS uuid, substr(md5(id::VARCHAR || 't'), 1, 14) AS token,
       {words(FIRST.split(), "person")} || '.' || {words(LAST.split(), "person // 26")}
           || (person // 364)::VARCHAR AS login,
       {words(FIRST.split(), "person // 7 + 3")} || '.' || {
        words(LAST.split(), "person // 900")
    } AS login2,
       {words(SERVICES, "fault // 3")} AS service,
       {words(EXCEPTIONS, "fault")} AS exception, {words(FUNCTIONS, "fault // 2")} AS function_name,
       {words(SERVICES, "fault // 3")} || '-' || (h1 % 40)::VARCHAR || '.eu1' AS host,
       'acme/' || {words(SERVICES, "fault // 3")} AS repo, (id >> 30) % 900000 + 1000 AS number,
       {
        _case(
            "kind",
            {"error": words(("warning", "error", "critical"), "fault")},
            words(("low", "normal", "high", "urgent"), "h3"),
        )
    } AS level,
       CASE WHEN h2 % 5 = 0 THEN 'resolved' ELSE 'firing' END AS status,
       {
        _case(
            "kind",
            {"error": "exception || ' in ' || function_name || ' (' || service || ')'"},
            f"{words(OPENINGS, 'h1')} || ': ' || complaint(category, h2)",
        )
    } AS title,
       complaint(category, h2) || ' - ' || {words(OPENINGS, "h1")} || ': '
           || complaint(category, h3) AS text_json,
       array_to_string(list_transform(range((share(id, 9) * share(id, 10)
           * {NOTE_WORDS * 4})::BIGINT + 2), lambda k: word(dice(id, 100 + k))), ' ') AS notes,
       strftime(at_ms(ms), '%Y-%m-%dT%H:%M:%SZ') AS at_iso,
       strftime(at_ms(ms - 60000 * (h3 % 90)), '%Y-%m-%dT%H:%M:%SZ') AS earlier_iso,
       login || '@' || {words(("mail.example", "post.example", "corp.example"), "person")} AS email
FROM told ORDER BY id"""


def text_macros() -> list[str]:
    """Macros for text and uuids; apart from the others for their length."""
    vocabulary = WORDS.split()
    size = len(vocabulary)
    said = {c.name: words(c.examples, "h") for c in taxonomies()["ticket"].categories if c.examples}
    complaints = _case("c", said)
    return [
        f"CREATE OR REPLACE TEMP MACRO complaint(c, h) AS coalesce({complaints}, 'it fails')",
        # Skewed chance: some words are frequent, most are rare, as in any language. The words are a
        # variable, because a list written out in a macro is built anew for each of them.
        f"SET VARIABLE vocabulary = [{', '.join(map(quoted, vocabulary))}]",
        (
            "CREATE OR REPLACE TEMP MACRO word(h) AS getvariable('vocabulary')"
            f"[(power((h % 100003)::DOUBLE / 100003, 1.6) * {size})::INT % {size} + 1]"
        ),
        (
            "CREATE OR REPLACE TEMP MACRO uuid_of(m) AS substr(m, 1, 8) || '-' || substr(m, 9, 4)"
            " || '-4' || substr(m, 14, 3) || '-a' || substr(m, 18, 3) || '-' || substr(m, 21, 12)"
        ),
    ]


def events_statement() -> str:
    """Rows of `events`."""
    bodies = _case("preset", {name: body_expression(name) for name in TEMPLATES})
    kinds = _case("preset", {
        "github": "'issues.opened'", "jira": "'jira:issue_created'", "zendesk": "'ticket.created'",
        "intercom": "'conversation.user.created'", "linear": "'Issue.create'",
        "sentry": "'event_alert.triggered'", "pagerduty": "'incident.triggered'",
        "stripe": "'invoice.payment_failed'", "standard_webhooks": "'order.delayed'",
    }, "status")  # fmt: skip
    return f"""
INSERT INTO events BY NAME
SELECT id, id AS delivery_id, 0 AS item_index, source, preset, {kinds} AS event_type,
       CASE WHEN kind = 'error' THEN token ELSE number::VARCHAR END AS subject,
       at_ms(ms) AS received_at,
       at_ms(ms - 200 - (exp(bell(id, 11)) * 700)::BIGINT
             - CASE WHEN u6 < 0.01 THEN 90000 ELSE 0 END) AS sent_at,
       title, CASE WHEN kind = 'error' THEN notes ELSE text_json || chr(10) || notes END AS text,
       'https://app.acme.example/' || service || '/' || h1::VARCHAR AS url,
       CASE WHEN kind = 'error' THEN NULL ELSE email END AS customer, level, 'POST' AS method,
       '/v1/webhooks/' || source AS request_url,
       '198.51.' || (hash(source) % 200)::VARCHAR || '.0/24' AS address_prefix,
       uuid AS delivery_key, preset NOT IN ('alertmanager', 'grafana') AS verified,
       u6 > 0.9998 AS suspected_replay, strlen(body)::INTEGER AS body_bytes, body,
       at_ms(ms + 600 + h2 % 1000) AS landed_at
FROM (SELECT *, {bodies} AS body FROM made)"""


MODEL = "CASE WHEN ms < switch_ms THEN 'small-1' ELSE 'small-2' END"
PROMPT = "CASE WHEN ms < switch_ms THEN 'triage-3' ELSE 'triage-4' END"


def thoughts_statement() -> str:
    """The table `thoughts`: how the enrichment of each event went. `facts` holds the constants."""
    wrong, twin = category_by_kind("h2"), category_by_kind("h3 // 7")
    return f"""
CREATE OR REPLACE TEMP TABLE thoughts AS
WITH base AS (
    SELECT id, ms, source, kind, theme, fault, category AS truth, h1, h2, h3, u5, u6, title,
           share(id, 20) AS u20, share(id, 21) AS u21, share(id, 22) AS u22,
           list_bool_or(list_transform(outages, lambda o: ms BETWEEN o[1] AND o[2])) AS is_down,
           ms < switch_ms AS is_old,
           exists_before(kind, theme, u5, fault) AS is_reused
    FROM made CROSS JOIN facts)
SELECT *, NOT is_reused AND u20 < CASE WHEN is_down THEN 0.02 ELSE 0.0004 END AS is_dead,
       NOT is_reused AND u20 > CASE WHEN is_down THEN 0.40 ELSE 0.985 END AS is_retried,
       NOT is_reused AND u21 < CASE WHEN is_down THEN 0.2 ELSE 0.004 END AS is_degraded,
       least(0.999, greatest(0.2, 0.78 + 0.16 * bell(id, 23))) AS confidence,
       CASE WHEN u22 < CASE WHEN is_old THEN 0.86 ELSE 0.92 END THEN truth ELSE {wrong} END
           AS category,
       CASE WHEN share(id, 24) < 0.81 THEN truth ELSE {twin} END AS twin_category,
       {
        words(
            ("low", "medium", "high", "critical"),
            "CASE WHEN theme >= 0 THEN 2 + h1 % 2 "
            "ELSE (share(id, 25) * share(id, 26) * 4)::INT END",
        )
    } AS severity,
       (20 + 180 * exp(bell(id, 27)))::BIGINT AS queue_ms,
       CASE WHEN is_reused THEN 0.4 + u5
            ELSE 350 * exp(0.45 * bell(id, 28)) * CASE WHEN is_down THEN 6 ELSE 1 END END
           AS latency_ms,
       CASE WHEN is_reused OR is_degraded THEN 0 ELSE 420 + h1 % 500 END AS input_tokens,
       CASE WHEN is_reused OR is_degraded THEN 0 ELSE 60 + h2 % 60 END AS output_tokens
FROM base"""


def reuse_macro() -> str:
    """An error seen before is not asked again: nearly all of a storm, most of the frequent ones."""
    return (
        "CREATE OR REPLACE TEMP MACRO exists_before(kind, theme, u, fault) AS"
        " kind = 'error' AND u < CASE WHEN theme >= 0 THEN 0.998 WHEN fault < 900 THEN 0.97"
        " ELSE 0.8 END"
    )


COST = "(input_tokens * 0.15 + output_tokens * 0.60) / 1e6"
COMMON = (
    f"CASE WHEN is_degraded THEN 'stub' ELSE 'openai' END AS provider,"
    f" CASE WHEN is_degraded THEN 'rules' ELSE {MODEL} END AS model, {PROMPT} AS prompt_version"
)
ENRICHED_MS = "(ms + 5 + queue_ms + CASE WHEN is_retried THEN 4000 ELSE 0 END + latency_ms)"


def attempts_statement() -> str:
    """Rows of `attempts`: first tries, second ones after a failure, five where it gave up."""
    return f"""
INSERT INTO attempts BY NAME
SELECT (id + ((number * 8000) << {ID_SHIFT})) | 1 AS id, id AS event_id, source, number,
       CASE WHEN is_dead AND number = 5 THEN 'dead'
            WHEN is_dead OR (is_retried AND number = 1) THEN 'retry' ELSE 'enriched' END AS outcome,
       CASE WHEN outcome <> 'enriched'
            THEN {words(("rate_limited", "timeout", "server_error", "bad_answer"), "h1 // 3")} END
           AS error_kind,
       CASE error_kind WHEN 'rate_limited' THEN 'the provider asks to wait 4 s'
            WHEN 'timeout' THEN 'no answer within 30 s' WHEN 'server_error' THEN 'status 503'
            WHEN 'bad_answer' THEN 'category is not in the taxonomy' END AS error,
       at_ms(ms + 5 + (number - 1) * 4000) AS available_at,
       at_ms(ms + 5 + (number - 1) * 4000 + queue_ms) AS claimed_at,
       at_ms(ms + 5 + (number - 1) * 4000 + queue_ms + latency_ms) AS finished_at,
       latency_ms, (NOT is_reused AND NOT is_degraded)::INT AS call_count, {COMMON},
       CASE WHEN outcome = 'enriched' THEN input_tokens ELSE 0 END AS input_tokens,
       CASE WHEN outcome = 'enriched' THEN output_tokens ELSE 0 END AS output_tokens,
       CASE WHEN outcome = 'enriched' OR error_kind = 'bad_answer' THEN {COST} ELSE 0 END
           AS cost_usd,
       CASE WHEN is_reused OR is_degraded THEN NULL ELSE 'req_' || h3::VARCHAR END AS request_id,
       at_ms(ms + (number - 1) * 4000 + queue_ms + latency_ms + 700 + h2 % 900) AS landed_at
FROM thoughts CROSS JOIN facts,
     unnest(range(1, CASE WHEN is_dead THEN 6 WHEN is_retried THEN 3 ELSE 2 END)) AS t(number)"""


def enrichments_statement() -> str:
    """Rows of `enrichments`: first revisions, and second ones where the prompt was changed."""
    tag = _case("kind", {k: words(t.tag_names, "h3") for k, t in taxonomies().items()})
    recorded = f"{ENRICHED_MS} + 3 + h1 % 9"
    return f"""
INSERT INTO enrichments BY NAME
SELECT (id + (1 << {ID_SHIFT})) | (1 + revision) AS id, id AS event_id, source, revision,
       false AS candidate,
       CASE WHEN revision = 2 THEN truth ELSE thoughts.category END AS category, severity,
       {words(("negative", "neutral", "neutral", "positive"), "h2")} AS sentiment,
       CASE WHEN kind = 'error' THEN 'und' ELSE {words(("en", "en", "en", "de", "fr", "es"), "h1")}
       END AS language,
       [{tag}] AS tags, 'About: ' || title AS summary, confidence,
       u6 < 0.0005 AS suspicious, is_degraded AS degraded, is_reused AS cache_hit,
       CASE WHEN is_reused THEN id - 64 END AS copied_from,
       CASE WHEN kind = 'error' THEN substr(md5(source || fault::VARCHAR), 1, 16) END
           AS fingerprint,
       {COMMON}, input_tokens, output_tokens, {COST} AS cost_usd, latency_ms,
       (u6 > 0.9)::INT AS redacted_count, twin_category, severity AS twin_severity,
       at_ms({recorded} + (revision - 1) * 86400000 * 3) AS recorded_at,
       at_ms({recorded} + (revision - 1) * 86400000 * 3 + 300 + h2 % 1000) AS landed_at
FROM thoughts CROSS JOIN facts,
     unnest(range(1, CASE WHEN kind = 'ticket' AND is_old AND u21 > 0.97 THEN 3 ELSE 2 END))
     AS t(revision)
WHERE NOT is_dead"""


def lesser_statements() -> list[str]:
    """Rows of `actions`, `labels`, `redeliveries`, `acknowledgements` and `refusals`."""
    return [
        f"""
INSERT INTO actions BY NAME
SELECT (id + (2 << {ID_SHIFT})) | 4 AS id, id AS event_id, source,
       'tag/' || source AS name, 'tag ' || thoughts.category AS rule,
       CASE source WHEN 'support' THEN 'zendesk' WHEN 'chat' THEN 'intercom' WHEN 'code'
            THEN 'github' WHEN 'operations' THEN 'jira' ELSE 'slack' END AS adapter,
       'ticket ' || h1::VARCHAR AS target, 1 AS number,
       CASE WHEN u22 < 0.004 THEN 'dead' WHEN u22 < 0.02 THEN 'retry' WHEN u22 < 0.1
            THEN 'unchanged' ELSE 'done' END AS outcome,
       CASE WHEN u22 < 0.02 THEN 'server_error' END AS error_kind,
       CASE WHEN u22 < 0.02 THEN 'status 502' END AS error,
       '{{"added":["hooksift:' || thoughts.category || '"]}}' AS detail,
       at_ms({ENRICHED_MS} + 40) AS started_at,
       at_ms({ENRICHED_MS} + 40 + 120 * exp(bell(id, 31))) AS finished_at,
       at_ms({ENRICHED_MS} + 1500) AS landed_at
FROM thoughts WHERE (kind = 'ticket' OR severity = 'critical') AND NOT is_dead""",
        f"""
INSERT INTO labels BY NAME
SELECT (id + (3 << {ID_SHIFT})) | 5 AS id, id AS event_id, source, 'category' AS field,
       CASE WHEN share(id, 33) < 0.97 THEN truth ELSE thoughts.category END AS value,
       {words(("mara", "jonas", "priya"), "h1")} AS author,
       {words(("webhook", "webhook", "webhook", "command"), "h2")} AS origin,
       at_ms(ms + 3600000 * (1 + h3 % 30)) AS recorded_at,
       at_ms(ms + 3600000 * (1 + h3 % 30) + 900) AS landed_at
FROM thoughts WHERE kind = 'ticket' AND share(id, 32) < 0.012 AND NOT is_dead""",
        f"""
INSERT INTO redeliveries BY NAME
SELECT (id + ((5000 * (1 + h1 % 12)) << {ID_SHIFT})) | 6 AS id, id AS delivery_id, source,
       at_ms(ms + 5000 * (1 + h1 % 12)) AS received_at,
       at_ms(ms + 5000 * (1 + h1 % 12) + 800) AS landed_at
FROM made WHERE share(id, 41) < CASE source WHEN 'payments' THEN 0.06 WHEN 'code' THEN 0.001
     WHEN 'cluster-alerts' THEN 0.10 ELSE 0.02 END""",
        f"""
INSERT INTO acknowledgements BY NAME
SELECT (((minute * 60000 + 60000 - {EPOCH_MS}) << {ID_SHIFT})
        | ((hash(source) % 4096)::BIGINT << 8))
       AS id, source, at_ms(minute * 60000 + 60000) AS window_at,
       list(round(1.6 + 1.4 * exp(bell(id, 51)), 3)) AS ack_ms,
       at_ms(minute * 60000 + 61200) AS landed_at
FROM (SELECT id, source, ms // 60000 AS minute FROM made) GROUP BY source, minute""",
        f"""
INSERT INTO refusals BY NAME
SELECT id | 7 AS id, CASE WHEN h1 % 4 = 0 THEN '(unknown)' ELSE source END AS source,
       CASE WHEN h1 % 4 = 0 THEN 'unknown_source' ELSE
            {
            words(
                (
                    "signature_mismatch",
                    "timestamp_out_of_tolerance",
                    "missing_signature",
                    "body_too_large",
                ),
                "h2 // 3",
            )
        } END AS reason,
       '203.0.' || (h3 % 250)::VARCHAR || '.0/24' AS address_prefix,
       (1 + power(u5, 6) * 60)::INT AS refused_count, at_ms(ms) AS first_at,
       at_ms(ms + h3 % 1000) AS last_at, at_ms(ms + 1800) AS landed_at
FROM made WHERE share(id, 42) < 0.006""",
    ]


def _case(column: str, found: dict[str, str], otherwise: str | None = None) -> str:
    parts = " ".join(
        f"WHEN {name if name.lstrip('-').isdigit() else quoted(name)} THEN {value}"
        for name, value in found.items()
    )
    return f"(CASE {column} {parts}{f' ELSE {otherwise}' if otherwise else ''} END)"
