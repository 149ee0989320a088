"""`hooksift eval`: enrichers against labelled texts."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer, load_settings: Callable[[], Any]) -> None:
    """Add the command."""

    @app.command("eval")
    def evaluate(
        file: Annotated[Path, typer.Argument(help="CSV or JSON lines: text, category")],
        enricher: Annotated[
            list[str] | None, typer.Option(help="stub or a configured model; repeatable")
        ] = None,
        taxonomy: Annotated[
            str | None, typer.Option(help="a taxonomy; default: the labels of the file")
        ] = None,
        examples: Annotated[
            list[int] | None,
            typer.Option(help="labelled texts to learn from; repeatable, compared side by side"),
        ] = None,
        limit: Annotated[int, typer.Option(min=1, help="texts to judge")] = 500,
        seed: Annotated[int, typer.Option(help="of the split into learned and judged")] = 1,
        detail: Annotated[bool, typer.Option(help="classes, confusion and calibration")] = True,
    ) -> None:
        """Precision, recall, F1, confusion, calibration, cost and latency on labelled texts."""
        wanted = [(name, count) for name in enricher or ["stub"] for count in examples or [0]]
        asyncio.run(compare(load_settings(), file, wanted, taxonomy, limit, seed, detail=detail))


async def compare(
    settings: Any,
    file: Path,
    wanted: list[tuple[str, int]],
    taxonomy_name: str | None,
    limit: int,
    seed: int,
    *,
    detail: bool,
) -> None:
    """Judge each enricher with each number of examples on the same texts, and print tables."""
    from rich.console import Console

    from enrich.composition import single_chain
    from enrich.evaluation import evaluate, index_of, read_labelled, split, taxonomy_for
    from enrich.reports import details, side_by_side
    from enrich.settings import build_taxonomies
    from service.errors import SettingsError

    labelled = read_labelled(file)
    taxonomies = build_taxonomies(settings.taxonomies)
    if taxonomy_name is not None and taxonomy_name not in taxonomies:
        raise SettingsError(f"no taxonomy {taxonomy_name!r}; there are {', '.join(taxonomies)}")
    taxonomy = taxonomy_for(labelled, taxonomies.get(taxonomy_name or ""), file.stem)
    results = []
    for name, count in wanted:
        most = len(labelled) // 2 if count else len(labelled)
        learn, test = split(labelled, count, min(limit, most), seed)
        index = index_of(learn) if count else None
        chain, close = single_chain(name, settings.enrich, index, random.random)
        shown = name if not count else f"{name}, {len(learn)} examples"
        try:
            results.append(await evaluate(shown, chain, taxonomy, test))
        finally:
            await close()
    console = Console()
    if detail:
        for result in results:
            console.print(details(result))
    console.print(side_by_side(results))
