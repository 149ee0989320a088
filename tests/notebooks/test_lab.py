"""`hooksift lab`: a real JupyterLab on the user's own history."""

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from analytics.generate import generate
from analytics.place import Place
from analytics.report import notebook_files


@pytest.mark.heavy
def test_lab_serves_the_notebooks(tmp_path: Path) -> None:
    """Also as root, as in a container."""
    generate(Place(str(tmp_path / "catalog.sqlite"), str(tmp_path / "files")), 100)
    command = [sys.executable, "-m", "hooksift", "lab", "--no-browser", "--history", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as lab:
        try:
            assert lab.stderr is not None
            found = (re.search(r"(http://127\S+)/lab\?token=(\w+)", line) for line in lab.stderr)
            said = next((match for match in found if match), None)
            assert said is not None
            headers = {"authorization": f"token {said[2]}"}
            listed = httpx.get(f"{said[1]}/api/contents", headers=headers, timeout=30).json()
        finally:
            lab.terminate()
    names = sorted(entry["name"] for entry in listed["content"] if entry["type"] == "notebook")
    assert names == [file.name for file in notebook_files()]
