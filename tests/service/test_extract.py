"""What events say: paths, filters, splitting, and times."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from deliveries import NOW, scene

from enrich.redact import redact
from service.extraction.expressions import View, compile_text, compile_value
from service.extraction.extract import (
    MAX_ITEMS,
    MAX_TITLE_CHARACTERS,
    Item,
    compile_extractor,
    moment_of,
)
from service.extraction.filters import FILTERS
from service.preset import load_preset
from service.receiving.request import Payload, Request
from service.store.tables import to_microseconds

REQUEST = Request("POST", "https://h.example/x?key=7", [("x-event", "push")], b"")


def text(expression: str | list[str], body: Any) -> str | None:
    return compile_text(expression)(View(REQUEST, body, body))


def items(name: str, body: Any, *headers: tuple[str, str]) -> list[Item]:
    request = Request("POST", "https://h.example/x", headers, b"")
    return compile_extractor(load_preset(name)).events(request, Payload(body, "json"))


@pytest.mark.parametrize(
    ("expression", "body", "found"),
    [
        ("json:a.b", {"a": {"b": "x"}}, "x"),
        ("json:a.0.b", {"a": [{"b": 3}]}, "3"),
        ("json:a.-1", {"a": [1, 2]}, "2"),
        ("json:a.9", {"a": [1, 2]}, None),
        ("json:a[].b", {"a": [{"b": "x"}, {}, {"b": "y"}]}, "x\ny"),
        ("json:a[].b.c", {"a": [{"b": {"c": 1}}]}, "1"),
        ("json:*.name", {"x": 1, "y.z": {"name": "n"}}, "n"),
        (r"json:a.b\.c", {"a": {"b.c": "x", "b": {"c": "y"}}}, "x"),
        ("json:a.b", {"a": "no object"}, None),
        ("json:a", None, None),
        ("json:a", {"a": True}, "true"),
        ("json:a", {"a": {"b": 1}}, None),
        ("json:0.a", [{"a": 1}], "1"),
        ("header:X-Event", {}, "push"),
        ("query:key", {}, "7"),
        (["json:a", "json:b"], {"b": "second"}, "second"),
        (["json:a", "json:b"], {"a": "", "b": "second"}, "second"),
        ("{json:a}#{json:b}", {"a": "x", "b": 2}, "x#2"),
        ("{json:a}#{json:b}", {"a": "x"}, None),
        (["{header:X-Event}.{json:a}", "header:X-Event"], {}, "push"),
        (
            "json:a|html",
            {"a": "<p>One &amp; <b>two</b></p><script>x()</script>three"},
            "One & two\nthree",
        ),
        ("json:a|first", {"a": "one\ntwo"}, "one"),
        ("json:a|map:0=ping", {"a": 0}, "ping"),
        ("json:a|when:x=y", {"a": "z"}, None),
        ("json:a|pairs", {"a": {"k": "v", "n": 1, "deep": {}}}, "k=v\nn=1"),
        ("json:a|pairs", {"a": [{"name": "k", "value": "v"}, ["x", "y"], "z"]}, "k=v\nx=y\nz"),
        ("json:a|json:b.0", {"a": '{"b": ["x"]}'}, "x"),
        ("json:a|json:b", {"a": "not json"}, None),
        ("json:a|base64", {"a": "aGk="}, "hi"),
        ("json:a|base64", {"a": "%%%"}, None),
        ("json:a|dump", {"a": {"b": 1}}, '{"b":1}'),
        ("json:a|count", {"a": [1, 2]}, "2"),
        ("json:a|after:/", {"a": "x/y/z"}, "z"),
        ("json:a|lower", {"a": "ABC"}, "abc"),
        (
            "json:a|document",
            {
                "a": {
                    "type": "doc",
                    "content": [{"content": [{"text": "One"}]}, {"content": [{"text": "two"}]}],
                }
            },
            "One\ntwo",
        ),
    ],
)
def test_an_expression_finds(expression: str | list[str], body: Any, found: str | None) -> None:
    assert text(expression, body) == found


def test_a_stack_trace_reads_as_a_developer_reads_it() -> None:
    frames = [{"filename": "app.py", "function": "run", "lineno": 3, "context_line": "  go()"}]
    values = [{"type": "KeyError", "value": "'x'", "stacktrace": {"frames": frames}}]
    found = compile_value("json:v|trace")(View(REQUEST, {"v": values}, None))
    assert found == "KeyError: 'x'\n  at run (app.py:3)\n    go()"


@pytest.mark.parametrize("odd", [[], [1], [None, {}], "x", {}, {"values": "x"}, [[[]]], 5])
def test_an_odd_stack_trace_is_no_error(odd: Any) -> None:
    compile_value("json:v|trace")(View(REQUEST, {"v": odd}, None))


AT = to_microseconds(datetime(2026, 3, 2, 9, 15, tzinfo=UTC))


@pytest.mark.parametrize(
    "written",
    [
        "2026-03-02T09:15:00Z",
        "2026-03-02T10:15:00+01:00",
        "2026-03-02 09:15:00",
        "2026-03-02 09:15:00 UTC",
        "2026-03-02 10:15:00 +0100",
        "2026-03-02 04:15:00 -05:00",
        "2026-03-02T09:15:00.000000000Z",
        "1772442900",
        "1772442900000",
        "1772442900000000",
        "1772442900000000000",
        "1772442900.0",
    ],
)
def test_times_are_read_as_providers_write_them(written: str) -> None:
    assert moment_of(written) == AT


def test_the_last_moment_of_all_is_read_to_the_microsecond() -> None:
    assert moment_of("9999-12-31T23:59:59.999999Z") == to_microseconds(
        datetime.max.replace(tzinfo=UTC)
    )


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "",
        "nan",
        "soon",
        "-1",
        "0",
        "9" * 24,
        " UTC",
        "2026-13-01",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_what_is_no_time_is_none(odd: str | None) -> None:
    assert moment_of(odd) is None


ALERT = {"status": "firing", "labels": {"alertname": "A"}, "startsAt": "2026-03-02T09:15:00Z"}


def test_each_alert_of_a_group_is_one_event() -> None:
    alerts = [{**ALERT, "fingerprint": "f1"}, {**ALERT, "fingerprint": "f2", "status": "resolved"}]
    found = items("alertmanager", {"status": "firing", "alerts": alerts})
    assert [item.dedup_key for item in found] == [
        "f1 2026-03-02T09:15:00Z firing",
        "f2 2026-03-02T09:15:00Z resolved",
    ]
    assert [item.event_type for item in found] == ["firing", "resolved"]
    assert json.loads(found[0].payload or "")["fingerprint"] == "f1"


def test_an_alert_without_a_fingerprint_is_known_by_its_labels() -> None:
    first = items("alertmanager", {"alerts": [ALERT]})[0].dedup_key
    again = items("alertmanager", {"alerts": [dict(ALERT)]})[0].dedup_key
    other = items("alertmanager", {"alerts": [{**ALERT, "labels": {"alertname": "B"}}]})[
        0
    ].dedup_key
    assert first == again != other


def test_an_item_without_anything_to_know_it_by_is_known_by_its_content() -> None:
    found = items("sendgrid", [{"event": "open"}, {"event": "click"}])
    assert len({item.dedup_key for item in found}) == 2


@pytest.mark.parametrize("alerts", [[], None, "x", {}, [ALERT] * (MAX_ITEMS + 1)])
def test_what_cannot_be_split_is_one_event(alerts: Any) -> None:
    found = items("alertmanager", {"status": "firing", "groupKey": "g", "alerts": alerts})
    assert [(item.dedup_key, item.payload) for item in found] == [(None, None)]


def test_batches_of_hubspot_and_sendgrid_split_into_their_items() -> None:
    assert len(items("hubspot", [{"eventId": 1}, {"eventId": 2}, {"eventId": 3}])) == 3


def test_a_nul_character_which_no_database_takes_is_replaced() -> None:
    item = items("github", {"issue": {"title": "a\0b", "body": "c\0"}})[0]
    assert (item.title, item.text) == ("a\ufffdb", "c\ufffd")


def test_a_title_is_cut_to_its_limit() -> None:
    item = items("github", {"issue": {"title": "x" * 10_000}})[0]
    assert len(item.title) == MAX_TITLE_CHARACTERS


def test_a_body_that_no_path_describes_still_says_something() -> None:
    item = items("standard_webhooks", {"type": "x", "payload": {"headline": "Down", "msg": "Yes"}})[
        0
    ]
    assert (item.title, item.text) == ("Down", "Yes")


def test_a_text_body_is_the_text() -> None:
    extractor = compile_extractor(load_preset("bearer"))
    item = extractor.events(REQUEST, Payload("just words", "text"))[0]
    assert item.text == "just words"


@pytest.mark.parametrize(
    "body",
    [None, True, 5, "x", [], [[]], {}, {"alerts": [None, 1, []]}, {"issue": []}, {"a": {"b": []}}],
)
@pytest.mark.parametrize(
    "name", ["github", "alertmanager", "sentry", "slack", "jira", "aws_sns", "meta"]
)
def test_an_odd_body_is_an_event_and_never_an_error(name: str, body: Any) -> None:
    assert items(name, body)


def test_the_delivery_key_is_the_providers_own_id() -> None:
    here = scene("github")
    request = here.send(delivery_id="72d3162e")
    assert here.reader.delivery_key(request, here.reader.parse(request)) == "72d3162e"


def test_long_ids_that_begin_alike_are_told_apart() -> None:
    """One cut off would be taken for the other, and its event be lost."""
    extractor = compile_extractor(load_preset("github"))
    empty = Payload({}, "json")
    keys = set()
    for last in "ab":
        request = Request("POST", "/x", [("x-github-delivery", "i" * 5_000 + last)], b"{}")
        key = extractor.delivery_key(request, empty)
        assert key
        assert len(key) < 200
        keys.add(key)
    assert len(keys) == 2


def test_without_an_id_of_the_provider_there_is_no_delivery_key() -> None:
    here = scene("alertmanager")
    request = here.send()
    assert here.reader.delivery_key(request, here.reader.parse(request)) is None
    assert here.reader.verify(request, NOW).signed_digest is None


def test_html_with_a_long_run_of_spaces_is_read_in_linear_time() -> None:
    """Twice the text may not take much more than twice the steps: quadratic work would hang."""
    assert FILTERS["html"]("")("<" + " " * 200_000 + "x") is not None


def test_scripts_and_styles_of_html_are_left_out() -> None:
    text = "a<script>b</script>c<style>d</style >e<script>f"
    assert FILTERS["html"]("")(text) == "ace"


def test_a_card_number_in_a_table_is_told_from_its_neighbour_and_masked() -> None:
    table = "<tr><th>12</th><td>4111111111111111</td><td>12</td></tr>"
    assert redact(FILTERS["html"]("")(table)).text.split() == ["12", "[card]", "12"]


def test_a_hard_break_of_a_document_parts_the_words_around_it() -> None:
    line = [{"text": "Error 500"}, {"type": "hardBreak"}, {"text": "at checkout"}]
    assert FILTERS["document"]("")({"content": line}) == "Error 500\nat checkout"


def test_a_mention_in_a_document_is_read() -> None:
    line = [{"text": "ask "}, {"type": "mention", "attrs": {"id": "7", "text": "@Ann"}}]
    assert FILTERS["document"]("")({"content": line}) == "ask @Ann"


def test_many_open_scripts_end_at_once() -> None:
    assert FILTERS["html"]("")("x" + "<script" * 20_000) == "x"


def test_a_key_with_a_dot_is_found() -> None:
    body = {"eventType": "workitem.created", "resource": {"fields": {"System.Title": "No report"}}}
    assert items("azure_devops", body)[0].title == "No report"


def follower(gid: str) -> dict[str, Any]:
    change = {"field": "followers", "action": "added", "added_value": {"gid": gid}}
    at = "2026-03-02T09:15:00.000Z"
    return {"action": "changed", "created_at": at, "resource": {"gid": "1"}, "change": change}


def published(source: str) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "1", "source": source, "type": "stock.low"}


@pytest.mark.parametrize(
    ("preset", "body"),
    [
        ("asana", {"events": [follower("2"), follower("3")]}),
        ("azure_event_grid", [published("/north"), published("/south")]),
    ],
)
def test_items_that_differ_have_keys_that_differ(preset: str, body: Any) -> None:
    assert len({item.dedup_key for item in items(preset, body)}) == 2
