"""Deliveries for tests: signed as each preset's provider signs, and ways to spoil them."""

from collections.abc import Iterator
from typing import NamedTuple

from service.preset import Preset, load_preset, preset_names
from service.receiving.reading import Reader, compile_reader
from service.receiving.request import Request
from service.signing.new_keys import Keys, new_keys
from service.signing.sign import Outgoing, sign

NOW = 1_772_442_900.0
URL = "https://hooks.example.com/v1/webhooks/here"


class Scene(NamedTuple):
    """A preset with fresh keys, on both sides."""

    preset: Preset
    keys: Keys
    reader: Reader

    def send(
        self, body: bytes | None = None, *, now: float = NOW, delivery_id: str = "d-1"
    ) -> Request:
        """A delivery as the provider would send it."""
        return request_from(self.outgoing(body, now=now, delivery_id=delivery_id))

    def outgoing(
        self, body: bytes | None = None, *, now: float = NOW, delivery_id: str = "d-1"
    ) -> Outgoing:
        """The same before it becomes a request."""
        sample = self.preset.sample
        return sign(
            self.preset,
            self.keys.sender,
            sample.body.encode() if body is None else body,
            url=URL,
            method=sample.method,
            now=now,
            event_type=sample.type,
            delivery_id=delivery_id,
        )


def scene(name: str) -> Scene:
    """A preset of that name, ready to send and to read."""
    preset = load_preset(name)
    keys = new_keys(preset)
    return Scene(preset, keys, compile_reader(preset, [keys.receiver], known=keys.known))


def request_from(outgoing: Outgoing) -> Request:
    """What the receiver gets of an outgoing delivery."""
    headers = [(name.lower(), value) for name, value in outgoing.headers]
    return Request(outgoing.method, outgoing.url, headers, outgoing.body)


def names_where(*, covers: str) -> list[str]:
    """Presets whose valid requests prove this."""
    return [name for name in preset_names() if covers in load_preset(name).covers]


def flipped(data: bytes) -> Iterator[bytes]:
    """The data with one byte changed: the first, the middle, the last."""
    for index in sorted({0, len(data) // 2, len(data) - 1}):
        yield data[:index] + bytes([data[index] ^ 0x01]) + data[index + 1 :]
