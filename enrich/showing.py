"""What `hooksift prompt` shows: exactly what a model would be sent."""

import json
from typing import Any

from sqlalchemy import Connection

from enrich.enricher import EventText
from enrich.examples import ExampleIndex
from enrich.injection import looks_injected
from enrich.labels import load_labelled
from enrich.learned import load_state, revive
from enrich.loading import load_events
from enrich.outgoing import Outgoing, OutgoingMessage
from enrich.plan import default_taxonomy, redacts, shares
from enrich.prints import EventPrinter
from enrich.prompt import Prompt, build_prompt, version_of
from enrich.settings import STUB, EnrichSettings, build_taxonomies
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
        f"# taxonomy {taxonomy.name} {taxonomy.version}\n{_asked_by(settings, source, prompt)}",
        "## system\n" + prompt.system,
        "## answer\n" + json.dumps(prompt.schema, indent=2),
    ]
    if event_id is not None:
        message = _message_of(settings, source, event_id)
        parts.append(f"## user (values masked: {message.redacted_count})\n{message.text}")
    return "\n\n".join(parts)


def _asked_by(settings: Any, source: str, prompt: Prompt) -> str:
    """Who is asked this, each with the version that its answers are kept under."""
    enrich: EnrichSettings = settings.enrich
    own = enrich.sources.get(source)
    chain = (own.enrichers if own else None) or enrich.enrichers
    models = [(name, enrich.models[name]) for name in chain if name != STUB]
    return "\n".join(
        f"# asked of {name} ({model.model}) as prompt"
        f" {version_of(prompt, model, enrich.example_count)}"
        for name, model in models
    ) or (
        f"# asked of nobody: enrichers of {source} are {', '.join(chain)}; prompt {prompt.version}"
    )


def _message_of(settings: Any, source: str, event_id: int) -> OutgoingMessage:
    """The user message, with the labelled examples and the masking that a worker would use."""
    from service.store import open_store

    names = taxonomy_names(settings)
    store = open_store(settings.store_url)
    try:
        with store.read() as connection:
            event = _event_of(connection, event_id)
            labelled = load_labelled(connection, lambda name: names.get(name, name))
            learned = load_state(connection, source)
        if event.source != source:
            raise SettingsError(f"event {event_id} is of source {event.source!r}, not {source!r}")
        if shares(settings.enrich, source, taxonomy_of(settings, source)) and not looks_injected(
            event.title, event.text
        ):
            event = EventPrinter(revive(learned)).print_of(event).event
    finally:
        store.close()
    examples = ExampleIndex(labelled, lambda name: names.get(name, name))
    enrich = settings.enrich
    outgoing = Outgoing(examples, enrich.example_count, redacts(enrich), enrich.phone_region)
    return outgoing.message(event)


def read_event(settings: Any, event_id: int) -> EventText:
    """One event of the store."""
    from service.store import open_store

    store = open_store(settings.store_url)
    try:
        with store.read() as connection:
            return _event_of(connection, event_id)
    finally:
        store.close()


def _event_of(connection: Connection, event_id: int) -> EventText:
    events = load_events(connection, [event_id])
    if event_id not in events:
        raise SettingsError(f"no event {event_id}; see hooksift events")
    return events[event_id]
