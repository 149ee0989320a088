"""How the notebooks look: one theme for light and dark pages, tables, findings.

Nothing sets a background and every ink is a middle grey, so a chart reads on whatever page it is
put; the colours keep a contrast of 3 to 1 or more against both white and JupyterLab's dark.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from great_tables import GT

INK = "#7d8590"
GRID = "#7d859033"
# Told apart also by the colour-blind; ordered so that neighbours differ in lightness.
COLOURS = (
    "#3b82c4", "#d9772b", "#2a9d74", "#b65fa6", "#b8901f", "#d2504e", "#6f7fd6", "#4f9aa8",
    "#8f7a5c", "#7a9a3a", "#c0648a", "#8c8c9e",
)  # fmt: skip
SEVERITIES = {
    "low": "#4f9aa8",
    "medium": "#b8901f",
    "normal": "#b8901f",
    "high": "#d9772b",
    "critical": "#d2504e",
    "urgent": "#d2504e",
}
GOOD, BAD, GREY = "#2a9d74", "#d2504e", "#8c8c9e"
TABLE_CSS = f"""
.gt_table, .gt_table * {{ color: inherit !important; border-color: {GRID} !important; }}
.gt_table, .gt_table thead, .gt_table .gt_heading, .gt_table .gt_col_heading {{
  background-color: transparent !important; }}
.gt_table {{ border-top-style: none !important; border-bottom-style: none !important; }}
.gt_table tr {{ background-color: transparent !important; }}
"""
CHART_KIND = "application/vnd.vegalite.v5+json"  # the newest that JupyterLab 4 draws by itself
CHART_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.20.1.json"
MOST_ROWS = 100_000


def look() -> None:
    """Use this look for every Altair chart of the session."""
    import altair as alt

    alt.theme.register("hooksift", enable=True)(_theme)
    alt.renderers.register("hooksift", _render)
    alt.renderers.enable("hooksift")
    alt.data_transformers.enable("default", max_rows=MOST_ROWS)


def _render(spec: dict[str, Any], **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What JupyterLab draws with the Vega-Lite it brings, so that charts need no network.

    As SVG, for text that takes the page's colour.
    """
    bundle = {CHART_KIND: {**spec, "$schema": CHART_SCHEMA}}
    return bundle, {CHART_KIND: {"embed_options": {"renderer": "svg"}}}


def _theme() -> Any:
    text = {"labelColor": INK, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 12}
    return {
        "config": {
            "background": "transparent",
            "font": "system-ui, sans-serif",
            "view": {"stroke": None, "continuousWidth": 640, "continuousHeight": 280},
            "title": {
                "color": INK,
                "subtitleColor": INK,
                "anchor": "start",
                "fontSize": 15,
                "subtitleFontSize": 12,
                "offset": 12,
            },
            "axis": {
                **text,
                "gridColor": GRID,
                "domainColor": GRID,
                "tickColor": GRID,
            },
            "axisX": {"grid": False},
            "axisQuantitative": {"labelFlush": False, "labelSeparation": 8},
            "axisTemporal": {"labelFlush": False, "labelSeparation": 8},
            "legend": {**text, "symbolType": "circle", "title": None},
            "header": {"labelColor": INK, "titleColor": INK, "title": None},
            "range": {
                "category": list(COLOURS),
                "heatmap": ["#3b82c41a", "#2a68a5"],
                "ramp": ["#3b82c41a", "#2a68a5"],
            },
            "mark": {"color": COLOURS[0]},
            "text": {"color": INK},
            "rule": {"color": INK},
            "line": {"strokeWidth": 2},
            "area": {"opacity": 0.85},
        }
    }


class Words:
    """Markdown that a notebook worked out."""

    def __init__(self, text: str) -> None:
        self.text = text

    def _repr_markdown_(self) -> str:
        return self.text

    def __str__(self) -> str:
        return self.text


def finding(text: str) -> Words:
    """What the data says, in words, under the chart that shows it."""
    return Words(f"> **Finding.** {text}")


def table(
    frame: pl.DataFrame,
    title: str,
    *,
    percent: tuple[str, ...] = (),
    money: tuple[str, ...] = (),
    numbers: tuple[str, ...] = (),
    labels: Mapping[str, str] | None = None,
    shade: str | None = None,
) -> "GT":
    """A frame as a table: shares as percent, USD, numbers with one decimal; counts by themselves.

    `labels` renames headings; `shade` colours one column's background by its value.
    """
    from great_tables import GT

    whole = [n for n, kind in frame.schema.items() if kind.is_integer() and n != "id"]
    times = [name for name, kind in frame.schema.items() if kind.is_temporal()]
    names = {name: name.replace("_", " ") for name in frame.columns}
    shown = (
        GT(frame.with_columns(pl.col(times).dt.strftime("%Y-%m-%d %H:%M")))
        .tab_header(title)
        .cols_label(cases={**names, **(labels or {})})
        .fmt_integer(whole)
        .fmt_percent([n for n in percent if n in frame.columns], decimals=1)
        .fmt_currency([n for n in money if n in frame.columns], decimals=2)
        .fmt_number([n for n in numbers if n in frame.columns], decimals=1)
        .sub_missing(missing_text="–")
        .opt_align_table_header("left")
        .tab_options(table_font_size="13px", heading_title_font_size="15px", data_row_padding="4px")
        .opt_css(TABLE_CSS)
    )
    return _shaded(shown, frame, shade) if shade else shown


def _shaded(shown: "GT", frame: pl.DataFrame, column: str) -> "GT":
    from great_tables import loc, style

    values: list[float] = frame[column].fill_null(0).cast(pl.Float64).to_list()
    most = max([abs(value) for value in values], default=0) or 1
    for row, value in enumerate(values):
        colour = f"{BAD if value >= 0 else GOOD}{round(abs(value) / most * 0xA0):02x}"
        shown = shown.tab_style(style.fill(colour), loc.body(column, [row]))
    return shown
