"""Made-up logs of made-up systems, with the template that wrote each line.

They imitate kinds of systems, not any one of them: a shop's API, a container scheduler, a mail
relay, a database, a game client and a gateway. Words, names and figures are invented here.
"""

import random
from collections.abc import Callable, Iterator

Value = Callable[[random.Random], str]

_PEOPLE = (
    *("ada", "bruno", "chidi", "dorota", "emre", "farah", "goran", "hana", "ivo", "jonas"),
    *("kaya", "lotte", "milan", "nadia", "otto", "pia", "quentin", "rosa", "sven", "tilda"),
    *("ugo", "vera", "wim", "xenia", "yusuf", "zora", "admin", "backup", "oracle", "webmaster"),
)
_THINGS = (
    *("ledger", "basket", "parcel", "voucher", "banner"),
    *("sitemap", "thumbnail", "receipt", "wishlist", "refund"),
)
_ZONES = ("amber-falls.example.org", "birch.example.net", "cedar-9.corp.local", "dune.co.uk")


def _pick(*words: str) -> Value:
    return lambda chance: chance.choice(words)


def _digits(low: int, high: int) -> Value:
    return lambda chance: str(chance.randint(low, high))


def _hex(length: int) -> Value:
    return lambda chance: "".join(chance.choices("0123456789abcdef", k=length))


def _ip(chance: random.Random) -> str:
    return ".".join(str(chance.randint(1, 254)) for _ in range(4))


def _uuid(chance: random.Random) -> str:
    return "-".join(_hex(length)(chance) for length in (8, 4, 4, 4, 12))


def _path(chance: random.Random) -> str:
    return f"/srv/{chance.choice(_THINGS)}/{_hex(6)(chance)}.{chance.choice(('dat', 'tmp'))}"


def _time(chance: random.Random) -> str:
    return f"2031-0{chance.randint(1, 9)}-1{chance.randint(0, 9)}T0{chance.randint(0, 9)}:15:27Z"


VALUES: dict[str, Value] = {
    "person": _pick(*_PEOPLE),
    "thing": _pick(*_THINGS),
    "zone": _pick(*_ZONES),
    "ip": _ip,
    "uuid": _uuid,
    "path": _path,
    "time": _time,
    "n": _digits(0, 99_999),
    "small": _digits(1, 9),
    "ms": lambda chance: f"{chance.uniform(0.1, 900):.1f} ms",
    "size": lambda chance: f"{chance.uniform(1, 900):.2f} {chance.choice(('KB', 'MB', 'GB'))}",
    "hex": _hex(12),
    "pointer": lambda chance: "0x" + _hex(12)(chance),
    "mac": lambda chance: ":".join(_hex(2)(chance) for _ in range(6)),
}

FAMILIES: dict[str, list[str]] = {
    "shop": [
        "checkout of basket {uuid} failed: card issuer said no after {ms}",
        "checkout of basket {uuid} failed: stock of item {n} ran out",
        "login refused for user {person} from {ip}: wrong password",
        "login refused for user {person} from {ip}: account locked until {time}",
        "rendering '{thing}' widget took {ms}, budget {ms}",
        "cache shard {small} is warm",
        "cache shard {small} is cold",
        "voucher service unreachable: TimeoutError after {n} ms",
        "voucher service unreachable: ConnectionResetError after {n} ms",
        "request_id={uuid} tenant={n} path={path} took={ms}",
    ],
    "scheduler": [
        "task {hex} on node-{small} went from QUEUED to BOUND",
        "task {hex} on node-{small} went from BOUND to RUNNING",
        "task {hex} on node-{small} went from RUNNING to DONE",
        "task {hex} on node-{small} went from RUNNING to LOST",
        "instance {uuid} was started by the lifecycle loop",
        "instance {uuid} was paused by the lifecycle loop",
        "instance {uuid} was resumed by the lifecycle loop",
        "instance {uuid} was stopped by the lifecycle loop",
        "lease of volume vol_{n} expired at {time}",
        "pulled layer sha256:{hex}{hex} ({size}) from {zone}:5000",
    ],
    "mail": [
        "{hex}: queued as {n} for <{person}@{zone}>",
        "{hex}: bounced, mailbox of {person}@{zone} is full",
        "greylisted {ip} ({zone}) for {n} seconds",
        "TLS with {zone}[{ip}]:25 agreed on cipher suite {small}",
        "TLS with {zone}[{ip}]:25 failed, falling back to plain text",
        "user {person} opened a session over IMAP from {ip}",
        "user {person} closed a session over IMAP from {ip}",
    ],
    "database": [
        "could not extend relation base/{n}/{n}: no space left on device",
        "could not extend relation base/{n}/{n}: permission denied",
        "checkpoint complete: wrote {n} buffers ({small}.{small}%) in {ms}",
        "statement from {person}@{ip} cancelled after {n} ms",
        "deadlock between backends {n} and {n} on page {n}",
        "wal segment {hex} archived to {path}",
        "wal segment {hex} missing in archive",
    ],
    "game": [
        "audio voice {n} stolen at {pointer}",
        "texture atlas {small} evicted, {size} freed",
        "controller {mac} joined in slot {small}",
        "controller {mac} left slot {small}",
        "shader compile error in stage vertex: line {n}",
        "shader compile error in stage fragment: line {n}",
        "frame {n} dropped, gpu busy for {ms}",
    ],
    "gateway": [
        "{zone}:443 open through relay {ip}:3128",
        "{zone}:443 close, {n} bytes out, {n} bytes in, lived {ms}",
        "upstream {ip}:8080 answered {n} in {ms}",
        "route table reloaded: {n} routes",
        "listener on [2001:db8::{small}]:443 ready",
        "health check of pool {thing} failed {small} times",
    ],
}


def lines_of(family: str, count: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """`count` messages of a family with their templates, the same for the same seed."""
    chance = random.Random(f"{family} {seed}")
    templates = FAMILIES[family]
    for _ in range(count):
        template = chance.choice(templates)
        yield _filled(template, chance), template


def _filled(template: str, chance: random.Random) -> str:
    head, *rest = template.split("{")
    parts = [head]
    for piece in rest:
        name, _, text = piece.partition("}")
        parts += [VALUES[name](chance), text]
    return "".join(parts)
