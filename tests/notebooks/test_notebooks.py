"""The notebooks run on any history, show what they promise, and draw without a network."""

import json
import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from analytics.errors import HistoryMissing
from analytics.generate import generate
from analytics.landing import Lander
from analytics.looks import CHART_KIND
from analytics.place import Place, place_of
from analytics.report import notebook_files, run_notebook, write_report
from analytics.settings import HistorySettings
from service.store import open_store
from tests.analytics.store_facts import put, put_events

NOTEBOOKS = notebook_files()
ALLOWED = {"analytics", "polars", "altair", "great_tables", "datetime"}
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # of the kernel's own packages


def read(file: Path) -> Any:
    return nbformat.read(file, as_version=4)  # type: ignore[no-untyped-call]


def kinds_of_output(notebook: Any) -> list[str]:
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert not [out for out in outputs if out.output_type in ("error", "stream")], outputs
    return [kind for out in outputs for kind in out.get("data", {})]


def check_run(file: Path, place: Place) -> None:
    """Runs without a word on standard error, and shows charts, a table and a finding."""
    kinds = kinds_of_output(run_notebook(file, place))
    assert (kinds.count(CHART_KIND) >= 2, "text/html" in kinds, "text/markdown" in kinds) == (
        True,
        True,
        True,
    )


def test_there_are_seven_notebooks() -> None:
    assert [file.name[:2] for file in NOTEBOOKS] == [f"0{n}" for n in range(1, 8)]


@pytest.mark.heavy
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_every_notebook_tells_its_story(file: Path, made_place: Place) -> None:
    check_run(file, made_place)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_the_code_of_every_notebook_answers_in_this_process(
    file: Path, made_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cells one after the other, without a kernel: quick enough for every run of the tests."""
    monkeypatch.setenv("HOOKSIFT_HISTORY_PATH", made_place.catalog)
    run_cells(file)


@pytest.fixture(scope="session")
def empty_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A history that nothing has been landed into."""
    folder = tmp_path_factory.mktemp("empty")
    place = place_of(HistorySettings(), folder)
    store = open_store(f"sqlite:///{folder / 'store.sqlite'}")
    Lander(store, place, HistorySettings()).close()
    store.close()
    return place


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_an_empty_history_is_no_error(
    file: Path, empty_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKSIFT_HISTORY_PATH", empty_place.catalog)
    run_cells(file)


def test_a_few_labels_are_told_as_too_few(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    for event in put_events(store, 6):
        put(store, "enrichments", {"event_id": event, "category": "billing", "confidence": 0.75})
        put(store, "labels", {"event_id": event, "field": "category", "value": "billing"})
    place = place_of(HistorySettings(), tmp_path)
    with Lander(store, place, HistorySettings()) as lander:
        lander.land()
    store.close()
    (quality,) = notebook_files(["04"])
    cells = run_notebook(quality, place).cells
    outputs = [out for cell in cells for out in cell.get("outputs", [])]
    said = [out.data["text/markdown"] for out in outputs if "text/markdown" in out.get("data", {})]
    assert ["6 events were labelled: too few to say" in finding for finding in said[:2]] == [
        True
    ] * 2


def run_cells(file: Path) -> None:
    names: dict[str, Any] = {}
    for cell in read(file).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{file.name}:{cell.id}", "exec"), names)
    names["history"].close()


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebooks_import_little(file: Path) -> None:
    code = "\n".join(cell.source for cell in read(file).cells if cell.cell_type == "code")
    imported = set(re.findall(r"^(?:from|import) (\w+)", code, re.MULTILINE))
    assert imported <= ALLOWED


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebooks_are_kept_without_outputs(file: Path) -> None:
    assert not [cell for cell in read(file).cells if cell.get("outputs")]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_parameters_stand_at_the_top(file: Path) -> None:
    tags = [cell.metadata.get("tags", []) for cell in read(file).cells]
    assert tags[1] == ["parameters"]


def test_a_report_is_one_page_that_needs_no_network(made_place: Place, tmp_path: Path) -> None:
    (page,) = write_report(made_place, tmp_path, ["07"], days=3)
    text = page.read_text(encoding="utf-8")
    fetched = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"', text)
    drawn = text.count('vegaEmbed("#chart-')
    assert (fetched, drawn) == ([], 2)


def test_a_report_without_a_history_makes_no_folder_and_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(HistoryMissing, match="run `hooksift serve` first"):
        list(write_report(place_of(HistorySettings(), tmp_path), tmp_path / "report"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="kernels are on ports on Windows")
def test_a_kernel_listens_on_no_port(made_place: Place, tmp_path: Path) -> None:
    code = "from ipykernel.kernelapp import IPKernelApp; print(IPKernelApp.instance().transport)"
    cell = new_code_cell(code)  # type: ignore[no-untyped-call]
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "x.ipynb")  # type: ignore[no-untyped-call]
    (shown,) = run_notebook(tmp_path / "x.ipynb", made_place).cells[0].outputs
    assert shown.text == "ipc\n"


@pytest.mark.heavy
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_million_events_in_bounded_time(file: Path, million_place: Place) -> None:
    """Each cell has ten minutes by the client's limit; the whole notebook has one here."""
    import time

    started = time.monotonic()
    check_run(file, million_place)
    assert time.monotonic() - started < 60


@pytest.fixture(scope="session")
def million_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A made-up history of a million events."""
    folder = tmp_path_factory.mktemp("million")
    place = Place(str(folder / "catalog.sqlite"), str(folder / "files"))
    generate(place, 1_000_000, days=30, seed=5)
    return place


def test_notebooks_are_plain_json() -> None:
    assert all(json.loads(file.read_text())["nbformat"] == 4 for file in NOTEBOOKS)
