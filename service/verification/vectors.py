"""Judge recorded deliveries: `hooksift verify`, and its `--vectors FILE` of many.

A vector is a JSON object: `id`, `provider` (a preset's name), `secret` (one or a list), `method`,
`url`, `headers`, `body` (or `body_base64`), `now` (seconds since 1970), and `extra` for what a
receiver would fetch: `cert_pem`, `jwk`, or configure: `audience`.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

from service.extraction.extract import compile_extractor
from service.extraction.parse import parse
from service.preset import Preset, PresetError, load_preset
from service.receiving.request import IntakeError, Payload, Request, Unparsable
from service.verification.known import KnownKeys
from service.verification.recorded import RecordingError, pairs_of
from service.verification.verify import compile_verifier

Judgement = dict[str, Any]


def verify_vector(vector: Mapping[str, Any]) -> Judgement:
    """`id, valid, reason, event_id, event_type` of one vector; `message` explains a reason.

    The id and type are what the delivery claims, also where it is not valid. A vector that names
    no preset, or a secret that cannot be used, is not valid: reason `unknown_preset`, `bad_secret`.
    Raises RecordingError for one that cannot be read.
    """
    try:
        preset = load_preset(str(vector["provider"]))
    except PresetError as error:
        return _judgement(vector, "unknown_preset", str(error))
    request = request_of(vector)
    secret = vector.get("secret") or []
    secrets = [secret] if isinstance(secret, str) else list(secret)
    return judge(preset, secrets, request, _moment(vector["now"]), vector)


def judge(
    preset: Preset,
    secrets: Sequence[str],
    request: Request,
    now: float,
    vector: Mapping[str, Any],
) -> Judgement:
    """The same for a request that is already one."""
    event_id, event_type = claimed_identity(preset, request)
    try:
        verifier = compile_verifier(preset, secrets, known=_known(vector.get("extra") or {}))
        verifier.verify(request, now)
    except PresetError as error:
        return _judgement(vector, "bad_secret", str(error), event_id, event_type)
    except IntakeError as error:
        return _judgement(vector, error.reason, error.message, event_id, event_type)
    return _judgement(vector, None, None, event_id, event_type)


def request_of(vector: Mapping[str, Any]) -> Request:
    """The request that a vector records. Raises RecordingError."""
    encoded = vector.get("body_base64")
    try:
        decoded = None if encoded is None else base64.b64decode(encoded)
    except (ValueError, TypeError):
        raise RecordingError("body_base64 is not base64") from None
    body = str(vector.get("body", "")).encode("utf-8", "surrogatepass")
    return Request(
        str(vector.get("method", "POST")),
        str(vector.get("url", "")),
        pairs_of(vector.get("headers") or {}),
        body if decoded is None else decoded,
    )


def _moment(value: Any) -> float:
    """A time as a vector says it."""
    try:
        moment = float(value)
    except (ValueError, TypeError):
        moment = math.nan
    if not math.isfinite(moment):
        raise RecordingError(f"now is {value!r}; it must be seconds since 1970")
    return moment


def claimed_identity(preset: Preset, request: Request) -> tuple[str | None, str | None]:
    """The delivery's id and first event's type as far as they can be read."""
    try:
        payload = parse(preset.body, request, empty_body=preset.empty_body)
    except Unparsable:
        payload = Payload(None, "empty")
    extractor = compile_extractor(preset)
    item = extractor.events(request, payload)[0]
    return extractor.delivery_key(request, payload), item.event_type


def _known(extra: Mapping[str, Any]) -> KnownKeys:
    """What the vector says a receiver would fetch, or be told."""
    return KnownKeys(
        jwk=extra.get("jwk"),
        certificate_pem=extra.get("cert_pem"),
        audience=extra.get("audience"),
    )


def _judgement(
    vector: Mapping[str, Any],
    reason: str | None,
    message: str | None,
    event_id: str | None = None,
    event_type: str | None = None,
) -> Judgement:
    judged = {
        "id": vector.get("id"),
        "valid": reason is None,
        "reason": reason,
        "event_id": event_id,
        "event_type": event_type,
    }
    return judged if message is None else {**judged, "message": message}
