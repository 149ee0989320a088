"""`hooksift check`: what is wrong with a configuration, where, and how to mend it."""

import os
import re
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from service.errors import HooksiftError, SettingsError, StoreUnavailable
from service.nearest import nearest
from service.preset import Preset, PresetError, preset_from, preset_names, with_authentication
from service.receiving.app import is_loopback
from service.receiving.assembly import ServiceSettings, make_data_folder
from service.receiving.endpoint import compile_endpoint, prepared
from service.secrets import is_literal, resolve
from service.settings import ReceiveSettings, SourceSettings
from service.store import open_store

SHORT_SECRET_CHARACTERS = 16
PLACEHOLDER = "replace-me"  # as README has it
SIGN_THEIR_URL = frozenset({"twilio", "contentful"})  # their own functions: no template tells it
NO_KEY = bytes(32)  # endpoints are compiled to see whether they can be, never to receive


class Problem(NamedTuple):
    """One thing that is wrong: an `error` cannot work as written, a `warning` can."""

    severity: Literal["error", "warning"]
    where: str
    what: str
    remedy: str


Check = Callable[[Any], Iterable[Problem]]


def problems(settings: ServiceSettings, further: Iterable[Check] = ()) -> list[Problem]:
    """Everything that is wrong, errors first. Opens the store and reads the secrets' files."""
    own: tuple[Check, ...] = (
        check_presets,
        check_sources,
        check_shared_secrets,
        check_receive,
        check_hosts,
        check_retention,
        check_admin_token,
        check_store,
    )
    found = [problem for check in (*own, *further) for problem in check(settings)]
    return sorted(found, key=lambda problem: problem.severity)


def check_presets(settings: ServiceSettings) -> Iterator[Problem]:
    """The presets that the config defines."""
    for name in settings.presets:
        try:
            usable_preset(settings, name)
        except PresetError as error:
            yield Problem("error", f"presets.{name}", str(error), "correct the key that it names")


def usable_preset(settings: ServiceSettings, name: str) -> Preset | None:
    """A preset by name, None where there is none. Raises PresetError for one that is wrong."""
    from service.preset import load_preset

    own = settings.presets.get(name)
    if own is None:
        return load_preset(name) if name in preset_names() else None
    base = str(own.get("extends", ""))
    parent = usable_preset(settings, base) if base and base != name else None
    return preset_from(name, own, {base: parent} if parent else {})


def check_sources(settings: ServiceSettings) -> Iterator[Problem]:
    """Each source by itself."""
    if not settings.sources:
        yield Problem(
            "warning",
            "sources",
            "no source is configured, so every delivery gets 404",
            'add [sources.NAME] with preset = "github" and secret = "env:NAME"',
        )
    for name, source in settings.sources.items():
        yield from check_source(settings, name, source)


def check_source(settings: ServiceSettings, name: str, source: SourceSettings) -> Iterator[Problem]:
    """One source: its preset, its secrets, what they protect."""
    where = f"sources.{name}"
    yield from check_name(where, name)
    try:
        preset = usable_preset(settings, source.preset)
        preset = prepared(preset, source) if preset else None
    except PresetError as error:
        yield Problem("error", where, str(error), f"hooksift presets show {source.preset}")
        return
    if preset is None:
        yield Problem(
            "error",
            f"{where}.preset",
            f"no preset {source.preset!r}",
            nearest_preset(settings, source),
        )
        yield from check_secrets(where, source)
        return
    unresolved = list(check_secrets(where, source))
    yield from unresolved
    if not any(problem.severity == "error" for problem in unresolved):
        yield from check_compiles(settings, name, source, preset)
    yield from check_protection(settings, where, source, preset)
    yield from check_verify_token(where, source, preset)
    if source.schemas and source.schema_failure == "quarantine" and not source.quarantine:
        yield Problem(
            "error",
            f"{where}.schema_failure",
            "what breaks the schema goes to quarantine, which holds nothing",
            "set quarantine to how many deliveries it may hold, e.g. 1000",
        )


def check_name(where: str, name: str) -> Iterator[Problem]:
    """A name that a URL's path can only hold with escapes (RFC 3986, 3.3), or as a step."""
    if not re.fullmatch(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+", name) or name in (".", ".."):
        yield Problem(
            "error",
            where,
            f"{name!r} cannot stand in the URL /v1/webhooks/NAME as it is",
            "use letters, digits, and . _ ~ -",
        )


def nearest_preset(settings: ServiceSettings, source: SourceSettings) -> str:
    """A preset's name that was probably meant."""
    known = [*preset_names(), *settings.presets]
    return nearest(source.preset, known) or "`hooksift presets` lists them"


def check_secrets(where: str, source: SourceSettings) -> Iterator[Problem]:
    """Secrets that cannot be read, stand in the config, or lie open."""
    references = [(f"{where}.secret", reference) for reference in source.secrets]
    if source.verify_token:
        references.append((f"{where}.verify_token", source.verify_token))
    for place, reference in references:
        if is_literal(reference):
            yield literal(place)
            continue
        try:
            secret = resolve(reference)
        except SettingsError as error:
            yield told("error", place, error)
            continue
        if len(secret) < SHORT_SECRET_CHARACTERS:
            yield Problem(
                "warning",
                place,
                f"{reference} has {len(secret)} characters and can be guessed",
                f"use {SHORT_SECRET_CHARACTERS} at least, made at random",
            )
        if secret.startswith(PLACEHOLDER):
            yield Problem(
                "warning",
                place,
                f"{reference} is the documentation's example, which everybody knows",
                "make one at random, e.g. with: openssl rand -hex 32",
            )
        yield from check_file_mode(place, reference)


def literal(where: str) -> Problem:
    """A secret in a file that is read by many."""
    return Problem(
        "warning",
        where,
        "the secret itself stands in the config",
        'write it to an environment variable and say "env:NAME", or "file:PATH"',
    )


def told(severity: Literal["error", "warning"], where: str, error: Exception) -> Problem:
    """The problem that an error tells; its last clause is the remedy."""
    what, _, remedy = str(error).removeprefix(f"{where}: ").rpartition("; ")
    return Problem(severity, where, what or remedy, remedy)


def check_file_mode(place: str, reference: str) -> Iterator[Problem]:
    """A secret's file that other users of the machine may read."""
    kind, _, path = reference.partition(":")
    if kind == "file" and Path(path).stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        yield Problem("warning", place, f"others may read {path}", f"chmod 600 {path}")


def check_compiles(
    settings: ServiceSettings, name: str, source: SourceSettings, preset: Preset
) -> Iterator[Problem]:
    """Whether the receiver could start with this source."""
    plain = source.model_copy(update={"override": {}, "authentication": ""})
    try:
        compile_endpoint(name, plain, settings.receive, {source.preset: preset}, NO_KEY)
    except SettingsError as error:
        message = str(error).removeprefix(f"sources.{name}: ")
        yield Problem("error", f"sources.{name}", message, f"hooksift presets show {source.preset}")


def check_protection(
    settings: ServiceSettings, where: str, source: SourceSettings, preset: Preset
) -> Iterator[Problem]:
    """What a stranger could do at this source."""
    if not preset.signed and not source.secrets:
        ways = [way for way in preset.offers if can_authenticate(preset, way)]
        yield Problem(
            "warning",
            where,
            f"{preset.title} does not sign, and no secret is set: anybody may send"
            + (", from the allowed addresses" if source.allow_addresses else ""),
            "set secret, and authentication to one of "
            + ", ".join(ways or ("path", "basic", "bearer", "header:NAME")),
        )
    if signs_url(preset) and not (source.public_url or settings.receive.public_url):
        yield Problem(
            "error",
            f"{where}.public_url",
            f"{preset.title} signs the URL it calls, which is not known here",
            'set receive.public_url = "https://hooks.example.com"',
        )


def check_verify_token(where: str, source: SourceSettings, preset: Preset) -> Iterator[Problem]:
    """A URL check that nothing could pass."""
    if "meta" in preset.handshake.split() and not source.verify_token:
        yield Problem(
            "warning",
            f"{where}.verify_token",
            f"without one the URL cannot be verified at {preset.title}",
            'make one at random, set verify_token = "env:NAME", and give it to the provider',
        )


def can_authenticate(preset: Preset, way: str) -> bool:
    """Whether `authentication` takes it; what a provider offers may also be an address list."""
    try:
        with_authentication(preset, way)
    except PresetError:
        return False
    return True


def signs_url(preset: Preset) -> bool:
    """Whether the URL is part of what the provider signs."""
    if preset.jwt is not None:
        return "{url}" in preset.jwt.audience
    return "{url}" in preset.verify.sign or preset.verify.special in SIGN_THEIR_URL


def check_shared_secrets(settings: ServiceSettings) -> Iterator[Problem]:
    """A secret of two sources lets a delivery of one be sent to the other."""
    users: dict[str, list[str]] = defaultdict(list)
    for name, source in settings.sources.items():
        for secret in {value for value in map(readable, source.secrets) if value}:
            users[secret].append(name)
    for names in users.values():
        if len(names) > 1:
            yield Problem(
                "warning",
                ", ".join(f"sources.{name}.secret" for name in names),
                "these sources share a secret: what one accepts can be replayed to the other",
                "give each source a secret of its own",
            )


def readable(reference: str) -> str:
    """The secret, '' where it cannot be read (which is told elsewhere)."""
    try:
        return resolve(reference)
    except SettingsError:
        return ""


def check_receive(settings: ServiceSettings) -> Iterator[Problem]:
    """The HTTP side: TLS files that are there and belong together, a public URL that is one."""
    receive = settings.receive
    yield from list(check_tls_files(receive)) or check_tls(receive)
    if receive.public_url and not receive.public_url.startswith(("https://", "http://")):
        yield Problem(
            "error",
            "receive.public_url",
            f"{receive.public_url} is not a URL",
            'write it like "https://hooks.example.com"',
        )


def check_tls(receive: ReceiveSettings) -> Iterator[Problem]:
    """Whether a server can be made of them."""
    from litestar import Litestar

    from service.receiving.serving import make_server

    try:
        make_server(Litestar(logging_config=None), receive)
    except SettingsError as error:
        yield told("error", "receive.tls_cert", error)


def check_tls_files(receive: ReceiveSettings) -> Iterator[Problem]:
    """TLS files that are missing."""
    for key in ("tls_cert", "tls_key", "client_ca"):
        path = getattr(receive, key)
        if path and not os.access(path, os.R_OK):
            yield Problem(
                "error", f"receive.{key}", f"{path} cannot be read", "correct the path or its mode"
            )
    if bool(receive.tls_cert) != bool(receive.tls_key):
        missing = "tls_key" if receive.tls_cert else "tls_cert"
        yield Problem(
            "error", f"receive.{missing}", "TLS needs both certificate and key", "set both"
        )
    if receive.client_ca and not receive.tls_cert:
        yield Problem(
            "error",
            "receive.client_ca",
            "client certificates need TLS",
            "set receive.tls_cert and receive.tls_key",
        )


def check_hosts(settings: ServiceSettings) -> Iterator[Problem]:
    """Hosts that are no address of this machine. Listens on each for an instant, on a free port."""
    from service.receiving.serving import listen

    for key, host in hosts(settings).items():
        try:
            listen(ReceiveSettings(host=host, port=0), key.partition(".")[0]).close()
        except SettingsError as error:
            what, _, remedy = str(error).removeprefix(f"{key}: ").partition("; ")
            yield Problem("error", key, what.replace(":0:", ":"), remedy)


def check_retention(settings: ServiceSettings) -> Iterator[Problem]:
    """Bodies that are to be kept for longer than the rows they stand in."""
    general = settings.retention.days_of(None)
    pairs = {"retention": general}
    for name, source in settings.sources.items():
        if (own := settings.retention.days_of(source)) != general:
            pairs[f"sources.{name}"] = own
    for where, (bodies, rows) in pairs.items():
        if bodies > rows:
            yield Problem(
                "warning",
                f"{where}.keep_bodies_days",
                f"bodies go with their rows after {rows:g} days, not after {bodies:g}",
                f"raise keep_rows_days to {bodies:g}, or lower keep_bodies_days",
            )


def check_admin_token(settings: ServiceSettings) -> Iterator[Problem]:
    """Whether /metrics and /readyz can be reached from where they will be asked for."""
    token = settings.admin_token
    if token and is_literal(token):
        yield Problem(
            "warning", "admin_token", "the token itself stands in the config", 'say "env:NAME"'
        )
    elif token:
        try:
            resolve(token)
        except SettingsError as error:
            yield told("error", "admin_token", error)
    elif afar := [host for host in hosts(settings).values() if not is_here(host)]:
        yield Problem(
            "warning",
            "admin_token",
            f"listening on {afar[0]} without one: /metrics and /readyz answer on this machine only",
            'set admin_token = "env:HOOKSIFT_ADMIN"',
        )


def hosts(settings: ServiceSettings) -> dict[str, str]:
    """Where processes of this configuration listen, by the setting that says so."""
    own = {} if settings.metrics.port is None else {"metrics.host": settings.metrics.host}
    return {"receive.host": settings.receive.host, **own}


def is_here(host: str) -> bool:
    """Whether only this machine reaches it."""
    return is_loopback(host) or host == "localhost"


def check_store(settings: ServiceSettings) -> Iterator[Problem]:
    """Whether the store can be opened, and written."""
    try:
        make_data_folder(settings.data)
        store = open_store(settings.store_url)
    except StoreUnavailable as error:
        yield Problem("error", "store", str(error), "correct store or data, or start the database")
        return
    except HooksiftError as error:
        yield told("error", "store", error)
        return
    try:
        store.try_writing()
    except HooksiftError as error:
        yield Problem("error", "store", str(error), "make the data folder writable")
    finally:
        store.close()


def summary(settings: ServiceSettings) -> Mapping[str, str]:
    """What the configuration comes to, in a few words."""
    scheme = "https" if settings.receive.tls_cert else "http"
    return {
        "listens on": f"{scheme}://{settings.receive.host}:{settings.receive.port}",
        "store": "SQLite" if settings.store_url.startswith("sqlite") else "PostgreSQL",
        "data": str(settings.data),
        "sources": ", ".join(
            f"{name} ({source.preset})" for name, source in settings.sources.items()
        )
        or "none",
    }
