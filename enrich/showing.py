"""What `hooksift prompt` shows: exactly what a model would be sent."""

import json
from typing import Any

from enrich.enricher import EventText
from enrich.loading import load_events
from enrich.plan import default_taxonomy
from enrich.prompt import build_prompt, event_message
from enrich.redact import redact
from enrich.settings import build_taxonomies
from enrich.taxonomy import Taxonomy
from service.errors import SettingsError
from service.preset import load_presets


def taxonomy_names(settings: Any) -> dict[str, str]:
    """The taxonomy of every configured source: its own, else by its preset's kind."""
    presets = load_presets(settings.presets)
    names = {}
    for name, source in settings.sources.items():
        preset = presets.get(source.preset)
        names[name] = source.taxonomy or default_taxonomy(preset.kind if preset else "other")
    return names


def taxonomy_of(settings: Any, source: str) -> Taxonomy:
    """The taxonomy of a configured source."""
    names = taxonomy_names(settings)
    if source not in names:
        raise SettingsError(f"no source {source!r}; configured are {', '.join(names) or 'none'}")
    taxonomies = build_taxonomies(settings.taxonomies)
    if names[source] not in taxonomies:
        raise SettingsError(f"[sources.{source}] taxonomy {names[source]!r} does not exist")
    return taxonomies[names[source]]


def show_prompt(settings: Any, source: str, event_id: int | None) -> str:
    """The prompt of a source, and an event's message in it as it would leave this machine."""
    taxonomy = taxonomy_of(settings, source)
    prompt = build_prompt(taxonomy)
    parts = [
        f"# taxonomy {taxonomy.name} {taxonomy.version}, prompt {prompt.version}",
        "## system\n" + prompt.system,
        "## answer\n" + json.dumps(prompt.schema, indent=2),
    ]
    if event_id is not None:
        event = read_event(settings, event_id)
        title = redact(event.title, settings.enrich.phone_region)
        text = redact(event.text, settings.enrich.phone_region)
        shown = event_message(event._replace(title=title.text, text=text.text))
        masked = sum(title.counts.values()) + sum(text.counts.values())
        parts.append(f"## user ({masked} values masked)\n{shown}")
    return "\n\n".join(parts)


def read_event(settings: Any, event_id: int) -> EventText:
    """One event of the store."""
    from service.store import open_store

    store = open_store(settings.store_url)
    try:
        with store.read() as connection:
            events = load_events(connection, [event_id])
    finally:
        store.close()
    if event_id not in events:
        raise SettingsError(f"no event {event_id}; see hooksift events")
    return events[event_id]
