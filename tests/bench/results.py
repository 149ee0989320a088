"""RESULTS.md: a section for each bench, written by that bench, so that one can be run alone."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

FILE = Path(__file__).with_name("RESULTS.md")
TITLE = "# What was measured\n\nEach section was written by the command it names.\n"
STORE_PACKAGES = ("sqlalchemy", "psycopg")


def write_section(title: str, lines: Sequence[str], file: Path = FILE) -> None:
    """Put a section into the file, in its old place where there was one."""
    sections = read_sections(file)
    sections[title] = "\n".join(lines).strip()
    text = [TITLE, *(f"## {name}\n\n{body}\n" for name, body in sections.items())]
    file.write_text("\n".join(text))


def read_sections(file: Path) -> dict[str, str]:
    """Its sections by their titles."""
    if not file.exists():
        return {}
    found = {}
    for part in f"\n{file.read_text()}".split("\n## ")[1:]:
        title, _, body = part.partition("\n")
        found[title.strip()] = body.strip()
    return found


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(str(cell) for cell in line)} |" for line in lines]


def made_with(*packages: str) -> str:
    """The machine and the versions, as a line."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return ", ".join([machine, *(f"{name} {version(name)}" for name in packages)]) + "."
