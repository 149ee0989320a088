"""What a provider's webhooks look like, as data: the record, and where records come from.

Records are immutable, and a key that nobody knows is an error.

A preset is a TOML file in `service/presets/`; a table `[presets.NAME]` in the user's config has
the same form. `extends` names a preset to start from. The records below say what each
field means; `hooksift presets show NAME` explains one preset.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal

import msgspec

Expression = str | list[str]
"""Where a value is found: 'json:path', 'header:Name', 'query:name', 'item:path', a template with
such places in braces, or a list of alternatives of which the first that holds is taken."""


PLACE = re.compile(r"\{([a-z]+:[^{}]*)\}")
"""A place within a template, such as {json:id}."""

Accepting = Annotated[int, msgspec.Meta(ge=200, le=299)]
"""A status that says: it is on disk."""

Refusing = Annotated[int, msgspec.Meta(ge=400, le=599)]
"""A status that says: it is not."""


Window = Annotated[int, msgspec.Meta(ge=0, le=36_500 * 86_400)]
"""Seconds for which a dedup key holds."""


class PresetError(ValueError):
    """A preset's data is not a preset. The message names the preset, the key and the remedy."""


class Verification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a signature is, how it is written and what it covers."""

    source: str = msgspec.field(default="", name="from")
    format: str = "{raw}"
    split: str = ""
    alg: str = "none"
    key: str = "utf8"
    sign: str = "{body}"
    ts: str = ""
    tolerance_seconds: int = 300
    require: dict[str, str] = {}
    special: str = ""


class JwtVerification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signed token in a header, and what its claims must say.

    `prefix` is what stands before the token; of several (`A|B`) the first is what we write.
    """

    source: str = msgspec.field(name="from")
    prefix: str = ""
    algs: list[str]
    key: str = "secret"
    issuer: list[str] = []
    audience: str = ""
    claims: dict[str, str | bool | int] = {}
    require_claims: list[str] = []
    max_age_seconds: int | None = None
    leeway_seconds: int = 60
    body_hash: str = ""


class Ack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the provider needs to hear. `body` None means our own JSON answer; 204 has none."""

    status: Accepting = 202
    body: str | None = None
    content_type: str = "text/plain"
    duplicate_status: Accepting = 200
    refused_status: Refusing = 401
    overload_status: Literal[429, 503] = 429
    deadline_seconds: float | None = None


class EventPaths(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each event is and says. Title takes the first that holds, text joins all that hold."""

    id: Expression = []
    type: Expression = []
    default_type: str = "event"
    subject: Expression = []
    sent_at: Expression = []
    title: Expression = []
    text: list[str | list[str]] = []
    url: Expression = []
    customer: Expression = []
    level: Expression = []


class Split(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A delivery that holds several events: where they are and what identifies one."""

    items: str
    key: Expression = []


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A small delivery for `hooksift send`, in the provider's form."""

    body: str = "{}"
    content_type: str = "application/json"
    method: str = "POST"
    type: str = ""
    headers: dict[str, str] = {}


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything Hooksift knows about one provider's webhooks."""

    name: str = ""
    title: str
    kind: Literal["support", "errors", "other"] = "other"
    docs: str
    checked: str = ""
    notes: str = ""
    setup: list[str] = []
    accepts: list[str] = msgspec.field(default_factory=lambda: ["POST"])
    body: list[str] = msgspec.field(default_factory=lambda: ["json"])
    empty_body: bool = False
    retry_window_seconds: Window = 259_200
    repeat_window_seconds: Window = 900
    credential_headers: list[str] = []
    credential_query: list[str] = []
    credential_body: list[str] = []
    offers: list[str] = []
    binds: list[str] | None = None
    handshake: str = ""
    verify: Verification = Verification()
    jwt: JwtVerification | None = None
    ack: Ack = Ack()
    event: EventPaths = EventPaths()
    split: Split | None = None
    sample: Sample = Sample()

    @property
    def signed(self) -> bool:
        """Whether a request must prove its sender at all."""
        return self.jwt is not None or bool(self.verify.special) or self.verify.alg != "none"

    @property
    def covers(self) -> frozenset[str]:
        """What a valid request proves: any of sender, body, time, id."""
        return covered_by(self)


def covered_by(preset: Preset) -> frozenset[str]:
    """What a valid request of this preset proves, worked out from its record."""
    if preset.binds is not None:
        return frozenset(preset.binds)
    if not preset.signed:
        return frozenset()
    if preset.jwt is not None:
        body = bool(preset.jwt.body_hash)
        time = preset.jwt.max_age_seconds is not None or "exp" in preset.jwt.require_claims
        template = ""
    else:
        verify = preset.verify
        if verify.alg in ("token", "basic"):
            return frozenset({"sender"})
        body = "{body}" in verify.sign
        time = "{ts}" in verify.sign or (body and verify.ts.startswith("json:"))
        template = verify.sign.lower()
    covered = {"sender"} | ({"body"} if body else set()) | ({"time"} if time else set())
    return frozenset(covered | ({"id"} if _id_is_bound(preset, body, template) else set()))


def _id_is_bound(preset: Preset, body_is_bound: bool, template: str) -> bool:
    """Whether every place of the id is signed: in a bound body, or named by the template."""
    sources = [preset.event.id] if isinstance(preset.event.id, str) else preset.event.id
    places = [place for source in sources for place in PLACE.findall(source) or [source]]
    return bool(places) and all(
        (place.startswith("json:") and body_is_bound)
        or (place.startswith("header:") and place.partition(":")[2].lower() in template)
        for place in places
    )


AUTHENTICATIONS: dict[str, dict[str, str]] = {
    "path": {"from": "path", "format": "{raw}", "alg": "token"},
    "basic": {"from": "header:Authorization", "format": "Basic {raw}", "alg": "basic"},
    "bearer": {"from": "header:Authorization", "format": "Bearer {raw}", "alg": "token"},
    "none": {"alg": "none"},
}
"""Ways to prove a sender that the provider does not sign for; 'header:NAME' and 'query:NAME'
name the place of a token themselves."""


def with_authentication(preset: Preset, way: str) -> Preset:
    """The preset with its verification replaced by path, basic, bearer, header:X, query:x, none."""
    data = msgspec.to_builtins(preset)
    data["jwt"] = None
    data["binds"] = None
    kind, _, name = way.partition(":")
    if kind in ("header", "query") and name:
        data["verify"] = {"from": way, "alg": "token"}
    elif way in AUTHENTICATIONS:
        data["verify"] = AUTHENTICATIONS[way]
    else:
        known = ", ".join([*AUTHENTICATIONS, "header:NAME", "query:NAME"])
        raise PresetError(f"preset {preset.name}: no authentication {way!r}; use one of {known}")
    return preset_from(preset.name, data, {})


def preset_from(name: str, data: Mapping[str, Any], known: Mapping[str, Preset]) -> Preset:
    """A preset of a TOML table. `known` holds the presets that `extends` may name.

    Raises `PresetError` that says which key is wrong.
    """
    merged = dict(data)
    base = merged.pop("extends", "")
    if base:
        if base not in known and base not in preset_names():
            raise PresetError(f"preset {name}: extends {base!r}, which is not a preset")
        parent = known[base] if base in known else load_preset(base)
        merged = _merge(msgspec.to_builtins(parent), merged)
    merged["name"] = name
    try:
        return msgspec.convert(merged, Preset)
    except msgspec.ValidationError as error:
        raise PresetError(f"preset {name}: {error}") from error


def _merge(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merge key by key, everything else is replaced."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = (
            _merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
        )
    return merged


def customised(preset: Preset, changes: Mapping[str, Any]) -> Preset:
    """The preset with some keys changed, as in `[sources.NAME.override]`."""
    return preset_from(preset.name, _merge(msgspec.to_builtins(preset), changes), {})


@cache
def preset_names() -> tuple[str, ...]:
    """The names of the presets that come with Hooksift, sorted."""
    folder = resources.files("service") / "presets"
    return tuple(
        sorted(
            entry.name.removesuffix(".toml")
            for entry in folder.iterdir()
            if entry.name.endswith(".toml")
        )
    )


@cache
def load_preset(name: str) -> Preset:
    """One preset that comes with Hooksift. Raises `PresetError` when there is none of that name."""
    if name not in preset_names():
        raise PresetError(f"no preset {name!r}; `hooksift presets` lists the {len(preset_names())}")
    text = (resources.files("service") / "presets" / f"{name}.toml").read_text("utf-8")
    return preset_from(name, tomllib.loads(text), {})


def load_presets(defined: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Preset]:
    """Every preset by name: ours, then those of the user's config, which may replace ours."""
    presets = {name: load_preset(name) for name in preset_names()}
    for name, data in (defined or {}).items():
        presets[name] = preset_from(name, data, presets)
    return presets
