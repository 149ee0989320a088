"""Feeds the readers of all presets with what atheris makes up, until an error or the time is out.

`PYTHONPATH=.:tests python tests/properties/fuzz_reader.py -max_total_time=60`
"""

import sys
from collections.abc import Sequence

import atheris

with atheris.instrument_imports(include=["service"]):
    from deliveries import NOW, request_from, scene

    from service.preset import PresetError, preset_names
    from service.receiving.reading import Reader
    from service.receiving.request import IntakeError, Request

SCENES = [scene(name) for name in preset_names()]
HEADERS = [[name.lower() for name, _ in here.outgoing().headers] for here in SCENES]
METHODS = ("POST", "GET", "HEAD", "OPTIONS", "PUT")
KINDS = ("application/json", "application/x-www-form-urlencoded", "application/xml", "text/plain")
ENCODINGS = ("", "", "", "gzip", "deflate")


def read(reader: Reader, request: Request) -> None:
    """Everything that the receiver does with a request; IntakeError is its only way to end."""
    if reader.handshakes.unsigned(request) is not None:
        return
    try:
        verified = reader.verify(request, NOW)
    except IntakeError:
        verified = None  # the rest must stand what no signature vouches for, too
    payload = reader.parse(request)
    reader.handshakes.signed(request, payload, verified.secret_index if verified else 0)
    reader.delivery_key(request, payload)
    for item in reader.events(request, payload):
        (item.title + item.text + item.event_type).encode()
    reader.conceal(request, b"key")


def stranger(names: Sequence[str], made: atheris.FuzzedDataProvider) -> Request:
    """A request with the headers of the provider and values of nobody."""
    headers = [(name, made.ConsumeUnicodeNoSurrogates(60)) for name in names]
    headers += [("content-type", made.PickValueInList(list(KINDS)))]
    headers += [("content-encoding", made.PickValueInList(list(ENCODINGS)))]
    url = "https://h.example/" + made.ConsumeUnicodeNoSurrogates(40)
    method = made.PickValueInList(list(METHODS))
    return Request(method, url, headers, made.ConsumeBytes(made.remaining_bytes()))


def one_input(data: bytes) -> None:
    """A stranger's request, or a genuine sender's with any body at all."""
    made = atheris.FuzzedDataProvider(data)
    index = made.ConsumeIntInRange(0, len(SCENES) - 1)
    here = SCENES[index]
    try:
        if made.ConsumeBool():
            request = stranger(HEADERS[index], made)
        else:
            request = request_from(here.outgoing(made.ConsumeBytes(made.remaining_bytes())))
        read(here.reader, request)
    except (IntakeError, PresetError):
        return  # not accepted; or a body that this provider could not have signed


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
