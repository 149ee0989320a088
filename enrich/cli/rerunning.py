"""`hooksift enrich-again`: history under another prompt or model, compared before it counts."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.errors import SettingsError

if TYPE_CHECKING:
    from enrich.again import Ends, Price
    from enrich.candidates import Applied, Change

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
SHOWN = 20


def register(app: typer.Typer, load_settings: Callable[[], Any]) -> None:
    """Add the command."""

    @app.command("enrich-again")
    def enrich_again(
        since: Annotated[str, typer.Option(help="7d, 12h, 30m, or a date like 2026-01-31")],
        source: Annotated[
            list[str] | None, typer.Option(help="of these sources; default: all")
        ] = None,
        prompt: Annotated[
            str | None, typer.Option(help="a taxonomy whose prompt to try; default: its own")
        ] = None,
        model: Annotated[str, typer.Option(help="stub or a configured model")] = "stub",
        limit: Annotated[int, typer.Option(min=1, help="events at most")] = 10_000,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="say what it would cost; ask nobody")
        ] = False,
        apply: Annotated[
            bool, typer.Option("--apply", help="bring the new answers into force")
        ] = False,
        yes: Annotated[bool, typer.Option("--yes", help="do not ask before paying")] = False,
    ) -> None:
        """Enrich history again under another prompt or model; both answers are kept.

        Prints the price first, then what changed. Only --apply switches.
        """
        asyncio.run(
            again(load_settings(), since_of(since), source or [], prompt, model, limit,
                  dry_run=dry_run, apply=apply, yes=yes)
        )  # fmt: skip


def since_of(text: str, now: datetime | None = None) -> datetime:
    """The moment that `7d` or a date stands for."""
    now = now or datetime.now(UTC)
    found = re.fullmatch(r"(\d{1,6})([mhdw])", text.strip())
    if found:
        return now - timedelta(**{UNITS[found[2]]: int(found[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(f"--since {text!r} is neither like 7d nor a date") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def again(
    settings: Any,
    since: datetime,
    sources: list[str],
    prompt: str | None,
    model: str,
    limit: int,
    *,
    dry_run: bool,
    apply: bool,
    yes: bool,
) -> None:
    """Price, run with a progress bar, compare, apply if asked to."""
    from rich.console import Console

    from enrich.again import Rerun, choose, price
    from enrich.candidates import apply_candidates, changes
    from enrich.composition import single_chain
    from enrich.settings import build_taxonomies
    from enrich.showing import taxonomy_names
    from service.store import open_store

    console = Console()
    names = taxonomy_names(settings)
    chosen_sources = sources or sorted(names)
    taxonomies = build_taxonomies(settings.taxonomies)
    for name in (prompt, *(names.get(s) for s in chosen_sources)):
        if name is not None and name not in taxonomies:
            raise SettingsError(f"no taxonomy {name!r}; there are {', '.join(taxonomies)}")

    def taxonomy_of(source: str) -> Any:
        return taxonomies[prompt or names.get(source, "support")]

    chain, close = single_chain(model, settings.enrich, None, random.random)
    versions = sorted({chain.first.prompt_version(taxonomy_of(s)) for s in chosen_sources})
    store = open_store(settings.store_url)

    def read_chosen() -> Any:
        with store.read() as connection:
            return choose(connection, since, chosen_sources, chain.first.model, versions, limit)

    try:
        chosen = read_chosen()
        with store.read() as connection:
            bill = price(connection, chosen, taxonomy_of, settings.enrich.models.get(model))
        console.print(bill_lines(bill, since), highlight=False)
        if dry_run or not chosen:
            return
        if bill.cost_usd and not yes:
            typer.confirm("Go on?", abort=True)
        if bill.event_count:
            rerun = Rerun(store, chain, taxonomy_of, lambda: datetime.now(UTC))
            with progress_bar(console, bill.event_count) as advance:
                ends = await rerun.run(chosen, advance)
            console.print(ends_line(ends), highlight=False)
            chosen = read_chosen()
        with store.read() as connection:
            show(console, changes(connection, chosen))
        if apply:
            applied = apply_candidates(store, chosen, datetime.now(UTC))
            console.print(applied_line(applied), highlight=False)
        else:
            console.print("nothing switched; --apply brings the new answers into force")
    finally:
        await close()
        store.close()


def bill_lines(bill: "Price", since: datetime) -> str:
    """What will be asked, and about what it costs."""
    told = f"events since {since:%Y-%m-%d %H:%M} UTC: {bill.event_count + bill.done_count:,}"
    if bill.done_count:
        told += f", answered before under this prompt and model: {bill.done_count:,}"
    if not bill.event_count:
        return f"{told}\nnothing is left to ask"
    told += f"\ncalls: {bill.call_count:,}"
    if bill.call_count < bill.event_count:
        told += f", for copies of one error share one; events: {bill.event_count:,}"
    return told + (
        f"\nabout {bill.input_tokens:,} input and {bill.output_tokens:,} output tokens,"
        f" {bill.cost_usd:.4f} USD"
    )


def ends_line(ends: "Ends") -> str:
    """How many answers came, how many did not for which reason, and what it cost."""
    reasons = Counter({kind: count for kind, count in ends.counts.items() if kind != "enriched"})
    told = [f"enriched: {ends.counts['enriched']:,}"]
    if reasons:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in reasons.most_common())
        told.append(f"failed: {reasons.total():,} ({kinds})")
    return ", ".join([*told, f"calls: {ends.call_count:,}, {ends.cost_usd:.4f} USD"])


def applied_line(applied: "Applied") -> str:
    """How many candidates came into force, and how many were erased before."""
    gone = f", gone: {applied.gone_count:,}" if applied.gone_count else ""
    return f"brought into force: {applied.applied_count:,}{gone}"


def changes_line(found: "Sequence[Change]") -> str:
    """How many would change, and in what."""
    changed = [change.fields for change in found if change.fields]
    counts = Counter(field for fields in changed for field in fields)
    told = ", ".join(f"{name} of {count}" for name, count in counts.most_common())
    return f"{len(changed)} of {len(found)} would change" + (f": {told}" if told else "")


def progress_bar(console: Any, total: int) -> Any:
    """A context whose value advances a bar."""
    from contextlib import contextmanager

    from rich.progress import Progress

    @contextmanager
    def bar() -> Any:
        with Progress(console=console, disable=total == 0) as progress:
            task = progress.add_task("enriching", total=total)
            yield lambda count: progress.advance(task, count)

    return bar()


def show(console: Any, found: "Sequence[Change]") -> None:
    """The disagreement matrix, the label diff, and both sides' accuracy where people spoke."""
    from rich.table import Table

    from enrich.candidates import disagreement
    from enrich.reports import matrix

    names = sorted({c.category for c in found} | {c.new_category for c in found})
    console.print("rows: in force, columns: new")
    console.print(matrix(disagreement(found), names))
    console.print(changes_line(found), highlight=False)
    changed = [change for change in found if change.fields]
    table = Table()
    for heading in ("event", "category", "severity", "tags", "people say"):
        table.add_column(heading)
    for c in changed[:SHOWN]:
        tags = (", ".join(sorted(c.tags)), ", ".join(sorted(c.new_tags)))
        table.add_row(
            str(c.event_id),
            arrow(c.category, c.new_category),
            arrow(c.severity, c.new_severity),
            arrow(*tags),
            c.label or "",
        )
    if changed:
        console.print(table)
    if len(changed) > SHOWN:
        console.print(f"and {len(changed) - SHOWN:,} more", highlight=False)
    labelled = [c for c in found if c.label]
    if labelled:
        before = sum(c.category == c.label for c in labelled) / len(labelled)
        after = sum(c.new_category == c.label for c in labelled) / len(labelled)
        told = (
            f"right by people's labels ({len(labelled):,}): {before:.3f} in force, {after:.3f} new"
        )
        console.print(told, highlight=False)


def arrow(before: str, after: str) -> str:
    """What it is and what it would become, or what stays."""
    return before if before == after else f"{before or '-'} -> {after or '-'}"
