"""The notebooks as HTML pages, run on one history."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from analytics.errors import HistoryError
from analytics.looks import CHART_KIND
from analytics.place import VARIABLE, Place, hand_over

CELL_SECONDS = 600
STYLE = """<style>
.jp-InputPrompt, .jp-OutputPrompt { display: none !important; }
@media (prefers-color-scheme: dark) {
  :root { --jp-layout-color0: #15181c; --jp-content-font-color0: #e3e6ea;
    --jp-content-font-color1: #d4d8dd; --jp-cell-editor-background: #1d2126; }
  body, .jp-Notebook { background: #15181c !important; color: #d4d8dd; }
  .jp-RenderedMarkdown code { background: #2a2f36 !important; color: inherit !important; } }
</style>"""


def notebook_folder() -> Path:
    """Where the notebooks are: installed beside this package."""
    return Path(__file__).parent.parent / "notebooks"


def notebook_files(names: Sequence[str] = ()) -> list[Path]:
    """The notebooks in order, or those whose name starts with or holds one of `names`."""
    found = sorted(notebook_folder().glob("[0-9]*.ipynb"))
    if not names:
        return found
    chosen = [file for file in found if any(name in file.stem for name in names)]
    if not chosen:
        known = ", ".join(file.stem for file in found)
        raise HistoryError(f"no notebook matches {', '.join(names)}; there are {known}")
    return chosen


def write_report(
    place: Place, folder: Path, names: Sequence[str] = (), days: float | None = None
) -> Iterator[Path]:
    """Run the notebooks on the history and write a page for each; yields the pages.

    Code is hidden. A page is whole: it draws its charts without a network, light or dark as the
    reader's system asks. Raises HistoryError for a notebook that fails, and where there is no
    history; then no folder is made either.
    """
    import vl_convert

    files = notebook_files(names)
    hand_over(place)
    folder.mkdir(parents=True, exist_ok=True)
    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    scripts = bundle.replace("</script", "<\\/script")
    for file in files:
        page = folder / f"{file.stem}.html"
        page.write_text(_page(run_notebook(file, place, days), file.stem, scripts), "utf-8")
        yield page


def _page(notebook: Any, title: str, scripts: str) -> str:
    from nbconvert import HTMLExporter

    exporter: Any = HTMLExporter(exclude_input=True, exclude_output_prompt=True)  # type: ignore[no-untyped-call]
    for name in ("mathjax_url", "require_js_url", "jquery_url", "mermaid_js_url"):
        setattr(exporter, name, "")
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    for number, output in enumerate(outputs):
        chart = output.get("data", {}).pop(CHART_KIND, None)
        if chart is not None:
            output["data"] = {"text/html": _chart(f"chart-{number}", chart)}
    text, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
    return str(text).replace("</head>", f"{STYLE}<script>{scripts}</script></head>", 1)


def _chart(name: str, chart: Any) -> str:
    spec = json.dumps(chart).replace("</", "<\\/")
    options = '{"actions": false, "renderer": "svg"}'
    return f'<div id="{name}"></div><script>vegaEmbed("#{name}", {spec}, {options})</script>'


def run_notebook(file: Path, place: Place, days: float | None = None) -> Any:
    """The notebook with the outputs of a run on that history, in a kernel of its own."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = nbformat.read(file, as_version=4)  # type: ignore[no-untyped-call]
    if days is not None:
        _set_parameter(notebook, "DAYS", days)
    try:
        with environment({VARIABLE: hand_over(place)}), _own_sockets() as config:
            NotebookClient(
                notebook,
                timeout=CELL_SECONDS,
                resources={"metadata": {"path": str(file.parent)}},
                config=config,
            ).execute()
    except CellExecutionError as error:
        raise HistoryError(f"{file.name} failed: {error.ename}: {error.evalue}") from error
    return notebook


@contextmanager
def _own_sockets() -> Iterator[Any]:
    """Settings of a kernel that is heard on sockets in a folder of this user's, not on TCP ports.

    Any user of the machine could listen at the ports. Windows has ports only.
    """
    from traitlets.config import Config

    if os.name != "posix":
        yield Config()
        return
    with TemporaryDirectory(prefix="hooksift-") as folder:
        yield Config({"KernelManager": {"transport": "ipc", "ip": str(Path(folder, "kernel"))}})


def _set_parameter(notebook: Any, name: str, value: object) -> None:
    """Say a parameter anew right after the cell that is tagged `parameters`."""
    from nbformat.v4 import new_code_cell

    for place, cell in enumerate(notebook.cells):
        if "parameters" in cell.metadata.get("tags", []):
            notebook.cells.insert(place + 1, new_code_cell(f"{name} = {value!r}"))  # type: ignore[no-untyped-call]
            return


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """These variables for as long as the block runs: a kernel inherits them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
