"""Alternatives give the first that holds, whatever the paths and the bodies look like."""

from hypothesis import example, given
from hypothesis import strategies as st

from service.extraction.expressions import View, compile_text, compile_value
from service.extraction.filters import scalar_text
from service.receiving.request import Request

REQUEST = Request("POST", "/v1/webhooks/a?a=asked", [("a", "sent")], b"")
KEYS = ("a", "b", "0", "-1", "", "x\"'\\", "None")

steps = st.sampled_from([*KEYS, "*", "a[]", "[]"])
paths = st.lists(steps, min_size=1, max_size=4).map(".".join)
places = st.builds("{}:{}".format, st.sampled_from(["json", "item"]), paths)
places |= st.sampled_from(
    ["header:a", "header:b", "query:a", "json:", "json:a|html", "item:a.b|html"]
)
scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "x", "<b>y</b>"])
bodies = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=8,
)


def said(place: str, view: View) -> str | None:
    value = compile_value(place)(view)
    return value if isinstance(value, str) else scalar_text(value)


@given(st.lists(places, max_size=5), bodies, bodies)
@example(["json:[].a"], [{"a": "x"}], None)
@example(["json:a.b", "json:a.0", "json:a"], {"a": ["x"]}, None)
@example(["json:a.b", "item:a.b"], {"a": {"b": ""}}, {"a": {"b": "x"}})
def test_the_first_that_holds_is_given(written: list[str], body: object, item: object) -> None:
    view = View(REQUEST, body, item)
    expected = next((text for place in written if (text := said(place, view))), None)
    assert compile_text(written)(view) == expected


@given(st.lists(places, min_size=1, max_size=3), bodies)
def test_a_template_holds_where_all_its_places_do(inside: list[str], body: object) -> None:
    view = View(REQUEST, body, body)
    texts = [said(place, view) for place in inside]
    expected = "-".join(str(text) for text in texts) if all(texts) else None
    assert compile_text("-".join(f"{{{place}}}" for place in inside))(view) == expected
