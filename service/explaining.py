"""A preset in plain words: what it binds, how it signs, what to paste at the provider."""

from collections.abc import Iterator

from service.preset import Preset

WORDS = {
    "sender": "who sent it",
    "body": "the body",
    "time": "when it was sent",
    "id": "the delivery's id",
}
NOTHING = "nothing"


def bound(preset: Preset) -> str:
    """What a valid request proves, as a short list: sender, body, time, id."""
    covers = preset.covers
    return ", ".join(word for word in WORDS if word in covers) or NOTHING


def unbound(preset: Preset) -> list[str]:
    """What a valid request does not prove, in words."""
    return [words for word, words in WORDS.items() if word not in preset.covers]


def method_of(preset: Preset) -> str:
    """How the provider proves itself, in a sentence."""
    verify, jwt = preset.verify, preset.jwt
    if jwt is not None:
        return f"a signed token ({', '.join(jwt.algs)}) in {place(jwt.source)}"
    if verify.special and verify.alg == "none":
        return f"a signature of its own kind ({verify.special})"
    if verify.alg == "none":
        return "it does not sign"
    if verify.alg == "token":
        return f"a shared token in {place(verify.source)}"
    if verify.alg == "basic":
        return "user and password (basic authentication)"
    return f"{verify.alg} over {verify.sign} in {place(verify.source)}"


def place(source: str) -> str:
    """`header:X-Signature` as a person says it."""
    kind, _, name = source.split("|")[0].partition(":")
    words = {"header": "the header", "query": "the query parameter", "json": "the body's field"}
    return "the last segment of the path" if kind == "path" else f"{words.get(kind, kind)} {name}"


def explanation(preset: Preset, url: str) -> Iterator[tuple[str, str]]:
    """Lines of (what, text) that tell everything a person needs to use a preset."""
    yield "provider's page", preset.docs
    if preset.checked:
        yield "compared with", preset.checked
    yield "kind", preset.kind
    yield "signs by", method_of(preset)
    yield "proves", bound(preset)
    missing = unbound(preset)
    if missing:
        yield "does not prove", ", ".join(missing)
    if preset.offers:
        yield "can also use", ", ".join(setting_of(offer) for offer in preset.offers)
    if preset.verify.ts:
        yield "time window", f"{preset.verify.tolerance_seconds} s, both ways"
    if preset.handshake:
        yield "handshake", f"{preset.handshake}, answered by itself"
    yield "methods", ", ".join(preset.accepts)
    yield "body", ", ".join(preset.body)
    yield "answers", answers(preset)
    yield "remembered for", duration(preset.retry_window_seconds) + " at least"
    if preset.notes:
        yield "good to know", preset.notes
    for number, line in enumerate(preset.setup):
        yield ("set-up" if number == 0 else ""), line.replace("{url}", url)


def setting_of(offer: str) -> str:
    """The key of a source, or of the receiver, that asks a sender for this."""
    elsewhere = {"ip list": "allow_addresses = [...]", "mtls": "[receive] client_ca"}
    return elsewhere.get(offer, f'authentication = "{offer}"')


def answers(preset: Preset) -> str:
    """The status codes that this provider gets."""
    ack = preset.ack
    text = (
        f"{ack.status} stored, {ack.duplicate_status} seen before,"
        f" {ack.refused_status} not proven, {ack.overload_status} too many"
    )
    deadline = ack.deadline_seconds
    return f"{text}; it waits {deadline:g} s" if deadline else text


def duration(seconds: float) -> str:
    """Seconds in the largest unit that fits."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size or (seconds >= size and seconds % size == 0):
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} seconds"
